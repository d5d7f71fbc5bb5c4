#!/bin/bash
# Metadata of F2FS changed at random: every capture ends, and what it neither refuses nor takes raw has the same files in its restored copy,
# for an independent reader. MUTATIONS: how many (30)
. "$(dirname "$0")/functions.sh"
requires python3 mkfs.f2fs sload.f2fs

F2FS=$ROOT/tests/tools/f2fs.py
mkdir -p "$T/tree/folder" "$T/tree/many"
seq 1 300000 >"$T/tree/large"
for i in $(seq 60); do seq "$i" $((i * i)) >"$T/tree/many/file $i"; done
ln -s large "$T/tree/link"

# volume FILE MKFS-OPTION...
volume() {
	truncate -s 80M "$1"
	mkfs.f2fs -q -f -l mutant "${@:2}" "$1" >/dev/null 2>&1
	sload.f2fs -f "$T/tree" "$1" >/dev/null 2>&1 || fail "sload.f2fs"
	python3 "$F2FS" list "$1" >"$T/list"
	[ "$(wc -l <"$T/list")" -gt 60 ] || fail "$1 is not filled"
}

volume "$T/whole0"
volume "$T/whole1" -O extra_attr,inode_checksum,sb_checksum,compression
volume "$T/whole2" -i
python3 "$F2FS" mirror "$T/whole2"
# What mkfs leaves: all in the journals
truncate -s 80M "$T/whole3"
mkfs.f2fs -q -f "$T/whole3" >/dev/null 2>&1
yes garbage | head -c 80M >"$T/garbage" || true

refused=0 raw=0 mapped=0 readable=0

# round SEED: damage one of the volumes, capture it, and restore it over something else
round() {
	local seed=$1 code=0 driver
	rm -f "$T"/{now,now.calco,copy}
	cp --sparse=always "$T/whole$((seed % 4))" "$T/now"
	python3 "$F2FS" mutate "$T/now" "$seed" >"$T/damage"
	timeout 60 "$CALCO" capture "$T/now" "$T/now.calco" --json >"$T/told" 2>"$T/err" || code=$?
	if [ "$code" -eq 4 ]; then
		json_true "$T/told" 'd["error"]["reason"] in ("dirty", "errors", "set-member")'
		refused=$((refused + 1))
		return
	fi
	[ "$code" -eq 0 ] || { cat "$T/damage" "$T/err" >&2; fail "exit code $code with damage $seed"; }
	cp "$T/garbage" "$T/copy"
	run_calco restore "$T/now.calco" "$T/copy" --confirm copy --scrub none
	driver=$(json_get "$T/told" 'd["result"]["volumes"][0]["driver"]')
	if [ "$driver" = raw ]; then
		raw=$((raw + 1))
		cmp "$T/now" "$T/copy" || fail "damage $seed: raw is not a copy of everything"
		return
	fi
	mapped=$((mapped + 1))
	if python3 "$F2FS" list "$T/now" >"$T/list" 2>/dev/null; then
		readable=$((readable + 1))
		python3 "$F2FS" list "$T/copy" >"$T/list.copy" || fail "damage $seed: the copy cannot be read"
		cmp "$T/list" "$T/list.copy" || { cat "$T/damage" >&2; fail "damage $seed: the files differ"; }
	fi
}

for seed in $(seq "${FIRST:-1}" $((${FIRST:-1} + ${MUTATIONS:-30} - 1))); do
	round "$seed"
done
echo "refused $refused, raw $raw, mapped $mapped, of these $readable readable"
if [ "$raw" -eq 0 ] || [ "$readable" -eq 0 ]; then fail "the damage is not varied enough"; fi
