#!/bin/sh
# make_f2fs_seeds.sh DIR - F2FS volumes as seeds for fuzz_f2fs, in its format (see there).
set -eu

out=$1
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out" "$tmp/tree/folder"
seq 1 9000 >"$tmp/tree/large"
seq 1 30 >"$tmp/tree/folder/small"
ln -s large "$tmp/tree/link"

# pack NAME: $tmp/fs without its zeros, and without what is in files: a pointer is looked up, not followed
pack() {
	python3 - "$tmp/fs" "$out/$1" <<-'END'
	import struct, sys
	data = open(sys.argv[1], "rb").read()
	main = struct.unpack_from("<I", data, 1024 + 92)[0] * 4096
	with open(sys.argv[2], "wb") as f:
	    f.write(struct.pack("<Q", len(data)))
	    for i in range(0, len(data), 512):
	        block = i // 4096 * 4096
	        nid, ino = struct.unpack_from("<2I", data, block + 4072)
	        is_node = 0 < ino < 64 and 0 < nid < 64
	        # Summaries of node segments and bits of the NAT mean nothing here.
	        if any(data[i:i + 512]) and (i < main or is_node) and f.tell() < 60000:
	            f.write(struct.pack("<I", i // 512) + data[i:i + 512])
	END
}

# seed NAME SIZE FILES OPTION...: FILES is "files" or "empty"
seed() {
	name=$1
	rm -f "$tmp/fs"
	truncate -s "$2" "$tmp/fs"
	files=$3
	shift 3
	mkfs.f2fs -f "$@" "$tmp/fs" >/dev/null 2>&1
	[ "$files" = empty ] || sload.f2fs -f "$tmp/tree" "$tmp/fs" >/dev/null 2>&1
	pack "$name"
}

seed mkfs 60M empty
seed files 64M files
seed extra 64M files -O extra_attr,inode_checksum,sb_checksum,compression
seed large-nat 64M empty -i
seed sections 96M files -s 2
seed read-only 60M empty -O ro
seed quota 64M files -O quota,lost_found
python3 "$here/../tools/f2fs.py" older "$tmp/fs"
pack older
rm -f "$tmp/fs"
truncate -s 60M "$tmp/fs"
mkfs.f2fs -f "$tmp/fs" >/dev/null 2>&1
python3 "$here/../tools/f2fs.py" normal "$tmp/fs"
pack normal
