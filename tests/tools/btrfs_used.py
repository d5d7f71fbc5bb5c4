#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs_used.py DEVICE... - which bytes of the devices of a btrfs file system are in use, by what btrfs-progs prints of it.

One line "DEVICE-NUMBER START LENGTH" for each range, in bytes, sorted, without gaps that could be closed: all copies of every extent, the
first MiB, superblocks, what lies behind the file system, and all of the chunks with parity. A second opinion for the tests of the driver, with
which it shares nothing: "btrfs inspect-internal" reads the trees.
"""
import os
import re
import subprocess
import sys

STRIPE = 65536


def inspect(*arguments):
    return subprocess.run(("btrfs", "inspect-internal", *arguments), check=True, stdout=subprocess.PIPE, text=True, errors="replace").stdout


def chunks(device):
    """(start, length, flags, [(devid, offset)])"""
    found = []
    for line in inspect("dump-tree", "-t", "chunk", device).splitlines():
        if m := re.search(r"CHUNK_ITEM (\d+)\)", line):
            found.append([int(m[1]), 0, "", []])
        elif m := re.search(r"length (\d+) owner \d+ stripe_len \d+ type (\S+)", line):
            found[-1][1:3] = int(m[1]), m[2].split("|")
        elif m := re.search(r"stripe \d+ devid (\d+) offset (\d+)", line):
            found[-1][3].append((int(m[1]), int(m[2])))
    return found


def extents(device, node_size):
    for line in inspect("dump-tree", "-t", "extent", device).splitlines():
        if m := re.search(r"item \d+ key \((\d+) EXTENT_ITEM (\d+)\)", line):
            yield int(m[1]), int(m[2])
        elif m := re.search(r"item \d+ key \((\d+) METADATA_ITEM \d+\)", line):
            yield int(m[1]), node_size


def places(chunk, start, length):
    """The pieces of devices behind a logical range: (devid, offset, length)"""
    first, _, flags, stripes = chunk
    if "RAID0" in flags or "RAID10" in flags:
        copies = 2 if "RAID10" in flags else 1
        columns = len(stripes) // copies
        while length:
            piece, inside = divmod(start - first, STRIPE)
            n = min(length, STRIPE - inside)
            for devid, offset in stripes[piece % columns * copies:][:copies]:
                yield devid, offset + piece // columns * STRIPE + inside, n
            start, length = start + n, length - n
    else:
        for devid, offset in stripes:
            yield devid, offset + start - first, length


def super_field(text, name):
    return re.search(rf"^{re.escape(name)}\s+(\S+)", text, re.M)[1]


def main():
    devices = sys.argv[1:]
    numbers, ranges = {}, []
    for i, d in enumerate(devices):
        text = inspect("dump-super", "-f", d)
        numbers[int(super_field(text, "dev_item.devid"))] = i
        covered = int(super_field(text, "dev_item.total_bytes")) // 4096 * 4096
        with open(d, "rb") as f:
            size = f.seek(0, os.SEEK_END)
        ranges.append((i, 0, 1 << 20))
        ranges += [(i, at, 4096) for at in (64 << 20, 256 << 30) if at + 4096 <= covered]
        ranges.append((i, covered, size - covered))
    node_size = int(super_field(text, "nodesize"))
    known = sorted(chunks(devices[0]))
    at = 0
    for start, length in extents(devices[0], node_size):
        while start >= known[at][0] + known[at][1]:
            at += 1
        if not {"RAID5", "RAID6"} & set(known[at][2]):
            ranges += [(numbers[d], o, n) for d, o, n in places(known[at], start, length)]
    for _, length, flags, stripes in known:
        if parity := ("RAID5" in flags) + 2 * ("RAID6" in flags):
            ranges += [(numbers[d], o, length // (len(stripes) - parity)) for d, o in stripes]
    last = None
    for number, start, length in sorted(r for r in ranges if r[2]):
        if last and last[0] == number and start <= last[2]:
            last[2] = max(last[2], start + length)
            continue
        if last:
            print(last[0], last[1], last[2] - last[1])
        last = [number, start, start + length]
    print(last[0], last[1], last[2] - last[1])


main()
