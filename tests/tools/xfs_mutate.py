#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""xfs_mutate.py SEED COUNT - crude damage to the metadata of small XFS volumes, and what calco makes of it.

Works in the current folder, which holds base-1.img, base-2.img, ...; CALCO names the program. Each round changes some bytes of a copy, in half
of them puts the checksum right, and captures it. That must end in time, with an image or a refusal. An image is restored over garbage, and then

- every used byte is the source's (extents by "calco info");
- so is every byte that was in use before the damage, which by itself frees nothing. A driver that dropped blocks would be found out here.
"""
import json
import os
import random
import struct
import sys

from crc32c import crc32c
from damage_rounds import CALCO, capture_and_restore, changed, fail, rounds, run

SUMS = {b"XFSB": 224, b"XAGF": 216, b"XAGI": 312, b"XAFL": 32, b"AB3B": 52, b"AB3C": 52, b"IAB3": 52, b"FIB3": 52, b"RMB3": 52, b"R3FC": 52, b"BMA3": 64}
KINDS = {b"XFSB": "super", b"XAGF": "agf", b"XAGI": "agi", b"XAFL": "agfl"}
TREES = (b"AB3B", b"AB3C", b"IAB3", b"FIB3", b"RMB3", b"R3FC", b"BMA3", b"ABTB", b"ABTC", b"IABT", b"BMAP")
WEIGHTS = {"super": 2, "agf": 4, "agi": 3, "agfl": 1, "tree": 8, "inode": 5, "log": 3}
REASONS = ("dirty-log", "in-progress", "needs-repair", "external-log", "realtime")


class Base:
    """A volume as it was: where its metadata stands, and what is in use."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        d = self.data
        block, = struct.unpack_from(">I", d, 4)
        self.has_crc = d[101] & 15 == 5
        sector, inode = struct.unpack_from(">HH", d, 102)
        group = struct.unpack_from(">I", d, 84)[0] * block
        log, = struct.unpack_from(">Q", d, 48)
        log = (log >> d[124]) * group + (log & (1 << d[124]) - 1) * block
        log_end = log + struct.unpack_from(">I", d, 96)[0] * block
        self.places = []
        for at in range(0, len(d) - block, sector):
            magic, length, kind = d[at:at + 4], sector, None
            if at % group < 4 * sector:
                kind = KINDS.get(magic) or "agfl"
            elif log <= at < log_end:
                kind = "log" if at < log + 300 * 512 else None
            elif (at % group) % block == 0 and magic in TREES:
                kind, length = "tree", block
            elif magic[:2] == b"IN" and at % inode == 0 and struct.unpack_from(">H", d, at + 2)[0]:
                kind, length = "inode", inode
            if kind:
                self.places.append((at, length, kind))
        self.kinds = sorted({p[2] for p in self.places})
        if run(CALCO, "capture", path, path + ".calco").returncode != 0:
            fail(f"{path} is not clean")
        info = json.loads(run(CALCO, "info", path + ".calco", "--extents", "--json").stdout)["result"]
        if info["volumes"][0]["driver"] != "xfs":
            fail(f"{path} is taken raw")
        self.used = [x for x in info["extents"] if x["state"] == "used"]

    def damage(self, rng):
        """A changed copy, m.img; what was done, in words."""
        d, done = bytearray(self.data), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            kind = rng.choices(self.kinds, [WEIGHTS[k] for k in self.kinds])[0]
            start, length, _ = rng.choice([p for p in self.places if p[2] == kind])
            size = rng.choice((1, 1, 1, 2, 4, 8, 64))
            at = start + rng.randrange(min(length, rng.choice((64, 256, length))) - min(size, 63))
            d[at:at + size] = changed(rng, d[at:at + size], lambda: bytes(d[start:start + size]))
            sum_at = 100 if kind == "inode" else SUMS.get(bytes(d[start:start + 4]))
            fixes = self.has_crc and sum_at is not None and rng.random() < 0.6
            if fixes:
                struct.pack_into("<I", d, start + sum_at, 0)
                struct.pack_into("<I", d, start + sum_at, crc32c(d[start:start + length]))
            done.append(f"{kind}@{start}+{at - start}:{size}{'=' if fixes else ''}")
        with open("m.img", "wb") as f:
            f.write(d)
        return " ".join(done)


def one_round(base):
    """What happened to m.img: the driver's name, or "refused"."""
    volume = capture_and_restore(REASONS)
    if not volume:
        return "refused"
    with open("m.img", "rb") as m, open("t.img", "rb") as t:
        if volume["driver"] != "xfs" and volume["raw"] != "fallback" and m.read(4) == b"XFSB":
            fail("neither XFS nor raw")
        for x in base.used:
            m.seek(x["start"])
            t.seek(x["start"])
            if m.read(x["length"]) != t.read(x["length"]):
                fail(f"what was in use at {x} differs")
    return volume["driver"]


def main():
    names = sorted(f for f in os.listdir() if f.startswith("base-") and f.endswith(".img"))
    bases = {f: Base(f) for f in names}
    with open("g.img", "wb") as f:
        f.write(random.Random(int(sys.argv[1])).randbytes(65536) * (max(os.path.getsize(b) for b in names) // 65536 + 1))
    rounds(lambda rng, base: bases[base].damage(rng), lambda base: one_round(bases[base]), {"xfs": 12, "raw": 12})


main()
