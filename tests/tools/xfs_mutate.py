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
import shutil
import struct
import subprocess
import sys

CALCO = os.environ["CALCO"]
SUMS = {b"XFSB": 224, b"XAGF": 216, b"XAGI": 312, b"XAFL": 32, b"AB3B": 52, b"AB3C": 52, b"IAB3": 52, b"FIB3": 52, b"RMB3": 52, b"R3FC": 52, b"BMA3": 64}
KINDS = {b"XFSB": "super", b"XAGF": "agf", b"XAGI": "agi", b"XAFL": "agfl"}
TREES = (b"AB3B", b"AB3C", b"IAB3", b"FIB3", b"RMB3", b"R3FC", b"BMA3", b"ABTB", b"ABTC", b"IABT", b"BMAP")
WEIGHTS = {"super": 2, "agf": 4, "agi": 3, "agfl": 1, "tree": 8, "inode": 5, "log": 3}
REASONS = ("dirty-log", "in-progress", "needs-repair", "external-log", "realtime")


def table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


TABLE = tuple(table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)


def fail(text, *output):
    for o in output:
        sys.stderr.write(o.decode(errors="replace")[:3000])
    sys.exit(f"FAILED: {text}")


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

    def damaged(self, rng):
        """A changed copy, and what was done in words."""
        d, done = bytearray(self.data), []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            kind = rng.choices(self.kinds, [WEIGHTS[k] for k in self.kinds])[0]
            start, length, _ = rng.choice([p for p in self.places if p[2] == kind])
            size = rng.choice((1, 1, 1, 2, 4, 8, 64))
            at = start + rng.randrange(min(length, rng.choice((64, 256, length))) - min(size, 63))
            new = rng.choice((
                lambda: bytes([d[at] ^ 1 << rng.randrange(8)]) + d[at + 1:at + size],
                lambda: bytes(size),
                lambda: b"\xff" * size,
                lambda: rng.randbytes(size),
                lambda: bytes(d[start:start + size])))()
            d[at:at + size] = new
            sum_at = 100 if kind == "inode" else SUMS.get(bytes(d[start:start + 4]))
            fixes = self.has_crc and sum_at is not None and rng.random() < 0.6
            if fixes:
                struct.pack_into("<I", d, start + sum_at, 0)
                struct.pack_into("<I", d, start + sum_at, crc32c(d[start:start + length]))
            done.append(f"{kind}@{start}+{at - start}:{size}{'=' if fixes else ''}")
        with open("m.img", "wb") as f:
            f.write(d)
        return d, " ".join(done)


def check_bytes(extents, m, t, text):
    for x in extents:
        a, b = x["start"], x["start"] + x["length"]
        if m[a:b] != t[a:b]:
            fail(f"{text} {x} differs")


def one_round(base, m):
    """Capture m.img; what happened: the driver's name, or "refused"."""
    if os.path.exists("m.calco"):
        os.remove("m.calco")
    got = run(CALCO, "capture", "m.img", "m.calco", "--json")
    if got.returncode == 4:
        reason = json.loads(got.stdout)["error"]["reason"]
        if reason not in REASONS:
            fail(f"refused for '{reason}'", got.stderr)
        return "refused"
    if got.returncode != 0:
        fail(f"capture ended with {got.returncode}", got.stdout, got.stderr)
    shutil.copyfile("g.img", "t.img")
    got = run(CALCO, "restore", "m.calco", "t.img", "--confirm", "t.img", "--scrub", "none")
    if got.returncode != 0:
        fail(f"restore ended with {got.returncode}", got.stderr)
    info = json.loads(run(CALCO, "info", "m.calco", "--extents", "--json").stdout)["result"]
    volume = info["volumes"][0]
    if volume["driver"] != "xfs" and volume["raw"] != "fallback" and m[:4] == b"XFSB":
        fail("neither XFS nor raw")
    with open("t.img", "rb") as f:
        t = f.read()
    check_bytes([x for x in info["extents"] if x["state"] == "used"], m, t, "extent")
    check_bytes(base.used, m, t, "what was in use at")
    return volume["driver"]


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    bases = [Base(f) for f in sorted(os.listdir()) if f.startswith("base-") and f.endswith(".img")]
    noise = random.Random(seed).randbytes(65536)
    results = {}
    for i in range(count):
        rng = random.Random(seed * 1000003 + i)
        base = bases[i % len(bases)]
        m, done = base.damaged(rng)
        with open("g.img", "wb") as f:
            f.write((noise * (len(m) // 65536 + 1))[:len(m)])
        print(f"round {i}: {done}", end=" ", flush=True)
        result = one_round(base, m)
        print(result)
        results[result] = results.get(result, 0) + 1
    print(results)
    # A test that never gets beyond the superblock, or never to an image by the driver, would prove nothing.
    if min(results.get("xfs", 0), results.get("raw", 0)) < count // 12:
        fail("too few rounds of one kind")


main()
