#!/bin/bash
# Prune takes away what no version needs and nothing else: not from readers, not from captures, whatever it is interrupted by.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs
cd "$T"

size() { du -s --block-size=1 store/packs | cut -f 1; }

truncate -s 60M disk.img
mke2fs -q -F -t ext4 -L root disk.img
run_calco repo init store
for n in 1 2 3 4; do
	head -c 4000000 /dev/urandom >"f$n"
	debugfs -w -R "write f$n f$n" disk.img >/dev/null 2>&1
	[ "$n" -lt 3 ] || debugfs -w -R "rm f$((n - 2))" disk.img >/dev/null 2>&1
	cp disk.img "v$n.img"
	run_calco capture disk.img store::lab
done
run_calco repo prune store
for n in 1 2 3 4; do run_calco verify "store::lab@$n" --against "v$n.img"; done

# Removed versions give their space back, the others stay what they are.
before=$(size)
run_calco repo rm store lab@1 lab@2
run_calco repo prune store --dry-run
[ "$(size)" = "$before" ] || fail "a dry run changed the packs"
run_calco repo prune store
[ $((before - $(size))) -gt 3900000 ] || fail "only $((before - $(size))) bytes came back"
for n in 3 4; do run_calco verify "store::lab@$n" --against "v$n.img"; done
run_calco repo prune store --max-unused 0
for n in 3 4; do run_calco verify "store::lab@$n" --against "v$n.img"; done
run_calco repo check store --read-data

# What moved lends leaves still: an equal version costs next to nothing, a changed one little.
before=$(size)
cp v4.img disk.img
head -c 5000 /dev/urandom >f5
debugfs -w -R "write f5 f5" disk.img >/dev/null 2>&1
run_calco capture disk.img store::lab
[ $(($(size) - before)) -lt 200000 ] || fail "5,000 new bytes cost $(($(size) - before))"
run_calco verify store::lab@5 --against disk.img

# Somebody reads, as far as his lease tells: what he may read stays until he is gone, however he ends.
python3 -c '
import fcntl, time
f = open("store/leases/" + "5" * 32, "x")
fcntl.flock(f, fcntl.LOCK_EX)
print("ready", flush=True)
time.sleep(600)' >ready &
reader=$!
cleanup_fn kill -9 $reader 2>/dev/null
for _ in $(seq 200); do
	[ ! -s ready ] || break
	sleep 0.05
done
run_calco repo rm store lab@3 lab@4
run_calco repo prune store --json
json_true out 'd["result"]["waiting_bytes"] > 0 and d["result"]["removed_packs"] == 0'
run_calco capture v4.img store::lab
run_calco verify store::lab@6 --against v4.img
kill -9 $reader
wait $reader || true
run_calco repo prune store --json
json_true out 'd["result"]["waiting_bytes"] == 0 and d["result"]["removed_packs"] > 0'
run_calco verify store::lab@5 --against disk.img
run_calco verify store::lab@6 --against v4.img
run_calco repo rm store lab@5 lab@6
run_calco repo prune store
[ -z "$(find store/packs store/leaves store/retired store/leases store/new -type f)" ] || fail "something stayed: $(find store -type f)"

# A capture that is stopped has added nothing; the next one uses what it had stored.
truncate -s 200M big.img
mke2fs -q -F -t ext4 big.img
head -c 100000000 /dev/urandom >big
debugfs -w -R "write big big" big.img >/dev/null 2>&1
"$CALCO" capture big.img store::big --threads 1 >/dev/null 2>&1 &
writer=$!
for _ in $(seq 1000); do
	[ "$(cat store/new/*.pack 2>/dev/null | wc -c)" -lt 10000000 ] || break
	sleep 0.01
done
kill -9 $writer
wait $writer && fail "it was too fast to be killed"
expect_exit 2 "$CALCO" info store::big
run_calco repo prune store --json
json_true out 'd["result"]["unfinished_bytes"] > 9000000'
run_calco capture big.img store::big --json
json_true out 'd["result"]["image_bytes"] < 95000000'
expect_text err 'interrupted capture had stored'
run_calco verify store::big --against big.img
run_calco repo check store --read-data
