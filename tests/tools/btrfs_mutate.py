#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs_mutate.py SEED COUNT - crude damage to the metadata of small btrfs file systems, and what calco makes of it.

Works in the current folder, which holds base-1.img, base-2.img, ...; CALCO names the program. Each round changes some bytes of
superblocks and live tree blocks of a copy, mostly with right checksums, in one copy of the block or in all, and captures it. That must
end in time, with an image or a refusal. An image is restored over garbage, all of it kept, and then

- every used byte is the source's, every zero byte is zero (extents by "calco info");
- where "btrfs check --check-data-csum" finds the source good, it finds the copy good. A driver that dropped extents would be found out here.
"""
import os
import random
import subprocess
import sys

import btrfs_image
from damage_rounds import capture_and_restore, changed, fail, rounds, run

REASONS = ("tree-log", "set-member", "errors", "device-replace", "stale-member")


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


def damage(rng, base, known):
    """Some changes in a copy, m.img; what was done, in words"""
    done, path = [], "m.img"
    run("cp", "--sparse=always", base, path)
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
            data[at:at + size] = changed(rng, data[at:at + size], lambda: data[(other := rng.randrange(len(data) - size)):other + size])
            fixed = rng.randrange(4) > 0
            if fixed:
                data[0:4] = btrfs_image.crc32c(data[32:]).to_bytes(4, "little")
            for p in places if rng.randrange(3) else places[:1]:
                f.seek(p)
                f.write(data)
            done.append(f"{name}+{at}:{size}{'' if fixed else '!'}")
    return " ".join(done)


def checker(path):
    """0 where btrfs check is content; another number, or None where it has trouble of its own"""
    try:
        return run("btrfs", "check", "--readonly", "--check-data-csum", path)
    except subprocess.TimeoutExpired:
        return None


def one_round(_):
    """What happened to m.img: the driver's name, "whole" where the checker was content, too, or "refused"."""
    volume = capture_and_restore(REASONS)
    if not volume:
        return "refused"
    if volume["driver"] != "btrfs":
        if volume["raw"] != "fallback":
            fail("neither btrfs nor raw")
        return "raw"
    before = checker("m.img")
    if not before or before.returncode != 0:
        return "btrfs"
    after = checker("t.img")
    if not after or after.returncode != 0:
        fail("the copy has errors that its source has not", after.stdout if after else b"", after.stderr if after else b"")
    return "whole"


def main():
    bases = sorted(f for f in os.listdir() if f.startswith("base-"))
    known = {b: blocks(b) for b in bases}
    with open("g.img", "wb") as f:
        f.write(random.Random(int(sys.argv[1])).randbytes(1 << 20) * (max(os.path.getsize(b) for b in bases) >> 20))
    rounds(lambda rng, base: damage(rng, base, known[base]), one_round, {"whole": 10, "raw": 10})


main()
