#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""state_record.py RECORD OLD [--open]: a state record, decoded from its description in imager/job/state.c alone, is whole and
finished (or open), and every byte it saved before the first attempt is the byte of the old disk. Prints how much that is."""
import os
import struct
import sys
import zlib


def entries(b):
    """(is it late, start, bytes) of each"""
    at = 2048
    while at + 24 <= len(b):
        magic, length, start, crc, head_crc = struct.unpack_from("<4sIQII", b, at)
        if magic not in (b"SAVE", b"LATE", b"SEEN", b"LEFT", b"PART") or zlib.crc32(b[at:at + 20]) != head_crc:
            sys.exit(f"entry at {at} is damaged")
        if magic in (b"SEEN", b"LEFT"):  # notes, without bytes behind them
            if not length or start % 512 + length > 512 or start + length > struct.unpack_from("<Q", b, 16)[0]:
                sys.exit(f"entry at {at}: a note of {start}+{length}")
            at += 24
            continue
        if magic == b"PART":  # how the old disk was divided
            part_len, _ = struct.unpack_from("<QI", b, at + 24)
            if length != 12 or zlib.crc32(b[at + 24:at + 36]) != crc or start + part_len > struct.unpack_from("<Q", b, 16)[0]:
                sys.exit(f"entry at {at}: a part of {start}+{part_len}")
            at += 36
            continue
        data = b[at + 24:at + 24 + length]
        if len(data) != length or zlib.crc32(data) != crc:
            sys.exit(f"entry at {at}: its bytes are damaged")
        yield magic == b"LATE", start, data
        at += 24 + length
    if at != len(b):
        sys.exit(f"{len(b) - at} bytes behind the last entry")


def main():
    with open(sys.argv[2], "rb") as f:
        old = f.read()
    if not os.path.exists(sys.argv[1]) and not any(old):
        print("0 ranges, 0 bytes saved")  # nothing had to be saved: the record went in the end
        return
    with open(sys.argv[1], "rb") as f:
        b = f.read()
    status, _, size = struct.unpack_from("<IIQ", b, 8)
    if b[:8] != b"CALCOSR1" or zlib.crc32(b[:1020]) != struct.unpack_from("<I", b, 1020)[0]:
        sys.exit("the header is damaged")
    if size != len(old):
        sys.exit(f"size {size} instead of {len(old)}")
    wanted = 0 if "--open" in sys.argv else 1
    if status != wanted:
        sys.exit(f"status {status} instead of {wanted}")
    seen, total = [], 0
    for is_late, start, data in entries(b):
        if not is_late and old[start:start + len(data)] != data:
            sys.exit(f"saved at {start}+{len(data)}: not what stood on the old disk")
        seen.append((start, start + len(data), is_late))
        total += 0 if is_late else len(data)
    seen.sort()
    for a, c in zip(seen, seen[1:]):
        if c[0] < a[1]:
            sys.exit(f"saved twice: {c[0]}")
    print(f"{sum(not s[2] for s in seen)} ranges, {total} bytes saved")


main()
