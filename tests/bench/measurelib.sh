# shellcheck shell=bash
# Running and measuring one case after the other; read by run.sh and repo.sh.

# Two processors for everybody, whatever the machine has.
cpus=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | awk -F- '{ for (i = $1; i <= $NF; i++) print i }' | head -n 2 | paste -sd,)
taskset -cp "$cpus" $$ >/dev/null

say() {
	echo "bench: $*" >&2
}

# stage COMMAND...: one process of a case; its CPU seconds and peak memory are added to those of the other stages
stage() {
	command time -q -a -o stats -f '%U %S %M' "$@"
}

# measure NAME ROUND OUTPUT: run the function case_NAME in a folder with an empty folder out; OUTPUT is the file or folder whose size is
# noted, or -. One line "NAME ROUND wall cpu peak-KiB bytes" for table.py
measure() {
	local begin end bytes=0
	rm -rf out
	mkdir out
	: >stats
	sync
	begin=${EPOCHREALTIME/[.,]/}
	"case_$1"
	end=${EPOCHREALTIME/[.,]/}
	if [ -d "$3" ]; then
		bytes=$(du -s --block-size=1 "$3" | cut -f 1)
	elif [ "$3" != - ]; then
		bytes=$(stat -c %s "$3")
	fi
	awk -v name="$1" -v round="$2" -v us=$((end - begin)) -v bytes="$bytes" \
		'{ cpu += $1 + $2; peak += $3 } END { printf "%s %d %.3f %.2f %.0f %.0f\n", name, round, us / 1e6, cpu, peak, bytes }' stats >>results
}
