# SPDX-License-Identifier: GPL-3.0-or-later
"""What btrfs_mutate.py, ntfs_mutate.py and xfs_mutate.py share: rounds of damage to a copy of base-1.img, base-2.img, ... in the current folder.

Each changes a copy, m.img, and captures it. That must end in time, with an image or a refusal. An image is restored over garbage, g.img, all of it
kept, and then every used byte is the source's and every zero byte is zero (extents by "calco info"). CALCO names the program.
"""
import json
import os
import random
import shutil
import subprocess
import sys

CALCO = os.environ["CALCO"]


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)


def fail(text, *output):
    for o in output:
        sys.stderr.write(o.decode(errors="replace")[:3000])
    sys.exit(f"FAILED: {text}")


def changed(rng, old, other):
    """What to write over these bytes; other() gives as many from another place."""
    return rng.choice((
        lambda: bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:],
        lambda: bytes(len(old)),
        lambda: b"\xff" * len(old),
        lambda: rng.randbytes(len(old)),
        other))()


def check_bytes(extents):
    with open("m.img", "rb") as a, open("t.img", "rb") as b:
        for x in extents:
            a.seek(x["start"])
            b.seek(x["start"])
            want = a.read(x["length"]) if x["state"] == "used" else bytes(x["length"])
            if want != b.read(x["length"]):
                fail(f"extent {x} differs")


def capture_and_restore(reasons):
    """m.img by m.calco to t.img: the volume as "calco info" has it, or None where it was refused for one of these reasons."""
    for f in ("m.calco", "t.img"):
        if os.path.exists(f):
            os.remove(f)
    got = run(CALCO, "capture", "m.img", "m.calco", "--json")
    if got.returncode == 4:
        reason = json.loads(got.stdout)["error"]["reason"]
        if reason not in reasons:
            fail(f"refused for '{reason}'", got.stderr)
        return None
    if got.returncode != 0:
        fail(f"capture ended with {got.returncode}", got.stdout, got.stderr)
    shutil.copyfile("g.img", "t.img")
    os.truncate("t.img", os.path.getsize("m.img"))
    got = run(CALCO, "restore", "m.calco", "t.img", "--confirm", "t.img", "--scrub", "none")
    if got.returncode != 0:
        fail(f"restore ended with {got.returncode}", got.stderr)
    info = json.loads(run(CALCO, "info", "m.calco", "--extents", "--json").stdout)["result"]
    check_bytes(info["extents"])
    return info["volumes"][0]


def rounds(damage, check, kinds):
    """As often as the command line says: damage(rng, base) makes m.img and says in words what it did; check() says what became of it.

    Each of these kinds of outcome, with how many rounds there may be for one of it, must have occurred: a test that never gets beyond the
    superblock, or never to an image by the driver, would prove nothing.
    """
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    bases = sorted(f for f in os.listdir() if f.startswith("base-") and f.endswith(".img"))
    results = {}
    for i in range(count):
        base = bases[i % len(bases)]
        print(f"round {i}: {base} {damage(random.Random(seed * 1000003 + i), base)}", end=" ", flush=True)
        result = check(base)
        print(result)
        results[result] = results.get(result, 0) + 1
    print(results)
    for kind, one_in in kinds.items():
        if results.get(kind, 0) < count // one_in:
            fail(f"too few rounds end with '{kind}'")
