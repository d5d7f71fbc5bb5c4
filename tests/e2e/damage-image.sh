#!/bin/bash
# Damage of a stored image is found and located: a flipped byte names the volume and the place, a missing tail is no image.
. "$(dirname "$0")/rounds.sh"

disk=golden.img
truncate -s $((50 * 1024 * 1024 + 512)) $disk
sgdisk -a 1 -n 1:63:+20001 -t 1:EF00 -n 2:30001:+60001 -c 2:root $disk >/dev/null
part 1 fat16
FILES=odd GONE=1 part 2 ext4 -L golden-root
attach_partition 2
mount "$dev" mnt
random_bytes 9000000 >mnt/noise
# Where the middle of this file lies: in blocks of the file system.
block=$(debugfs -R 'bmap noise 1000' "$dev" 2>/dev/null || true)
umount mnt
block=$(debugfs -R 'bmap noise 1000' "$dev" 2>/dev/null)
block_size=$(blkid -p -o value -s FSBLOCKSIZE "$dev" 2>/dev/null || true)
block_size=$(dumpe2fs -h "$dev" 2>/dev/null | awk '/^Block size:/ { print $3 }')
detach "$dev"
run_calco capture $disk golden.calco
size=$(stat -c %s golden.calco)

# flip FILE OFFSET
flip() {
	python3 - "$1" "$2" <<-'PYTHON'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte ^ 0x10]))
	PYTHON
}

# The noise does not shrink, so that its bytes stand in the image as they are: find them and change one.
offset=$((30001 * 512 + block * block_size))
spot=$(python3 - $disk golden.calco $offset <<-'PYTHON'
	import sys
	with open(sys.argv[1], "rb") as f:
	    f.seek(int(sys.argv[3]))
	    noise = f.read(512)
	print(open(sys.argv[2], "rb").read().find(noise))
PYTHON
)
[ "$spot" -gt 0 ] || fail "the noise is not in the image as it is"
cp golden.calco bad.calco
flip bad.calco "$spot"
expect_exit 3 "$CALCO" verify bad.calco
expect_text out 'partition 2.*ext4'
expect_exit 3 "$CALCO" verify bad.calco --json
json_true out 'd["result"]["verdict"] == "damaged" and len(d["result"]["damages"]) == 1'
json_true out '"partition 2" in d["result"]["damages"][0]["volume"] and d["result"]["damages"][0]["disk"] == 0'
json_true out "d['result']['damages'][0]['start'] <= $offset < d['result']['damages'][0]['start'] + d['result']['damages'][0]['length'] <= d['result']['damages'][0]['start'] + (256 << 10)"
python3 "$READER" check bad.calco >/dev/null && fail "the second reader finds no damage"

# Any byte anywhere: head, records, ids, index, trailer.
for at in 0 20 70 200 $((size / 7)) $((size / 3)) $((size - 20000)) $((size - 900)) $((size - 140)) $((size - 130)) $((size - 50)) $((size - 1)); do
	cp golden.calco bad.calco
	flip bad.calco $at
	status=0
	"$CALCO" verify bad.calco >out 2>err || status=$?
	# In the preamble a bit may name a version or a feature of the future.
	[ $status = 3 ] || { [ $status = 6 ] && [ $at -lt 32 ]; } || fail "exit code $status with a bit changed at $at"
done

# A missing tail, of any length.
for cut in 0 1 63 64 5000 $((size / 2)) $((size - 128)) $((size - 1)); do
	head -c $cut golden.calco >bad.calco
	expect_exit 3 "$CALCO" verify bad.calco
	expect_exit 3 "$CALCO" info bad.calco
	garbage target.img "$(stat -c %s $disk)"
	was=$(hash_of target.img)
	expect_exit 3 "$CALCO" restore bad.calco target.img --confirm target.img
	# The end of a file is looked at first: nothing was written.
	[ "$(hash_of target.img)" = "$was" ] || fail "an image of $cut bytes was written to the target"
done
