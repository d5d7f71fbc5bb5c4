#!/usr/bin/env python3
"""Read or write a logical volume by the text that vgcfgbackup wrote: a second opinion about where its bytes lie.

usage: lvm_lv.py put|get TEXT LV FILE PV-UUID=DISK@OFFSET...
       lvm_lv.py where TEXT LV PV-UUID=DISK@OFFSET...     prints "DISK START LENGTH" for each stripe
"""
import re
import sys


def section(text, name):
    """The body of the first section of this name."""
    start = re.search(r"(?m)^\s*" + re.escape(name) + r" \{", text).end()
    depth, at = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start:at - 1]


def number(body, name):
    return int(re.search(r"\b" + name + r" = (\d+)", body)[1])


def pieces(text, lv, places):
    """(disk, start on the disk, length) of each piece, in the volume's order."""
    extent = number(text, "extent_size") * 512
    pvs = section(text, "physical_volumes")
    body = section(section(text, "logical_volumes"), lv)
    for i in range(1, number(body, "segment_count") + 1):
        seg = section(body, f"segment{i}")
        count, legs = number(seg, "extent_count"), re.findall(r'"(pv\d+)", (\d+)', seg)
        stripe = number(seg, "stripe_size") * 512 if len(legs) > 1 else count * extent
        for row in range(count * extent // stripe // len(legs)):
            for pv, first in legs:
                body_pv = section(pvs, pv)
                disk, offset = places[re.search(r'id = "([^"]*)"', body_pv)[1]]
                yield disk, offset + number(body_pv, "pe_start") * 512 + int(first) * extent + row * stripe, stripe


def main(verb, path, lv, *rest):
    text = re.sub(r"(?m)#.*$", "", open(path, encoding="utf-8").read())
    places = {}
    for place in rest[verb != "where":]:
        uuid, disk = place.split("=", 1)
        disk, offset = disk.rsplit("@", 1)
        places[uuid] = disk, int(offset)
    if verb == "where":
        for piece in pieces(text, lv, places):
            print(*piece)
        return
    with open(rest[0], "rb" if verb == "put" else "wb") as volume:
        for disk, start, length in pieces(text, lv, places):
            with open(disk, "r+b") as f:
                f.seek(start)
                if verb == "get":
                    volume.write(f.read(length))
                else:
                    f.write(volume.read(length))


main(*sys.argv[1:])
