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
expect_text out "^restored partition 2 \\(ext4 'root'\\) of 'lab' version 1 to other.img"
run_calco verify lab.calco --only root --against other.img
cmp -n "${place[0]}" other.img before.img || fail "something before the volume was touched"
end=$((place[0] + place[1]))
cmp -i "$end" other.img before.img || fail "something behind the volume was touched"

# The plan and the report name the volume and its place; a partition of another type is told, and stays of that type.
sgdisk -t 2:8200 other.img >/dev/null
for image in lab.calco -; do
	"$CALCO" restore $image other.img --only root --dry-run <lab.calco >out
	expect_text out "will get +partition 2 \\(ext4 'root'\\)" "place +partition 2 of the target, at ${place[0]}; in the image at ${place[0]}" \
		"type +'Linux swap', in the image 'Linux filesystem'"
	expect_no_text out 'will get +disk'
	"$CALCO" restore $image other.img --only root --dry-run --json <lab.calco >out
	json_true out "(lambda p: p['offset'] == p['image_offset'] == ${place[0]} and p['partition'] == 2 and p['other_type'])(d['result']['targets'][0]['place'])"
	json_true out "d['result']['volume'] == \"partition 2 (ext4 'root')\""
done
expect_exit 0 "$CALCO" restore - other.img --only root --confirm other.img --state state --json <lab.calco
json_true out "d['result']['volume'] == \"partition 2 (ext4 'root')\""
sgdisk -i 2 other.img | grep -q 'Linux swap' || fail "the table was changed"
run_calco restore lab.calco part.img --only root --dry-run
expect_text out "place +the start of the target; in the image at ${place[0]}"
run_calco restore lab.calco part.img --dry-run --json
json_true out 'd["result"]["volume"] is None and "place" not in d["result"]["targets"][0]'

# Elsewhere on the target: refused with what is there, before anybody is asked.
sgdisk -d 2 -n 2:+1M:-9M other.img >/dev/null
expect_exit 4 "$CALCO" restore lab.calco other.img --only root
expect_text err "no partition at ${place[0]} .*; its partition 2 is at $((place[0] + 1048576)) with a length of"
expect_no_text err 'not confirmed'
expect_exit 4 "$CALCO" restore lab.calco other.img --only root --dry-run --json
json_true out 'd["error"]["reason"] == "no-place"'

expect_exit 2 "$CALCO" restore lab.calco part.img --only nothing
expect_exit 2 "$CALCO" restore lab.calco a.img b.img --only root
truncate -s 16M small.img
expect_exit 4 "$CALCO" restore lab.calco small.img --only root --yes
