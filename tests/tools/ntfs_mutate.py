#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ntfs_mutate.py SEED COUNT - crude damage to the metadata of small NTFS volumes, and what calco makes of it.

Works in the current folder, which holds base-1.img, base-2.img, ... with the same files in each; CALCO names the program.
Each round changes some bytes of a copy and captures it. That must end in time, with an image or a refusal. An image is
restored over garbage, all of it kept, and then

- every used byte is the source's, every zero byte is zero (extents by "calco info");
- ntfscat reads each file from both: the same, or neither. A driver that dropped clusters would be found out here.
"""
import os
import shutil
import subprocess

import ntfs_image
from damage_rounds import capture_and_restore, changed, fail, rounds, run

FILES = ("/small", "/large", "/pieces", "/last", "/many-17", "/many-39")
REASONS = ("dirty", "dirty-journal", "hibernated")
WEIGHTS = {"boot": 2, "backup": 1, "mft": 9, "mirror": 1, "mft-bitmap": 2, "journal": 1, "root": 2, "bitmap": 5}


def damage(rng, base):
    """Some changes at random places of the metadata of a copy, m.img; what was done, in words."""
    shutil.copyfile(base, "m.img")
    volume = ntfs_image.Volume("m.img")
    places = list(ntfs_image.ranges(volume))
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        start, length, name = rng.choices(places, [WEIGHTS[p[2]] for p in places])[0]
        size = min(length, rng.choice((1, 1, 1, 2, 4, 8, 64, 512)))
        if name == "mft":  # the first bytes of a record that is in use, mostly: the rest is empty
            at = rng.choice((*range(12), *range(64, 112))) * volume.record_size + rng.randrange(rng.choice((64, 400, volume.record_size)))
            at = min(at, length - size)
        else:
            at = rng.randrange(length - size + 1)
        volume.write(start + at, changed(rng, volume.read(start + at, size), lambda: volume.read(start + rng.randrange(length - size + 1), size)))
        done.append(f"{name}+{at}:{size}")
    volume.file.close()
    with open("g.img", "wb") as f:
        f.write(rng.randbytes(65536) * (os.path.getsize(base) // 65536 + 1))
    return " ".join(done)


def check_files():
    for name in FILES:
        try:
            a, b = run("ntfscat", "-f", "m.img", name), run("ntfscat", "-f", "t.img", name)
        except subprocess.TimeoutExpired:  # that tool's own trouble
            continue
        if a.returncode == 0 and (b.returncode != 0 or a.stdout != b.stdout):
            fail(f"{name} is not in the copy", b.stderr)


def one_round(_):
    """What happened to m.img: the driver's name, or "refused"."""
    volume = capture_and_restore(REASONS)
    if not volume:
        return "refused"
    if volume["driver"] == "ntfs":
        check_files()
    elif volume["raw"] != "fallback":
        fail("neither NTFS nor raw")
    return volume["driver"]


rounds(damage, one_round, {"ntfs": 10, "raw": 10})
