#!/bin/bash
# A refresh brings a used disk back to its image, or on to the next version, by writing only what differs.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s 150M $disk
sgdisk -n 1:2048:+20M -t 1:EF00 -n 2:0:+90M -c 2:root -n 3:0:0 -t 3:8200 $disk >/dev/null
random_bytes 440 | dd of=$disk conv=notrunc status=none
part 1 fat16
FILES=odd GONE=2 part 2 ext4
part 3 swap
source=$disk
run_calco capture $disk golden.calco


# on_root FILE COMMAND...: with its second partition mounted on mnt
on_root() {
	local start len
	read -r start len < <(partition_place "$1" 2)
	attach "$1" --offset "$start" --sizelimit "$len"
	mount "$dev" mnt
	"${@:2}"
	umount mnt
	detach "$dev"
}

# a_day: logs, caches, files that are gone and others that come
a_day() {
	random_bytes 900000 >mnt/odd/new
	rm -r mnt/odd/many
	mkdir mnt/home
	cp mnt/odd/links/numbers mnt/home/moved
	echo changed >>mnt/odd/links/numbers
}

# figure NAME: of the last JSON document
figure() {
	python3 -c 'import json, sys; print(json.load(open("json"))["result"][sys.argv[1]])' "$1"
}

refresh() {
	"$CALCO" refresh golden.calco target.img --confirm target.img --json >json || fail "refresh: $(cat json)"
}

# ---- the same disk: nothing is written, and nothing discarded
run_calco restore golden.calco restored.img
cp --sparse=always restored.img target.img
touch -d '2001-02-03' target.img
refresh
[ "$(figure is_same)" = True ] && [ "$(figure written_bytes)" = 0 ] && [ "$(figure fetched_bytes)" = 0 ] || fail "$(cat json)"
[ "$(stat -c %Y target.img)" = "$(date -d '2001-02-03' +%s)" ] || fail "a disk that is the same was written to"
cmp restored.img target.img

# ---- a day later: few bytes go over, the foretold ones; the result is that of a restore
on_root target.img a_day
cp --sparse=always target.img used.img
"$CALCO" refresh golden.calco target.img --dry-run --json >json
foretold=$(figure changed_bytes)
cmp used.img target.img || fail "a dry run wrote"
refresh
[ "$(figure is_same)" = False ] || fail "$(cat json)"
written=$(figure written_bytes)
scanned=$(figure scanned_bytes)
[ "$foretold" -gt 0 ] && [ "$written" -lt $((scanned / 5)) ] && [ "$written" -le $((foretold + 3000000)) ] ||
	fail "$written bytes written, $foretold foretold, $scanned in use"
check_target target.img golden.calco
cmp restored.img target.img || fail "a refreshed file is not what a restore makes"
refresh
[ "$(figure is_same)" = True ] || fail "$(cat json)"

# ---- on to the next version, of a repository
cp --sparse=always $disk $disk.2
disk=$disk.2
cp golden.img.checks $disk.checks
cp golden.img.manifest.1 $disk.manifest.1
cp golden.img.manifest.3 $disk.manifest.3
day_two() {
	a_day
	random_bytes 300000 >mnt/odd/upgraded
	python3 "$HERE/tree_manifest.py" mnt >"$disk.manifest.2"
}
on_root $disk day_two
run_calco repo init repo
run_calco capture golden.img repo::golden
run_calco capture $disk repo::golden
source=$disk
cp --sparse=always used.img target.img
run_calco refresh repo::golden target.img --confirm target.img
check_content target.img repo::golden
run_calco refresh repo::golden@1 target.img --confirm target.img
source=golden.img
check_content target.img repo::golden@1

# ---- a foreign disk, an empty one, a larger one
truncate -s 150M target.img.new
mv target.img.new target.img
chmod 600 target.img
refresh
check_target target.img golden.calco
random_bytes 40000000 | dd of=target.img conv=notrunc status=none
refresh
check_target target.img golden.calco
truncate -s 170M target.img
refresh
run_calco verify golden.calco --against target.img
check_disk target.img
sgdisk -v target.img | grep -q 'No problems found' || fail "sgdisk is not content with the larger disk"
refresh
[ "$(figure is_same)" = True ] || fail "a larger disk is not recognised as refreshed"

# ---- one volume alone
cp --sparse=always used.img target.img
run_calco refresh golden.calco target.img --only root --confirm target.img
run_calco verify golden.calco --only root --against target.img
cmp -n $((21 * 1024 * 1024)) used.img target.img || fail "more than the volume was written"

# ---- what it cannot be
expect_exit 2 "$CALCO" refresh golden.calco nothing-there.img
[ ! -e nothing-there.img ] || fail "a refresh made a file"
expect_exit 2 "$CALCO" refresh - target.img <golden.calco

# ---- a damaged image: nothing of the damaged chunk is written, the disk is dead, and a sound image completes it
cp golden.calco damaged.calco
offset=$(python3 - <<'PYTHON'
data = open("damaged.calco", "rb").read()
places, at = [], data.find(b"CHNK")
while at >= 0:
    places.append(at)
    at = data.find(b"CHNK", at + 1)
print(places[len(places) // 2] + 120)
PYTHON
)
printf 'damaged' | dd of=damaged.calco bs=1 seek="$offset" conv=notrunc status=none
random_bytes 60000000 | dd of=target.img conv=notrunc status=none
expect_exit 3 "$CALCO" refresh damaged.calco target.img --confirm target.img
refresh
check_target target.img golden.calco

# ---- two disks, one of which was used
random_bytes 3000000 >second.img
run_calco capture golden.img second.img two.calco
run_calco restore two.calco one.img other.img
on_root one.img a_day
sum=$(sha256sum <other.img)
run_calco refresh two.calco one.img other.img --confirm one.img --confirm other.img
run_calco verify two.calco --against one.img --against other.img
[ "$(sha256sum <other.img)" = "$sum" ] || fail "the disk that was the same is another one now"
