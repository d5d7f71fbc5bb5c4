# shellcheck shell=bash
# What is measured; read by run.sh. A case is a function that works on disk.img, used.bin and in/ and writes to out/. Its stages
# run under stage(), which counts their CPU time and memory.

# name and output, whose size is noted; in the order of a round
list_cases() {
	cat <<-'LIST'
		limit out/limit.zst
		calco_norecheck out/a.calco
		calco out/a.calco
		prototype out/frames
		prototype_recheck out/frames
		limit_all out/limit.zst
		qemu out/a.qcow2
		partclone out/a.pcl.zst
		dd_zstd out/a.img.zst
		calco_verify -
		zstd_test -
		write -
		decompress -
		hash -
		calco_restore_noverify -
		calco_restore -
		partclone_restore -
		qemu_restore -
	LIST
}

# The images that are verified and restored
prepare_cases() {
	[ -d in ] && return 0
	say "making the images to restore"
	mkdir -p out in.new
	case_calco
	case_limit
	case_partclone
	case_qemu
	mv out/* in.new
	mv in.new in
}

# ---- capture

case_limit() {
	stage zstd -q -T2 -3 used.bin -o out/limit.zst
}

case_limit_all() {
	stage zstd -q -T2 -3 all-used.bin -o out/limit.zst
}

case_calco() {
	stage "$CALCO" capture --threads 2 --progress none disk.img out/a.calco >/dev/null
}

case_calco_norecheck() {
	stage "$CALCO" capture --threads 2 --progress none --no-recheck disk.img out/a.calco >/dev/null
}

case_prototype() {
	stage "$TOOLS/prototype" used.bin out/frames
}

case_prototype_recheck() {
	stage "$TOOLS/prototype" --recheck used.bin out/frames
}

case_qemu() {
	stage qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd -m 8 -W disk.img out/a.qcow2
}

case_partclone() {
	stage partclone.extfs -c -q -L /dev/null -s disk.img -o - 2>/dev/null | stage zstd -q -T2 -3 -o out/a.pcl.zst
}

case_dd_zstd() {
	stage dd if=disk.img bs=1M status=none | stage zstd -q -T2 -3 -o out/a.img.zst
}

# ---- verify

case_calco_verify() {
	stage "$CALCO" verify --threads 2 --progress none in/a.calco >/dev/null
}

case_zstd_test() {
	stage zstd -q -t in/limit.zst
}

# ---- restore; the targets are new sparse files, and everybody ends with a flush of the target

case_write() {
	stage dd if=used.bin of=out/disk.img bs=1M conv=fsync status=none
}

case_decompress() {
	stage zstd -q -dc in/limit.zst >/dev/null
}

case_hash() {
	stage openssl dgst -sha256 used.bin >/dev/null
}

calco_restore() {
	stage "$CALCO" restore --threads 2 --progress none --yes --state out/state "$@" in/a.calco out/disk.img >/dev/null 2>&1
}

case_calco_restore() {
	calco_restore
}

case_calco_restore_noverify() {
	calco_restore --no-verify
}

case_partclone_restore() {
	stage zstd -q -dc in/a.pcl.zst | stage partclone.restore -q -C -W -L /dev/null -s - -O out/disk.img >/dev/null 2>&1
	stage sync out/disk.img
}

case_qemu_restore() {
	stage qemu-img convert -f qcow2 -O raw -m 8 -W in/a.qcow2 out/disk.img
	stage sync out/disk.img
}

# ---- plans of disks that are larger than the machine; facts, measured once

fill_1tib() {
	mkdir -p mnt
	mount -o loop big.img mnt
	fallocate -l 1G mnt/file
	umount mnt
}

note_plan() {
	local wall cpu peak
	read -r wall cpu peak < <(awk '{ print $1, $2 + $3, $4 }' stats)
	printf '%s_seconds %s\n%s_cpu %s\n%s_kib %s\n' "$1" "$wall" "$1" "$cpu" "$1" "$peak" >>facts
}

plan_cases() {
	rm -f big.img
	truncate -s 1T big.img
	mke2fs -q -F -t ext4 -E nodiscard,lazy_itable_init=1 big.img
	export -f fill_1tib
	unshare -m --propagation private bash -c fill_1tib
	command time -q -o stats -f '%e %U %S %M' "$CALCO" capture --dry-run --json big.img >plan.json
	note_plan plan_1tib
	python3 -c 'import json; print("plan_1tib_used", json.load(open("plan.json"))["result"]["used_bytes"])' >>facts
	rm big.img
	truncate -s 1T big.img
	mke2fs -q -F -t ext4 -b 4096 -i 67108864 -O ^has_journal,^metadata_csum,^uninit_bg,^resize_inode -E nodiscard big.img
	"$HERE/../tools/half-used-ext4.py" big.img
	command time -q -o stats -f '%e %U %S %M' "$CALCO" capture --dry-run big.img >/dev/null
	note_plan half_plan
	command time -q -o stats -f '%e %U %S %M' "$TOOLS/headsize" big.img >head.txt
	note_plan half_head
	sed 's/^/half_/; s/=/ /' head.txt >>facts
	rm big.img head.txt plan.json
}
