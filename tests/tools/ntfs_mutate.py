#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""ntfs_mutate.py SEED COUNT - crude damage to the metadata of small NTFS volumes, and what calco makes of it.

Works in the current folder, which holds base-1.img, base-2.img, ... with the same files in each; CALCO names the program.
Each round changes some bytes of a copy and captures it. That must end in time, with an image or a refusal. An image is
restored over garbage, all of it kept, and then

- every used byte is the source's, every zero byte is zero (extents by "calco info");
- ntfscat reads each file from both: the same, or neither. A driver that dropped clusters would be found out here.
"""
import json
import os
import random
import shutil
import subprocess
import sys

import ntfs_image

FILES = ("/small", "/large", "/pieces", "/last", "/many-17", "/many-39")
CALCO = os.environ["CALCO"]
WEIGHTS = {"boot": 2, "backup": 1, "mft": 9, "mirror": 1, "mft-bitmap": 2, "journal": 1, "root": 2, "bitmap": 5}


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)


def fail(text, *output):
    for o in output:
        sys.stderr.write(o.decode(errors="replace")[:3000])
    sys.exit(f"FAILED: {text}")


def damage(rng, path):
    """Some changes at random places of the metadata; what was done, in words."""
    volume = ntfs_image.Volume(path)
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
        old = volume.read(start + at, size)
        new = rng.choice((
            lambda: bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:],
            lambda: bytes(size),
            lambda: b"\xff" * size,
            lambda: rng.randbytes(size),
            lambda: volume.read(start + rng.randrange(length - size + 1), size)))()
        volume.write(start + at, new)
        done.append(f"{name}+{at}:{size}")
    volume.file.close()
    return " ".join(done)


def check_bytes(extents):
    with open("m.img", "rb") as a, open("t.img", "rb") as b:
        for x in extents:
            a.seek(x["start"])
            b.seek(x["start"])
            want = a.read(x["length"]) if x["state"] == "used" else bytes(x["length"])
            if want != b.read(x["length"]):
                fail(f"extent {x} differs")


def check_files():
    for name in FILES:
        try:
            a, b = run("ntfscat", "-f", "m.img", name), run("ntfscat", "-f", "t.img", name)
        except subprocess.TimeoutExpired:  # that tool's own trouble
            continue
        if a.returncode == 0 and (b.returncode != 0 or a.stdout != b.stdout):
            fail(f"{name} is not in the copy", b.stderr)


def one_round(garbage):
    """Capture m.img; what happened: the driver's name, or "refused"."""
    for f in ("m.calco", "t.img"):
        if os.path.exists(f):
            os.remove(f)
    got = run(CALCO, "capture", "m.img", "m.calco", "--json")
    if got.returncode == 4:
        reason = json.loads(got.stdout)["error"]["reason"]
        if reason not in ("dirty", "dirty-journal", "hibernated"):
            fail(f"refused for '{reason}'", got.stderr)
        return "refused"
    if got.returncode != 0:
        fail(f"capture ended with {got.returncode}", got.stdout, got.stderr)
    shutil.copyfile(garbage, "t.img")
    got = run(CALCO, "restore", "m.calco", "t.img", "--confirm", "t.img", "--scrub", "none")
    if got.returncode != 0:
        fail(f"restore ended with {got.returncode}", got.stderr)
    info = json.loads(run(CALCO, "info", "m.calco", "--extents", "--json").stdout)["result"]
    volume = info["volumes"][0]
    if volume["driver"] != "ntfs" and volume["raw"] != "fallback":
        fail("neither NTFS nor raw")
    check_bytes(info["extents"])
    if volume["driver"] == "ntfs":
        check_files()
    return volume["driver"]


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    bases = sorted(f for f in os.listdir() if f.startswith("base-"))
    results = {}
    for i in range(count):
        rng = random.Random(seed * 1000003 + i)
        base = bases[i % len(bases)]
        shutil.copyfile(base, "m.img")
        done = damage(rng, "m.img")
        with open("g.img", "wb") as f:
            f.write(rng.randbytes(65536) * (os.path.getsize(base) // 65536 + 1))
            f.truncate(os.path.getsize(base))
        print(f"round {i}: {base} {done}", end=" ", flush=True)
        result = one_round("g.img")
        print(result)
        results[result] = results.get(result, 0) + 1
    print(results)
    # A test that never gets beyond the boot sector would prove nothing.
    if min(results.get("ntfs", 0), results.get("raw", 0)) < count // 10:
        fail("too few rounds of one kind")


main()
