#!/bin/bash
# What a repository loses is found, and told by version, volume and range; what follows from the records is made anew.
. "$(dirname "$0")/functions.sh"
requires mke2fs debugfs python3
cd "$T"

mkdir files
for n in $(seq 40); do openssl enc -aes-128-ctr -K "0$n" -iv 00 -in /dev/zero 2>/dev/null | head -c $((n * 20000)) >"files/$n" || true; done
truncate -s 40M disk.img
mke2fs -q -F -t ext4 -L root -d files disk.img
run_calco repo init store
run_calco capture disk.img store::lab
head -c 30000 /dev/urandom >new
debugfs -w -R "write new new" disk.img >/dev/null 2>&1
run_calco capture disk.img store::lab
run_calco repo check store
run_calco repo check store --read-data
run_calco repo check store --sample 50 --time-limit 100
cp -a store whole

# Any changed bit of a pack, a version or the head is found: some are tried everywhere, more where the tables stand.
python3 - "$CALCO" <<'PYTHON'
import os, shutil, subprocess, sys
calco, missed, tried = sys.argv[1], [], 0
for folder, _, names in sorted(os.walk("store")):
    for name in sorted(names):
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        if folder.endswith(("leaves", "leases")) or not size:
            continue
        step = max(size // 150, 1) if size > 5000 else 97
        places = sorted({p for p in (*range(0, 64, 5), *range(size - 140, size, 11), *range(0, size, step)) if 0 <= p < size})
        for p in places:
            with open(path, "r+b") as f:
                f.seek(p)
                was = f.read(1)
                f.seek(p)
                f.write(bytes([was[0] ^ (1 << p % 8)]))
            code = subprocess.run([calco, "repo", "check", "store", "--json"], capture_output=True).returncode
            tried += 1
            shutil.rmtree("store/damaged", ignore_errors=True)  # what is noted would be told again
            if code not in (3, 6):
                missed.append((path, p, code))
            with open(path, "r+b") as f:
                f.seek(p)
                f.write(was)
print(f"{tried} changed bits, {len(missed)} not found")
sys.exit(f"not found: {missed[:10]}" if missed else 0)
PYTHON
diff -r store whole || fail "checking changed something"

# A damaged record: the versions, the volume and the range.
pack=$(find store/packs -size +100k | head -n 1)
printf '\377\376\375' | dd of="$pack" bs=1 seek=100000 conv=notrunc status=none
expect_exit 3 "$CALCO" repo check store
expect_text out 'damaged +lab@1: 1 of' 'damaged +lab@2' "disk 1, whole disk .ext4 'root'.: [0-9]+\\+262144" 'pack [0-9a-f]+ at '
expect_exit 3 "$CALCO" verify store::lab@1
rm -rf store && cp -a whole store

# The table of contents and the caches follow from the records.
size=$(stat -c %s "$pack")
printf '\377\376\375' | dd of="$pack" bs=1 seek=$((size - 1000)) conv=notrunc status=none
rm store/leaves/*
expect_exit 3 "$CALCO" repo check store
expect_text out 'whole +lab@1' 'rebuild-index'
run_calco repo check store --rebuild-index
diff -r store whole || fail "the repository is not what it was"

# A lost pack; a lost version file.
rm "$pack"
expect_exit 3 "$CALCO" repo check store
expect_text out 'damaged +lab@1' 'damaged +lab@2'
expect_exit 3 "$CALCO" repo prune store
rm -rf store && cp -a whole store
head -c 500 whole/images/lab/1.version >store/images/lab/1.version
expect_exit 3 "$CALCO" repo check store
expect_text out 'lost +lab@1' 'whole +lab@2'
expect_exit 3 "$CALCO" repo prune store
run_calco repo rm store lab@1
run_calco repo check store
run_calco repo prune store
run_calco verify store::lab@2
