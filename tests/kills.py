#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill real processes at random moments (SIGKILL), and look at what they left.

usage: kills.py CALCO FOLDER COUNT [SEED [restore|refresh]]

FOLDER holds disk.img, its image.calco and old.img, another disk of the same size, places.txt with a line "START LENGTH" for each
partition of both. COUNT captures and as many restores are killed, every third undo of what a restore left, and as many restores to a file that is made;
or as many refreshes, and no captures and new files.

A capture: no image under the final name that is not whole, none that "ls" calls complete. A restore: the target is untouched, or dead for libblkid,
or complete; then the same command completes it, or undo gives back the old disk if the restore had not begun to write. To a new file: the same
command completes it, and asks nothing.
"""
import collections
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import time


class Kills:
    def __init__(self, calco, folder, seed, job):
        self.job, self.args = job, (job, "image.calco", "target.img", "--state", "state", "--confirm", "target.img")
        self.calco, self.folder = calco, folder
        self.random = random.Random(seed)
        self.seen = collections.Counter()
        with open(os.path.join(folder, "places.txt")) as f:
            self.places = [line.split() for line in f]

    def path(self, name):
        return os.path.join(self.folder, name)

    def remove(self, *names):
        for name in names:
            if os.path.lexists(self.path(name)):
                os.unlink(self.path(name))

    def run(self, *args):
        return subprocess.run([self.calco, *args], cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)

    def demand(self, good, what, r=None):
        if not good:
            sys.exit(f"{what}\n{r.stdout + r.stderr if r else ''}")

    def killed(self, args, longest):
        """True: it was killed; False: it had ended by itself, with 0."""
        p = subprocess.Popen([self.calco, *args], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.random() * longest)
        p.kill()
        code = p.wait()
        self.demand(code in (0, -9), f"{args[0]} ended with {code}")
        return code != 0

    def length(self, args, before):
        """Seconds that it takes when it is left alone, and a little more"""
        before()
        begin = time.monotonic()
        r = self.run(*args)
        self.demand(r.returncode == 0, "without a kill", r)
        return 1.1 * (time.monotonic() - begin)

    def no_image(self):
        self.remove("new.calco", "new.calco.part")

    def old_target(self):
        self.remove("state")
        shutil.copyfile(self.path("old.img"), self.path("target.img"))

    def capture(self, longest):
        self.no_image()
        args = ("capture", "disk.img", "new.calco")
        was_killed = self.killed(args, longest)
        listed = json.loads(self.run("ls", ".", "--json").stdout)["result"]["images"]
        state = [i for i in listed if i["file"].endswith("new.calco")]
        if not os.path.exists(self.path("new.calco")):
            self.demand(was_killed and not state, "success without an image")
            self.seen["capture: no image"] += 1
            r = self.run(*args)
            self.demand(r.returncode == 0, "a capture after a killed one", r)
        else:
            self.demand(len(state) == 1 and state[0]["complete"], "ls does not list a whole image")
            self.seen["capture: whole"] += 1
        r = self.run("verify", "new.calco")
        self.demand(r.returncode == 0, "an image that is not whole", r)

    def is_dead(self):
        for start, length in self.places:
            r = subprocess.run(["blkid", "-p", "-O", start, "-S", length, "-s", "TYPE", "-o", "value", self.path("target.img")], capture_output=True, text=True)
            if r.stdout.strip():
                return False
        return True

    def restore(self, longest, want_undo):
        self.old_target()
        self.killed(self.args, longest)
        if filecmp.cmp(self.path("target.img"), self.path("old.img"), shallow=False):
            self.seen[f"{self.job}: untouched"] += 1
        elif self.run("verify", "image.calco", "--against", "target.img").returncode == 0:
            self.seen[f"{self.job}: complete"] += 1
        else:
            self.demand(os.path.exists(self.path("state")), "changed, and no record")
            self.seen[f"{self.job}: dead" if self.is_dead() else f"{self.job}: being armed"] += 1
        if want_undo and os.path.exists(self.path("state")) and self.undo():
            return
        r = self.run(*self.args)
        self.demand(r.returncode == 0, "the same command does not complete it", r)
        r = self.run("verify", "image.calco", "--against", "target.img")
        self.demand(r.returncode == 0, "a wrong disk after the second attempt", r)

    def new_file(self, longest):
        self.remove("new.img", "new.state")
        args = ("restore", "image.calco", "new.img", "--state", "new.state")
        if not self.killed(args, longest):
            return
        self.seen["new file: " + ("there" if os.path.exists(self.path("new.img")) else "not there")] += 1
        if os.path.exists(self.path("new.img")) and not os.path.exists(self.path("new.state")) and \
                self.run("verify", "image.calco", "--against", "new.img").returncode == 0:
            return  # killed when all was done
        r = self.run(*args)
        self.demand(r.returncode == 0, "the same command does not complete a new file", r)
        self.demand("set aside" not in r.stderr, "its own record was set aside", r)
        r = self.run("verify", "image.calco", "--against", "new.img")
        self.demand(r.returncode == 0, "a wrong file after the second attempt", r)

    def undo(self):
        p = subprocess.Popen([self.calco, "undo", "target.img", "--state", "state"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.random() * 0.02)
        p.kill()
        if p.wait() == -9 and os.path.exists(self.path("state")):
            r = self.run("undo", "target.img", "--state", "state")
            self.demand(r.returncode in (0, 4), "undo after a killed undo", r)
            if r.returncode == 4:
                return False
        if os.path.exists(self.path("state")):
            return False
        self.demand(filecmp.cmp(self.path("target.img"), self.path("old.img"), shallow=False), "the old disk is not back")
        self.seen["undo: back"] += 1
        return True


def main(calco, folder, count, seed="1", job="restore"):
    k = Kills(calco, folder, int(seed), job)
    capture = k.length(("capture", "disk.img", "new.calco"), k.no_image)
    restore = k.length(k.args, k.old_target)
    for i in range(int(count)):
        if job == "restore":
            k.capture(capture)
        k.restore(restore if i % 3 else restore / 3, i % 3 == 0)
        if i % 3 == 1 and job == "restore":
            k.new_file(restore)
    for what, n in sorted(k.seen.items()):
        print(f"{what}: {n}")


main(*sys.argv[1:])
