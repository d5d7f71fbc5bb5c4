#!/bin/bash
# --only: one volume, to a new file, to a file without a table, and to its place on a disk; everything else stays as it is.
. "$(dirname "$0")/functions.sh"

cd "$T"
make_gpt_disk golden.img
run_calco capture golden.img lab.calco
get_partition golden.img 2 golden2

for word in 2 root 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0; do
	run_calco restore lab.calco part.img --only $word
	[ "$(stat -c %s part.img)" = "$(stat -c %s golden2)" ] || fail "the new file is not as large as the volume"
	e2fsck -fn part.img >/dev/null 2>&1 || fail "e2fsck finds errors"
	run_calco verify lab.calco --only $word --against part.img
	rm part.img
done

# In place on a disk whose first partition and boot code are somebody else's.
cp --sparse=always golden.img other.img
printf 'OTHER' | dd of=other.img conv=notrunc status=none
read -r -a place < <(partition_place other.img 1)
dd if=/dev/urandom of=other.img bs=1M oflag=seek_bytes seek="${place[0]}" count=1 conv=notrunc status=none
read -r -a place < <(partition_place other.img 2)
cp --sparse=always other.img before.img
dd if=/dev/urandom of=other.img bs=1M oflag=seek_bytes seek="$((place[0] + 1048576))" count=8 conv=notrunc status=none
run_calco restore lab.calco other.img --only root --confirm other.img --state state
run_calco verify lab.calco --only root --against other.img
cmp -n "${place[0]}" other.img before.img || fail "something before the volume was touched"
end=$((place[0] + place[1]))
cmp -i "$end" other.img before.img || fail "something behind the volume was touched"

expect_exit 2 "$CALCO" restore lab.calco part.img --only nothing
expect_exit 2 "$CALCO" restore lab.calco a.img b.img --only root
truncate -s 16M small.img
expect_exit 4 "$CALCO" restore lab.calco small.img --only root --yes
