#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures, prunes, tags, removals and checks of one repository are killed at random moments, one alone or two at once.

After each kill: every version that was committed and not removed is there and whole, with the root it had; none is listed that is not
whole; a tag means what it meant before or what it was to mean. Now and then a version is compared with the disk it was captured from.

Usage: repo_kills.py CALCO FOLDER KILLS SEED [KEY]; with a key the repository is encrypted
"""
import json, os, random, shutil, signal, subprocess, sys, time

SIZE = 12 << 20
TAGS = ("stable", "week", "old")


class Campaign:
    def __init__(self, calco, folder, seed, key):
        self.keys = ["--key", key] if key else []
        self.calco, self.folder, self.rnd = calco, folder, random.Random(seed)
        self.disks = {}   # root -> file with the content of that version
        self.roots = {}   # (name, version) -> root, as it was listed first
        self.tags = {}    # tag -> the versions it may mean
        self.kills = self.hits = self.compared = self.commits = 0
        self.longest = 1.0 # seconds a capture takes here

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def command(self, *words):
        return [self.calco, *words, *self.keys]

    def start(self, *words):
        return subprocess.Popen(self.command(*words), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, *words):
        r = subprocess.run(self.command(*words), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def fail(self, text):
        sys.exit(f"after {self.kills} kills: {text}")

    # ---- what is done ----

    def change_disk(self):
        """Some leaves change, some move, some become zero."""
        with open(self.path("disk"), "r+b") as f:
            for _ in range(self.rnd.randrange(1, 30)):
                at = self.rnd.randrange(SIZE // 4096) * 4096
                what = self.rnd.randrange(4)
                f.seek(self.rnd.randrange(SIZE // 4096) * 4096)
                block = f.read(4096) if what == 0 else bytes(4096) if what == 1 else self.rnd.randbytes(4096)
                f.seek(at)
                f.write(block)

    def operation(self):
        live = sorted(self.roots)
        what = self.rnd.choices(("capture", "prune", "tag", "rm", "check", "verify"), (8, 5, 2, 3, 1, 1))[0]
        if what == "capture" or not live:
            return "capture", ("capture", "disk", f"store::{self.rnd.choice('ab')}", "--raw", "all"), None
        name, version = self.rnd.choice(live)
        if what == "prune":
            return what, ("repo", "prune", "store", "--max-unused", str(self.rnd.choice((0, 10, 50)))), None
        if what == "tag":
            return what, ("repo", "tag", "store", f"{name}@{version}", self.rnd.choice(TAGS)), (name, version)
        if what == "rm":
            return (what, ("repo", "rm", "store", f"{name}@{version}"), (name, version)) if len(live) > 6 else self.operation()
        if what == "check":
            return what, ("repo", "check", "store", "--rebuild-index", "--heal"), None
        return what, ("verify", f"store::{name}@{version}"), None

    def note(self, what, words, target):
        if what == "tag":
            self.tags.setdefault((target[0], words[4]), set()).add(target[1])

    # ---- what must be true ----

    def check(self, may_be_gone):
        code, out, err = self.run("repo", "list", "store", "--json")
        if code:
            self.fail(f"list ends with {code}: {err}")
        listed = {}
        result = json.loads(out)["result"]
        for v in result["versions"]:
            key = v["name"], v["version"]
            if not v["complete"]:
                self.fail(f"{key} is listed and not whole: {v}")
            listed[key] = v["root"]
        for key, root in self.roots.items():
            if key not in listed and key not in may_be_gone:
                self.fail(f"{key} is gone")
            if key in listed and listed[key] != root:
                self.fail(f"{key} became another")
        new = [key for key in listed if key not in self.roots]
        if len(new) > self.may_appear:
            self.fail(f"{new} appeared from nowhere")
        for key in new:
            shutil.copyfile(self.path("disk"), self.path(f"was-{listed[key]}"))
            self.commits += 1
        for root in set(self.roots.values()) - set(listed.values()):
            if os.path.exists(self.path(f"was-{root}")):
                os.unlink(self.path(f"was-{root}"))
        self.roots = listed
        for t in result["tags"]:
            if t["version"] not in self.tags.get((t["name"], t["tag"]), ()):
                self.fail(f"the tag {t} was never set")
        code, out, err = self.run("repo", "check", "store", "--json")
        if code:
            self.fail(f"check ends with {code}: {out[-3000:]} {err}")
        if self.rnd.randrange(10) == 0 and listed:
            key = self.rnd.choice(sorted(listed))
            code, out, err = self.run("verify", f"store::{key[0]}@{key[1]}", "--against", f"was-{listed[key]}")
            if code:
                self.fail(f"{key} is not what was captured: {code} {err}")
            self.compared += 1

    def round(self):
        self.change_disk()
        jobs = [self.operation()]
        if self.rnd.randrange(3) == 0:
            jobs.append(self.operation())
        if sum(job[0] == "capture" for job in jobs) == 2 and self.rnd.randrange(2):
            jobs.pop()
        self.may_appear = sum(job[0] == "capture" for job in jobs)
        may_be_gone = {job[2] for job in jobs if job[0] == "rm"}
        for job in jobs:
            self.note(*job)
        running = [(what, self.start(*words)) for what, words, _ in jobs]
        time.sleep(self.rnd.random() * self.longest)
        victims = running if self.rnd.randrange(2) else running[:1]
        for _, p in victims:
            p.send_signal(signal.SIGKILL)
            self.kills += 1
        for what, p in running:
            _, err = p.communicate(timeout=300)
            if p.returncode == -signal.SIGKILL:
                self.hits += 1
            elif p.returncode not in (0, 2, 4) or b"Sanitizer" in err:
                self.fail(f"{what} beside it ends with {p.returncode}: {err.decode(errors='replace')}")
        self.check(may_be_gone)


def main(calco, folder, kills, seed, key=None):
    c = Campaign(calco, folder, int(seed), key)
    with open(c.path("disk"), "wb") as f:
        f.write(c.rnd.randbytes(SIZE // 2) + bytes(SIZE // 2))
    code, _, err = c.run("repo", "init", "store")
    if code:
        c.fail(err)
    begin = time.monotonic()
    c.run("capture", "disk", "store::warm", "--raw", "all")
    c.longest = time.monotonic() - begin
    c.run("repo", "rm", "store", "warm@1")
    while c.hits < int(kills):
        c.round()
    # Nothing is left that a prune would not take, and all of it can still be used.
    for _ in range(2):
        code, _, err = c.run("repo", "prune", "store", "--unfinished", "--max-unused", "0")
        if code:
            c.fail(f"prune ends with {code}: {err}")
    c.may_appear = 0
    c.check(set())
    code, out, err = c.run("repo", "check", "store", "--read-data")
    if code:
        c.fail(f"check --read-data ends with {code}: {out} {err}")
    left = [os.path.join(d, n) for d, _, names in os.walk(c.path("store")) for n in names if d.endswith(("new", "leases", "retired"))]
    if left:
        c.fail(f"left behind: {left}")
    print(f"{c.kills} kills, {c.hits} before the end, {c.commits} versions committed, {c.compared} compared with their disks")


main(*sys.argv[1:])
