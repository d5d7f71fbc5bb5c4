# shellcheck shell=bash
# For tests that damage the metadata of file systems at random, after functions.sh. Every capture must end, and what it neither refuses nor takes
# raw has in its restored copy what an independent tool finds in the damaged original. The test makes $T/whole0, $T/whole1, ..., says in REASONS for
# what a capture may be refused and in RESTORE with which options to restore, and has two functions:
#
#	damage NUMBER SEED   change $T/now, a copy of $T/wholeNUMBER, and print what was done
#	same SEED            the tool finds the same in $T/now and $T/copy, which the driver has mapped: same_contents or same_list will do
#
# MUTATIONS: how many; FIRST: the first seed (1)

RESTORE=()
declare -A rounds=([refused]=0 [raw]=0 [mapped]=0 [readable]=0)

# differs SEED WHAT: show the damage and the beginning of $T/out
differs() {
	cat "$T/damage" >&2
	head -c 2000 "$T/out" >&2
	fail "damage $1: $2"
}

# same_contents SEED: by the test's function contents VOLUME FOLDER, which puts what there is into the folder
same_contents() {
	rm -rf "$T/in-now" "$T/in-copy"
	contents "$T/now" "$T/in-now"
	contents "$T/copy" "$T/in-copy"
	diff -r "$T/in-now" "$T/in-copy" >"$T/out" || differs "$1" "the copy differs"
}

# same_list SEED PROGRAM: "PROGRAM list VOLUME", a Python program, lists the files, or fails where the damage is too much for it
same_list() {
	python3 "$2" list "$T/now" >"$T/list" 2>/dev/null || return 0
	rounds[readable]=$((rounds[readable] + 1))
	python3 "$2" list "$T/copy" >"$T/list.copy" || fail "damage $1: the copy cannot be read"
	diff "$T/list" "$T/list.copy" >"$T/out" || differs "$1" "the files differ"
}

# damage_round NUMBER SEED: damage a copy of $T/wholeNUMBER, capture it, and restore it over something else
damage_round() {
	local seed=$2 code=0 driver
	rm -f "$T"/{now,now.calco,copy}
	cp --sparse=always "$T/whole$1" "$T/now"
	damage "$1" "$seed" >"$T/damage"
	timeout 60 "$CALCO" capture "$T/now" "$T/now.calco" --json >"$T/told" 2>"$T/err" || code=$?
	if [ "$code" -eq 4 ]; then
		json_true "$T/told" "d['error']['reason'] in '$REASONS'.split()"
		rounds[refused]=$((rounds[refused] + 1))
		return
	fi
	[ "$code" -eq 0 ] || { cat "$T/damage" "$T/err" >&2; fail "exit code $code with damage $seed"; }
	head -c "$(stat -c %s "$T/now")" "$T/garbage" >"$T/copy"
	run_calco restore "$T/now.calco" "$T/copy" --confirm copy "${RESTORE[@]}"
	driver=$(json_get "$T/told" 'd["result"]["volumes"][0]["driver"] if d["result"]["volumes"] else "none"')
	case $driver in
	none) cat "$T/damage" "$T/told" >&2; fail "damage $seed: nothing but gaps" ;;
	raw)
		rounds[raw]=$((rounds[raw] + 1))
		cmp "$T/now" "$T/copy" || fail "damage $seed: raw is not a copy of everything"
		;;
	*)
		rounds[mapped]=$((rounds[mapped] + 1))
		same "$seed"
		;;
	esac
}

# damage_rounds HOW-MANY KIND...: by default so many; each of these kinds of outcome (refused raw mapped readable) must have occurred
damage_rounds() {
	local seed kind whole wholes=0 most=0 first=${FIRST:-1}
	for whole in "$T"/whole*; do
		wholes=$((wholes + 1))
		[ "$(stat -c %s "$whole")" -le "$most" ] || most=$(stat -c %s "$whole")
	done
	yes garbage | head -c "$most" >"$T/garbage" || true
	for seed in $(seq "$first" $((first + ${MUTATIONS:-$1} - 1))); do
		damage_round $((seed % wholes)) "$seed"
	done
	echo "refused ${rounds[refused]}, raw ${rounds[raw]}, mapped ${rounds[mapped]}$([ "${rounds[readable]}" -eq 0 ] || echo ", of these ${rounds[readable]} readable")"
	for kind in "${@:2}"; do
		[ "${rounds[$kind]}" -gt 0 ] || fail "the damage is not varied enough: $kind"
	done
}
