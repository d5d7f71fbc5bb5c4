#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""state_record.py RECORD OLD [--open]: a state record, decoded from its description in imager/job/state.c alone, is whole and
finished (or open), and every byte it saved is the byte of the old disk. Prints how much it saved."""
import struct
import sys
import zlib


def entries(b):
    at = 2048
    while at + 24 <= len(b):
        magic, length, start, crc, head_crc = struct.unpack_from("<4sIQII", b, at)
        if magic != b"SAVE" or zlib.crc32(b[at:at + 20]) != head_crc:
            sys.exit(f"entry at {at} is damaged")
        data = b[at + 24:at + 24 + length]
        if len(data) != length or zlib.crc32(data) != crc:
            sys.exit(f"entry at {at}: its bytes are damaged")
        yield start, data
        at += 24 + length
    if at != len(b):
        sys.exit(f"{len(b) - at} bytes behind the last entry")


def main():
    b = open(sys.argv[1], "rb").read()
    with open(sys.argv[2], "rb") as f:
        old = f.read()
    status, _, size = struct.unpack_from("<IIQ", b, 8)
    if b[:8] != b"CALCOSR1" or zlib.crc32(b[:1020]) != struct.unpack_from("<I", b, 1020)[0]:
        sys.exit("the header is damaged")
    if size != len(old):
        sys.exit(f"size {size} instead of {len(old)}")
    wanted = 0 if "--open" in sys.argv else 1
    if status != wanted:
        sys.exit(f"status {status} instead of {wanted}")
    seen, total = [], 0
    for start, data in entries(b):
        if old[start:start + len(data)] != data:
            sys.exit(f"saved at {start}+{len(data)}: not what stood on the old disk")
        seen.append((start, start + len(data)))
        total += len(data)
    seen.sort()
    for a, c in zip(seen, seen[1:]):
        if c[0] < a[1]:
            sys.exit(f"saved twice: {c[0]}")
    print(f"{len(seen)} ranges, {total} bytes saved")


main()
