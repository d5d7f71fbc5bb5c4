#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage a file at random, within ranges: mutate.py FILE SEED START+LENGTH...

One to four changes of one of six kinds: a bit, a byte, a small or a large number, a cleared or filled sector, a sector of another place. Says what it did.
"""
import random
import struct
import sys


def main():
    name, seed = sys.argv[1], int(sys.argv[2])
    ranges = [tuple(map(int, r.split("+"))) for r in sys.argv[3:]]
    chance = random.Random(seed)
    with open(name, "r+b") as f:
        for _ in range(chance.randint(1, 4)):
            start, length = chance.choice(ranges)
            # What stands at the beginning of a structure matters more.
            within = min(length, chance.choice((64, 512, 4096, length)))
            at = start + chance.randrange(within)
            f.seek(at)
            old = f.read(1)
            kind = chance.randrange(6)
            if kind == 0:
                new = bytes([old[0] ^ (1 << chance.randrange(8))])
            elif kind == 1:
                new = bytes([chance.randrange(256)])
            elif kind == 2:
                at, new = at & ~3, struct.pack("<I", chance.choice((0, 1, 2, chance.randrange(100000), 0x7FFFFFFF, 0xFFFFFFFF)))
            elif kind == 3:
                at, new = at & ~1, struct.pack("<H", chance.choice((0, 1, chance.randrange(65536), 0xFFFF)))
            elif kind == 4:
                at, new = at & ~511, chance.choice((b"\0", b"\xff")) * 512
            else:
                other_start, other_length = chance.choice(ranges)
                f.seek((other_start + chance.randrange(other_length)) & ~511)
                at, new = at & ~511, f.read(512)
            f.seek(at)
            f.write(new)
            print(f"{at}: kind {kind}, {len(new)} bytes {new[:8].hex()}")


main()
