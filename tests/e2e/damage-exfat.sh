#!/bin/bash
# Crude damage to the metadata of exFAT volumes: refused, taken raw, or captured so that an independent reader finds the same files in
# the restored copy. MUTATIONS: how many (60)
. "$(dirname "$0")/functions.sh"
requires python3

EXFAT=$ROOT/tests/tools/exfat.py
python3 "$EXFAT" make "$T/whole0" 3000320 cluster=512 files=60 deleted=5 dirs=9 max=4000
python3 "$EXFAT" make "$T/whole1" 3000320 cluster=1024 files=60 deleted=5 max=4000 seed=2 bad=3
python3 "$EXFAT" make "$T/whole2" 3000320 cluster=1024 fats=2 active=1 second=5 files=60 max=4000 seed=3

refused=0 raw=0 mapped=0 readable=0

# round SEED: damage one of the volumes, capture it, and restore it over something else
round() {
	local seed=$1 code=0 driver
	rm -f "$T"/{now,now.calco,copy}
	cp "$T/whole$((seed % 3))" "$T/now"
	python3 "$EXFAT" mutate "$T/now" "$seed" >"$T/damage"
	timeout 60 "$CALCO" capture "$T/now" "$T/now.calco" --json >"$T/told" 2>"$T/err" || code=$?
	if [ "$code" -eq 4 ]; then
		json_true "$T/told" 'd["error"]["reason"] in ("dirty", "errors")'
		refused=$((refused + 1))
		return
	fi
	[ "$code" -eq 0 ] || { cat "$T/damage" "$T/err" >&2; fail "exit code $code with damage $seed"; }
	yes garbage | head -c 3000320 >"$T/copy"
	run_calco restore "$T/now.calco" "$T/copy" --confirm copy
	driver=$(json_get "$T/told" 'd["result"]["volumes"][0]["driver"]')
	if [ "$driver" = raw ]; then
		raw=$((raw + 1))
		cmp "$T/now" "$T/copy" || fail "damage $seed: raw is not a copy of everything"
		return
	fi
	mapped=$((mapped + 1))
	if python3 "$EXFAT" list "$T/now" >"$T/list" 2>/dev/null; then
		readable=$((readable + 1))
		python3 "$EXFAT" list "$T/copy" >"$T/list.copy" || fail "damage $seed: the copy cannot be read"
		cmp "$T/list" "$T/list.copy" || { cat "$T/damage" >&2; fail "damage $seed: the files differ"; }
	fi
}

for seed in $(seq "${MUTATIONS:-60}"); do
	round "$seed"
done
echo "refused $refused, raw $raw, mapped $mapped, of these $readable readable"
if [ "$refused" -eq 0 ] || [ "$raw" -eq 0 ] || [ "$readable" -eq 0 ]; then fail "the damage is not varied enough"; fi
