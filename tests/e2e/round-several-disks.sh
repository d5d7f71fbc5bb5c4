#!/bin/bash
# Several disks in one image: each comes back to its own target, whatever their kinds and sizes.
. "$(dirname "$0")/rounds.sh"

disk=first.img
truncate -s $((50 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:0 $disk >/dev/null
part 1 fat16
FILES=odd part 2 ext4
disk=second.img
truncate -s $((33 * 1024 * 1024 + 777)) $disk
FILES=odd part 0 ext3
disk=third.img
truncate -s $((20 * 1024 * 1024)) $disk
echo 'start=63, size=30001' | sfdisk -q $disk
part 1 raw
for d in first second third; do holds_deleted_data $d.img; [ $d = second ] && break; done

hash_of first.img >before
run_calco capture first.img second.img third.img all.calco
hash_of first.img | cmp - before
run_calco verify all.calco
python3 "$READER" check all.calco
run_calco info all.calco --json
json_true out '[x["table"] for x in d["result"]["disks"]] == ["gpt", "none", "mbr"]'
check_all() {
	run_calco verify all.calco --against "$1-1.img" --against "$1-2.img" --against "$1-3.img"
	python3 "$READER" compare all.calco "$1-1.img" "$1-2.img" "$1-3.img"
	local i=1
	for source in first.img second.img third.img; do
		if has_table $source; then same_tables "$1-$i.img"; fi
		check_disk "$1-$i.img"
		i=$((i + 1))
	done
}
run_calco restore all.calco new-1.img new-2.img new-3.img
check_all new
! LC_ALL=C grep -q -a -F "$MARKER" new-*.img || fail "deleted data came along"
i=1
for d in first second third; do
	garbage full-$i.img "$(stat -c %s $d.img)"
	i=$((i + 1))
done
run_calco restore all.calco full-1.img full-2.img full-3.img --confirm full-1.img --confirm full-2.img --confirm full-3.img
check_all full
expect_exit 3 "$CALCO" verify all.calco --against new-1.img --against new-3.img --against new-2.img
cat all.calco | "$CALCO" restore - full-1.img full-2.img full-3.img --confirm full-1.img --confirm full-2.img --confirm full-3.img >out 2>err
check_all full
