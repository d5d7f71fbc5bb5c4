#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs_mutate.py SEED COUNT - crude damage to the metadata of small btrfs file systems, and what calco makes of it.

Works in the current folder, which holds base-1.img, base-2.img, ...; CALCO names the program. Each round changes some bytes of
superblocks and live tree blocks of a copy, mostly with right checksums, in one copy of the block or in all, and captures it. That must
end in time, with an image or a refusal. An image is restored over garbage, all of it kept, and then

- every used byte is the source's, every zero byte is zero (extents by "calco info");
- where "btrfs check --check-data-csum" finds the source good, it finds the copy good. A driver that dropped extents would be found out here.
"""
import json
import os
import random
import shutil
import subprocess
import sys

import btrfs_image

CALCO = os.environ["CALCO"]
REASONS = ("tree-log", "set-member", "errors", "device-replace", "stale-member")


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)


def fail(text, *output):
    for o in output:
        sys.stderr.write(o.decode(errors="replace")[:3000])
    sys.exit(f"FAILED: {text}")


def blocks(path):
    """Places of the copies of all live tree blocks, with the tree and how many bytes of items there are"""
    image = btrfs_image.Image(path)
    found = []
    for tree, logical in image.trees():
        todo = [logical]
        while todo:
            b = btrfs_image.Block(image, todo.pop())
            found.append((tree, b.places, b.number * (btrfs_image.POINTER if b.level else btrfs_image.ITEM), image.node_size))
            todo += b.children() if b.level else ()
    image.file.close()
    return found


def change(rng, data, at, size):
    old = data[at:at + size]
    data[at:at + size] = rng.choice((
        lambda: bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:],
        lambda: bytes(size),
        lambda: b"\xff" * size,
        lambda: rng.randbytes(size),
        lambda: data[(other := rng.randrange(len(data) - size)):other + size]))()


def damage(rng, path, known):
    """Some changes; what was done, in words"""
    done = []
    with open(path, "r+b") as f:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            if rng.randrange(8) == 0:
                name, places, length = "super", [rng.choice((65536, 65536, 64 << 20))], 4096
                at = rng.choice((rng.randrange(32, 0x12B), rng.randrange(0x32B, 0x42B)))
            else:
                # The trees that the driver walks, more often than their number would have it
                of = [b for b in known if b[0] == rng.choice((1, 2, 2, 2, 3, 4, 10))] or known
                tree, places, items, length = rng.choice(of)
                name = f"tree-{tree}"
                at = rng.choice((rng.randrange(32, 101), 101 + rng.randrange(max(items, 1)), 101 + rng.randrange(max(items, 1)), rng.randrange(length - 600, length)))
            size = min(rng.choice((1, 1, 1, 2, 4, 8, 32)), length - at)
            if places[0] + length > os.path.getsize(path):
                continue
            f.seek(places[0])
            data = bytearray(f.read(length))
            change(rng, data, at, size)
            fixed = rng.randrange(4) > 0
            if fixed:
                data[0:4] = btrfs_image.crc32c(data[32:]).to_bytes(4, "little")
            for p in places if rng.randrange(3) else places[:1]:
                f.seek(p)
                f.write(data)
            done.append(f"{name}+{at}:{size}{'' if fixed else '!'}")
    return " ".join(done)


def check_bytes(extents):
    with open("m.img", "rb") as a, open("t.img", "rb") as b:
        for x in extents:
            a.seek(x["start"])
            b.seek(x["start"])
            want = a.read(x["length"]) if x["state"] == "used" else bytes(x["length"])
            if want != b.read(x["length"]):
                fail(f"extent {x} differs")


def checker(path):
    """0 where btrfs check is content; another number, or None where it has trouble of its own"""
    try:
        return run("btrfs", "check", "--readonly", "--check-data-csum", path)
    except subprocess.TimeoutExpired:
        return None


def one_round():
    """Capture m.img; what happened: the driver's name, "whole" where the checker was content, too, or "refused"."""
    for f in ("m.calco", "t.img"):
        if os.path.exists(f):
            os.remove(f)
    got = run(CALCO, "capture", "m.img", "m.calco", "--json")
    if got.returncode == 4:
        reason = json.loads(got.stdout)["error"]["reason"]
        if reason not in REASONS:
            fail(f"refused for '{reason}'", got.stderr)
        return "refused"
    if got.returncode != 0:
        fail(f"capture ended with {got.returncode}", got.stdout, got.stderr)
    shutil.copyfile("g.img", "t.img")
    os.truncate("t.img", os.path.getsize("m.img"))
    got = run(CALCO, "restore", "m.calco", "t.img", "--confirm", "t.img", "--scrub", "none")
    if got.returncode != 0:
        fail(f"restore ended with {got.returncode}", got.stderr)
    info = json.loads(run(CALCO, "info", "m.calco", "--extents", "--json").stdout)["result"]
    volume = info["volumes"][0]
    if volume["driver"] != "btrfs" and volume["raw"] != "fallback":
        fail("neither btrfs nor raw")
    check_bytes(info["extents"])
    if volume["driver"] != "btrfs":
        return "raw"
    before = checker("m.img")
    if not before or before.returncode != 0:
        return "btrfs"
    after = checker("t.img")
    if not after or after.returncode != 0:
        fail("the copy has errors that its source has not", after.stdout if after else b"", after.stderr if after else b"")
    return "whole"


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    bases = sorted(f for f in os.listdir() if f.startswith("base-"))
    known = {b: blocks(b) for b in bases}
    results = {}
    rng = random.Random(seed)
    with open("g.img", "wb") as f:
        f.write(rng.randbytes(1 << 20) * (max(os.path.getsize(b) for b in bases) >> 20))
    for i in range(count):
        rng = random.Random(seed * 1000003 + i)
        base = bases[i % len(bases)]
        run("cp", "--sparse=always", base, "m.img")
        done = damage(rng, "m.img", known[base])
        print(f"round {i}: {base} {done}", end=" ", flush=True)
        result = one_round()
        print(result)
        results[result] = results.get(result, 0) + 1
    print(results)
    # A test that never gets beyond the superblock would prove nothing.
    if min(results.get("whole", 0), results.get("raw", 0)) < count // 10:
        fail("too few rounds of one kind")


main()
