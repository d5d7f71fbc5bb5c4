#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every other block of an ext4 used: the worst case for whoever keeps a list of extents.

usage: half-used-ext4.py FILE

FILE is a fresh file system made with mke2fs -b 4096 -O ^metadata_csum,^uninit_bg,^resize_inode: all bitmaps are on disk and
nothing has a checksum. Blocks that are in use stay so. The offsets are those of the kernel's documentation
(filesystems/ext4/globals.rst and group_descr.rst).
"""
import struct
import sys

BLOCK = 4096


def used_of(bitmap):
    return int.from_bytes(bitmap, "little").bit_count()


def main(path):
    with open(path, "r+b") as f:
        f.seek(1024)
        sb = bytearray(f.read(1024))
        low, = struct.unpack_from("<I", sb, 0x04)
        per_group, = struct.unpack_from("<I", sb, 0x20)
        incompat, ro_compat = struct.unpack_from("<II", sb, 0x60)
        is_64bit = incompat & 0x80
        blocks = low | (struct.unpack_from("<I", sb, 0x150)[0] << 32 if is_64bit else 0)
        desc_size = struct.unpack_from("<H", sb, 0xFE)[0] if is_64bit else 32
        if struct.unpack_from("<H", sb, 0x38)[0] != 0xEF53 or struct.unpack_from("<I", sb, 0x18)[0] != 2:
            sys.exit("not an ext4 with blocks of 4096 bytes")
        if ro_compat & 0x410:
            sys.exit("this file system has checksums")
        groups = -(-blocks // per_group)
        f.seek(BLOCK)
        descs = bytearray(f.read(groups * desc_size))
        free = 0
        for g in range(groups):
            at = g * desc_size
            place = struct.unpack_from("<I", descs, at)[0]
            if desc_size >= 64:
                place |= struct.unpack_from("<I", descs, at + 0x20)[0] << 32
            here = min(per_group, blocks - g * per_group)
            f.seek(place * BLOCK)
            bitmap = bytearray(b | 0x55 for b in f.read(BLOCK))
            f.seek(place * BLOCK)
            f.write(bitmap)
            n = here - used_of(bitmap[:here // 8])
            free += n
            struct.pack_into("<H", descs, at + 0x0C, n & 0xFFFF)
        f.seek(BLOCK)
        f.write(descs)
        struct.pack_into("<I", sb, 0x0C, free & 0xFFFFFFFF)
        if is_64bit:
            struct.pack_into("<I", sb, 0x158, free >> 32)
        f.seek(1024)
        f.write(sb)


main(sys.argv[1])
