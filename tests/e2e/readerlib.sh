# shellcheck shell=bash
# For round trips of file systems whose files a Python program of tests/tools lists ("PROGRAM list DISK OFFSET"): all of rounds.sh, and what follows.
# The test says which program in READER_TOOL. Every disk that is checked is also captured again, which must give the same volumes.

. "$(dirname "${BASH_SOURCE[0]}")/rounds.sh"

# spread_files FOLDER HOW-MANY: copies of files of $tree in many folders, with names of many bytes, and one file in a deep one
spread_files() {
	python3 - "$tree/usr" "$@" <<-'PYTHON'
		import os, shutil, sys
		source, target, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
		files = sorted(os.path.join(d, f) for d, _, names in os.walk(source) for f in names)[:number]
		for i, path in enumerate(files):
		    folder = os.path.join(target, f"Ordner {i % 37} – ö", *(["inner"] * (i % 4)))
		    os.makedirs(folder, exist_ok=True)
		    shutil.copy2(path, os.path.join(folder, f"{i} " + ("long " * 40 if i % 50 == 0 else "") + "file.dat"))
		deep = os.path.join(target, *[f"level {i}" for i in range(40)])
		os.makedirs(deep)
		with open(os.path.join(deep, "bottom"), "w") as f:
		    f.write("bottom\n")
	PYTHON
}

# volume_list NUMBER: what is in this partition of $disk, by the reader
volume_list() {
	local at
	read -r -a at < <(place "$1")
	python3 "$READER_TOOL" list "$disk" "${at[0]}"
}

# note_list NUMBER LEAST: into $disk.list.NUMBER; there must be more files than LEAST
note_list() {
	volume_list "$1" >"$disk.list.$1"
	[ "$(wc -l <"$disk.list.$1")" -gt "$2" ] || fail "there are too few files"
}

# check_list NUMBER: it is what note_list noted of the source
check_list() {
	volume_list "$1" >now
	cmp now "$source.list.$1" || { diff now "$source.list.$1" | head >&2; fail "files of partition $1 of $disk differ for the reader"; }
}

# What is restored has the same bytes in use: captured again it is the same.
also_check() {
	rm -f again.calco
	run_calco capture "$1" again.calco --json
	cp out again.json
	run_calco info "$source.calco" --json
	python3 - again.json out <<-'PYTHON' || fail "captured again, $1 is something else"
		import json, sys
		a, b = (json.load(open(p))["result"] for p in sys.argv[1:])
		keys = ("driver", "type", "label", "uuid", "state", "notice", "size", "used_bytes", "block_size")
		volumes = [[[v.get(k) for k in keys] for v in d["volumes"]] for d in (a, b)]
		if volumes[0] != volumes[1]:
		    sys.exit(f"{volumes[0]}\n{volumes[1]}")
		if any(v[0] == "raw" for v in volumes[0]):
		    sys.exit(f"raw: {volumes[0]}")
	PYTHON
}
