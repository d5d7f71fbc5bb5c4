#!/bin/bash
# Metadata of NTFS changed at random: every capture ends, and what it does not refuse is a whole copy. ROUNDS=60; tests/long/ asks for more.
. "$(dirname "$0")/functions.sh"
requires mkntfs ntfscp ntfscat python3 openssl

cd "$T"
export CALCO PYTHONDONTWRITEBYTECODE=1
seq 1 80 >small
openssl enc -aes-128-ctr -K 02 -iv 00 -in /dev/zero 2>/dev/null | head -c 900000 >large || true
head -c 70001 large >last

# volume FILE SIZE OPTION...
volume() {
	local file=$1 i
	truncate -s "$2" "$file"
	mkntfs -q -F -L mutant "${@:3}" "$file" >/dev/null 2>&1
	ntfscp -q "$file" small /small >/dev/null 2>&1
	for i in $(seq 40); do ntfscp -q "$file" small "/many-$i" >/dev/null 2>&1; done
	ntfscp -q "$file" large /large >/dev/null 2>&1
	# In pieces: what fits between others
	ntfscp -q "$file" last /pieces >/dev/null 2>&1
	ntfscp -q "$file" last /last >/dev/null 2>&1
	ntfscp -q "$file" large /pieces >/dev/null 2>&1
	[ "$(ntfscat "$file" /pieces 2>/dev/null | cksum)" = "$(cksum <large)" ] || fail "$file is not filled"
}

volume base-1.img 6M -c 512
volume base-2.img 9M -c 4096
volume base-3.img 12M -s 4096 -c 4096
volume base-4.img 7M -c 512
python3 "$ROOT/tests/tools/ntfs_image.py" split base-4.img 0 6 2
[ "$(ntfscat base-4.img /large 2>/dev/null | cksum)" = "$(cksum <large)" ] || fail "ntfscat does not take the attribute list"
python3 "$ROOT/tests/tools/ntfs_mutate.py" "${SEED:-7}" "${ROUNDS:-60}" >log || { tail -n 3 log >&2; fail "see above"; }
tail -n 1 log
