# shellcheck shell=bash
# Bash completion for calco. Commands, options and their values come from "calco _options", so they are those of the
# program that is installed.

_calco_lines() {
	# Asked once for each shell.
	[ -n "${_calco_cache-}" ] || _calco_cache=$(calco _options 2>/dev/null)
	printf '%s\n' "$_calco_cache"
}

_calco_words() {
	local word
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -W "$1" -- "$2")
}

_calco_files() {
	local word
	compopt -o filenames 2>/dev/null
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(compgen -f -- "$1")
}

_calco() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]-} value

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		_calco_words "$(_calco_lines | cut -f 1 | uniq) help --help --version" "$cur"
		return
	fi
	if [ "$cmd" = help ]; then
		_calco_words "$(_calco_lines | cut -f 1 | uniq)" "$cur"
		return
	fi
	value=$(_calco_lines | awk -F '\t' -v c="$cmd" '$1 == c && $2 == "-" { print $3 }')
	if [ "$COMP_CWORD" -eq 2 ] && [[ ${value%% *} == *'|'* && $cur != -* ]]; then
		value=${value%% *}
		_calco_words "${value//|/ }" "$cur"
		return
	fi
	value=$(_calco_lines | awk -F '\t' -v c="$cmd" -v o="$prev" '$1 == c && $2 == o && $3 != "-" { print $3 }')
	case $value in
	*'|'*) _calco_words "${value//|/ }" "$cur" ;;
	DISK | FILE | PUB) _calco_files "$cur" ;;
	?*) ;; # a number or a text: nothing to offer
	*)
		if [[ $cur == -* ]]; then
			_calco_words "$(_calco_lines | awk -F '\t' -v c="$cmd" '$1 == c && $2 != "-" { print $2 }')" "$cur"
		else
			_calco_files "$cur"
		fi
		;;
	esac
}

complete -F _calco calco
