#!/bin/sh
# make_ntfs_seeds.sh DIR - real NTFS volumes as seeds for fuzz_ntfs, in its format (see there).
set -eu

out=$1
tools=$(cd "$(dirname "$0")/../tools" && pwd)
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
mkdir -p "$out"
# Without the tools there is nothing to replay but the stored corpus.
command -v mkntfs >/dev/null && command -v ntfscp >/dev/null || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# volume SIZE OPTION...
volume() {
	rm -f "$tmp/fs"
	truncate -s "$1" "$tmp/fs"
	shift
	mkntfs -q -F "$@" "$tmp/fs" >/dev/null 2>&1
}

# put NAME COMMAND...: a file with what the command prints
put() {
	name=$1
	shift
	"$@" >"$tmp/file"
	ntfscp -q "$tmp/fs" "$tmp/file" "$name" >/dev/null 2>&1
}

image() {
	python3 "$tools/ntfs_image.py" "$@"
}

# seed NAME [MARK]: with restart pages in the journal, or all of it would be looked at
seed() {
	image mark "$tmp/fs" 0 "${2:-clean}"
	image seed "$tmp/fs" "$out/$1"
}

volume 2M -c 512
seed small
volume 2M -c 512
put /file head -c 9000 /dev/zero
put /hiberfil.sys printf hibr
seed hibernated
volume 4M -c 4096
for i in 1 2 3 4 5 6 7 8 9; do put "/a-long-name-for-an-index-$i" head -c $((i * 999)) /dev/zero; done
put /Hiberfil.sys head -c 5000 /dev/zero
seed index
seed journal journal
seed kept kept
seed dirty dirty
volume 16M -s 4096 -c 4096
seed sectors-4k
volume 200M -c 131072
seed large-clusters
volume 4M -c 1024 -L 'a 😀 Größe'
image bad "$tmp/fs" 0 4000 70
seed bad-clusters
volume 8M -c 512
image split "$tmp/fs" 0 6 2
seed list-bitmap
volume 8M -c 512
image split "$tmp/fs" 0 0 51
seed list-mft
