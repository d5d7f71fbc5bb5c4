#!/bin/bash
# capture --replay: what it makes of a file system that was not unmounted equals what e2fsck's own replay makes of a copy of it, byte for
# byte; the source stays as it is. The journals are those of a kernel that was cut off while it wrote.
# In a mount namespace of its own: a copy of its mounts in another test's would keep the file system mounted.
if [ -z "${OWN_NAMESPACE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	OWN_NAMESPACE=1 exec unshare -m "$0" "$@"
fi
. "$(dirname "$0")/functions.sh"

requires_loop
requires mke2fs e2fsck dumpe2fs debugfs xfs_io python3

cd "$T"
mkdir mnt
cleanup_fn umount -q "$T/mnt"
# Content that begins like a block of the log itself, which the log must escape (with data=journal).
for _ in $(seq 20); do printf '\300\073\071\230%01020d' 7; done >magic
RANDOM=${SEED:-4711}

# busy FILE: mount it, keep writing, and cut it off in the middle; each file in ok/ was synced before the cut
busy() {
	local n=0 cut=$((RANDOM % 60 + 20)) i
	mount -t ext4 -o "loop,$MOUNT" "$1" mnt
	mkdir mnt/ok
	for ((i = 0; i < cut; i++)); do
		mkdir -p mnt/d$((i % 7))
		head -c $((RANDOM % 40000)) /dev/urandom >mnt/d$((i % 7))/f$i
		if ((i > 9 && i % 3 == 0)); then rm -f mnt/d$(((i - 9) % 7))/f$((i - 9)); fi
		if ((i % 13 == 0)); then rm -rf mnt/d$(((i + 3) % 7)); fi
		if ((RANDOM % 6 == 0)); then
			n=$((n + 1))
			cp magic mnt/ok/$n
			sync -f mnt
		fi
	done
	# -f: with what is in the log; without: the transaction under work is lost, too
	if ((RANDOM % 2)); then xfs_io -x -c 'shutdown -f' mnt; else xfs_io -x -c shutdown mnt; fi
	umount mnt
	echo "$n" >kept
}

needs_recovery() {
	dumpe2fs -h "$1" 2>/dev/null | grep -q needs_recovery
}

# same_but_super A B: equal but for when and how much was written, which e2fsck notes in the superblock (s_wtime, s_kbytes_written)
same_but_super() {
	python3 - "$1" "$2" <<-'PYTHON'
		import sys
		a, b = (bytearray(open(name, "rb").read()) for name in sys.argv[1:])
		for image in a, b:
		    for at, n in (0x30, 4), (0x178, 8), (0x274, 1), (0x3FC, 4):
		        image[1024 + at:1024 + at + n] = bytes(n)
		wrong = [i for i in range(0, max(len(a), len(b)), 1024) if a[i:i + 1024] != b[i:i + 1024]]
		sys.exit(f"they differ at {wrong[:20]}" if wrong else 0)
	PYTHON
}

# judge FILE: capture --replay, and compare with e2fsck's replay
judge() {
	local was i
	was=$(sha256sum <"$1")
	expect_exit 4 "$CALCO" capture "$1" image.calco
	run_calco capture "$1" image.calco --replay
	expect_text out 'clean, journal replayed'
	[ "$(sha256sum <"$1")" = "$was" ] || fail "the source was changed"
	run_calco info image.calco --json
	json_true out 'd["result"]["volumes"][0]["replayed"] and d["result"]["volumes"][0]["state"] == "clean"'
	json_true out 'd["result"]["volumes"][0]["driver"] == "ext" and "journal was replayed" in d["result"]["volumes"][0]["notice"]'
	"$ROOT/tests/reader/calco_reader.py" check image.calco >/dev/null || fail "the independent reader"
	run_calco restore image.calco restored.img
	run_calco verify image.calco --against restored.img
	! needs_recovery restored.img || fail "the restored journal is to be replayed"

	cp --sparse=always "$1" judged.img
	e2fsck -y -E journal_only judged.img >out 2>&1 || [ $? -eq 1 ] || fail "e2fsck: $(cat out)"
	! needs_recovery judged.img || fail "e2fsck did not replay"
	run_calco capture judged.img judged.calco
	run_calco restore judged.calco judged-restored.img
	same_but_super restored.img judged-restored.img || fail "it is not what e2fsck makes of it"

	# What the kernel says: orphans are its business.
	cp --sparse=always restored.img mounted.img
	mount -o loop mounted.img mnt
	for ((i = 1; i <= $(cat kept); i++)); do
		cmp magic mnt/ok/$i || fail "file $i is lost"
	done
	umount mnt
	e2fsck -fn mounted.img >out 2>&1 || fail "e2fsck after a mount: $(cat out)"
	rm -f ./*.calco restored.img judged.img judged-restored.img mounted.img
}

# made SIZE OPTION...
made() {
	rm -f fs.img
	truncate -s "$1" fs.img
	shift
	mke2fs -q -F "$@" fs.img
}

kinds=(
	"48M -t ext4 -b 4096"
	"24M -t ext4 -b 1024 -J size=1"
	"24M -t ext4 -b 1024 -O ^64bit,^metadata_csum -J size=1"
	"40M -t ext4 -b 2048 -O 64bit,^metadata_csum -J size=2"
	"24M -t ext3 -b 1024 -J size=1"
	"48M -t ext3 -b 4096"
)
for i in $(seq 0 $((${CUTS:-6} - 1))); do
	kind=${kinds[i % ${#kinds[@]}]}
	# shellcheck disable=SC2086 # a list of options
	made $kind
	# with all data in the journal it goes round soon
	case $((i / ${#kinds[@]} % 4)) in
	0) MOUNT=noatime,data=journal ;;
	1) MOUNT=noatime ;;
	2) MOUNT=noatime,journal_checksum ;;
	3) MOUNT=noatime,data=writeback,journal_async_commit ;;
	esac
	busy fs.img
	needs_recovery fs.img || fail "$kind: nothing to replay"
	echo "cut $i: $kind $MOUNT"
	judge fs.img
done

# ---- what is refused, with nothing left and nothing changed

# refused FILE REASON
refused() {
	local was
	was=$(sha256sum <"$1")
	expect_exit 4 "$CALCO" capture "$1" image.calco --replay --json
	json_true out "d['error']['reason'] == '$2' and d['error']['hint']"
	[ ! -e image.calco ] && [ ! -e image.calco.part ] || fail "a refused capture left a file"
	[ "$(sha256sum <"$1")" = "$was" ] || fail "the source was changed"
}

# One byte of the log's first blocks, in the middle of what was committed.
made 40M -t ext4 -b 1024 -O metadata_csum
MOUNT=noatime,data=journal
busy fs.img
block=$(debugfs -R 'bmap <8> 2' fs.img 2>/dev/null)
cp --sparse=always fs.img damaged.img
printf '\125' | dd of=damaged.img bs=1 seek=$((block * 1024 + 555)) conv=notrunc status=none
refused damaged.img damaged-journal
# Errors the kernel found, and a journal that the superblock does not tell of.
cp --sparse=always fs.img errors.img
debugfs -w -R 'set_super_value state 3' errors.img 2>/dev/null
refused errors.img errors
cp --sparse=always fs.img untold.img
debugfs -w -R 'feature ^needs_recovery' untold.img >/dev/null 2>&1
refused untold.img dirty-journal

# ---- what the disk that was captured is held to be afterwards, and what needs no replay

run_calco capture fs.img image.calco --replay
expect_exit 3 "$CALCO" verify image.calco --against fs.img
expect_text out 'with its journal replayed'
run_calco restore image.calco clean.img
expect_exit 3 "$CALCO" verify image.calco --against damaged.img
e2fsck -fy clean.img >/dev/null 2>&1 || true
run_calco capture clean.img clean.calco --replay
run_calco info clean.calco --json
json_true out 'not d["result"]["volumes"][0]["replayed"] and d["result"]["volumes"][0]["notice"] is None'
