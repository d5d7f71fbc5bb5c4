#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power goes while a repository is worked on: what may be left of it is made and judged, thousands of times.

Commands (captures, prunes, tags, removals, checks) work on a small repository, and all they do to it is logged; some are
killed in between, so that others go on with what was never flushed. tests/tools/repocrash makes of each log what a power cut may leave, and
judges it. With some of these states work goes on: a capture, a check, a prune; and some are the beginning of the next log.

Usage: repo_replay.py CALCO TOOLS FOLDER STATES SEED
"""
import os, random, shutil, signal, struct, subprocess, sys

SIZE = 3 << 20
TAGS = ("stable", "week")
EACH = os.environ.get("REPLAY_EACH", "60")      # states at each place of a log
STEP = int(os.environ.get("REPLAY_STEP", "1"))   # of the places where a command is killed
SAMPLE = os.environ.get("REPLAY_SAMPLE", "250")  # one state of so many is worked with


class Campaign:
    def __init__(self, calco, tools, folder, seed):
        self.calco, self.tools, self.folder, self.rnd = calco, tools, folder, random.Random(seed)
        self.seed = seed
        self.live = {}   # (name, version) -> file with its content; what the folder holds now
        self.tags = {}   # (name, tag) -> version
        self.cut = ()    # what was killed last: the command, its disk, its name
        self.disks = self.logs = self.kills = self.continued = 0
        self.sums = [0] * 6

    def path(self, *words):
        return os.path.join(self.folder, *words)

    def fail(self, text):
        sys.exit(f"log {self.logs}, seed {self.seed}: {text}; see {self.folder}")

    def run(self, *words, env=None):
        return subprocess.run([self.calco, *words], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                              env=dict(os.environ, **(env or {})))

    def must(self, *words):
        r = self.run(*words)
        if r.returncode:
            self.fail(f"{words} ends with {r.returncode}: {r.stderr.decode()}")

    # ---- disks

    def new_disk(self):
        """The last disk, a little changed, or much."""
        old, self.disks = self.path("disks", f"d{self.disks}"), self.disks + 1
        new = self.path("disks", f"d{self.disks}")
        shutil.copyfile(old, new)
        with open(new, "r+b") as f:
            for _ in range(self.rnd.choice((0, 1, 5, 40, 200))):
                what = self.rnd.randrange(4)
                f.seek(self.rnd.randrange(SIZE // 4096) * 4096)
                block = f.read(4096) if what == 0 else bytes(4096) if what == 1 else self.rnd.randbytes(4096)
                f.seek(self.rnd.randrange(SIZE // 4096) * 4096)
                f.write(block)
        return new

    # ---- what is there

    @staticmethod
    def next_number(store, name):
        folder = os.path.join(store, "images", name)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return 1 + max([int(n.split(".")[0]) for n in names if n.endswith((".version", ".gone"))], default=0)

    def look(self):
        """After a kill: what of that which may be there is there?"""
        store = self.path("store")
        self.live = {k: v for k, v in self.live.items() if os.path.exists(f"{store}/images/{k[0]}/{k[1]}.version")}
        self.tags = {}
        for folder, _, names in os.walk(f"{store}/images"):
            for n in names:
                if n.endswith(".tag"):
                    with open(os.path.join(folder, n)) as f:
                        self.tags[os.path.basename(folder), n[:-4]] = int(f.read())

    # ---- the log

    def expect(self, *words):
        text = " ".join(map(str, words)).encode()
        with open(self.path("log"), "ab") as f:
            f.write(struct.pack("=IIIIQQ", ord("E"), len(text), 0, 0, 0, 0) + text)

    def choose(self):
        free = [k for k in sorted(self.live) if k not in {(n, v) for (n, _), v in self.tags.items()}]
        what = self.rnd.choices(("capture", "prune", "tag", "untag", "rm", "check"), (8, 6, 3, 1, 6 if len(free) > 4 else 1, 1))[0]
        if self.cut and self.rnd.randrange(2):
            # Who was killed before the flush is followed by somebody who believes what there is to see.
            what = "prune" if self.cut[0] in ("prune", "rm") else self.rnd.choice(("capture", "tag"))
        if not free and what in ("tag", "rm"):
            what = "capture"
        if not self.tags and what == "untag":
            what = "prune"
        if what == "capture":
            name, disk = self.rnd.choice("aabc"), self.new_disk()
            if self.cut and self.cut[0] == "capture" and self.rnd.randrange(2):
                shutil.copyfile(self.cut[1], disk)
                name = self.rnd.choice((self.cut[2], name))
            return what, disk, name
        if what in ("rm", "tag"):
            key = self.rnd.choice(free)
            if what == "tag" and self.cut and self.cut[0] == "capture" and (self.cut[2], 1) in free:
                key = self.cut[2], 1
            return what, *key, self.rnd.choice(TAGS)
        if what == "untag":
            return what, *self.rnd.choice(sorted(self.tags))
        return what, self.rnd.choice(("0", "10", "50"))

    def words(self, what, *a):
        """The command line, and what is true when it has ended; what may be true while it runs goes into the log."""
        if what == "capture":
            disk, name = a
            number = self.next_number(self.path("store"), name)
            self.expect("may", name, number, disk)
            self.live[name, number] = disk
            return ("capture", disk, f"store::{name}", "--raw", "all"), [("have", name, number, disk)]
        if what == "rm":
            self.expect("maygone", *a[:2])
            return ("repo", "rm", "store", f"{a[0]}@{a[1]}"), [("gone", *a[:2])]
        if what == "tag":
            name, number, tag = a
            self.expect("maytag", name, tag, number)
            return ("repo", "tag", "store", f"{name}@{number}", tag), [("tag", name, tag, number), ("have", name, number, self.live[name, number])]
        if what == "untag":
            self.expect("maytag", *a, 0)
            return ("repo", "tag", "store", "--delete", *a), [("tag", *a, 0)]
        if what == "prune":
            return ("repo", "prune", "store", "--max-unused", *a), []
        return ("repo", "check", "store", "--rebuild-index"), []

    def command(self, job, kill_at):
        """One command, logged; it is killed before its kill_at-th call that changes something. Was it?"""
        words, after = self.words(*job)
        self.cut = job
        env = {"LD_PRELOAD": f"{self.tools}/oplog.so", "CALCO_OPLOG": self.path("log"), "CALCO_OPLOG_ROOT": self.path("store")}
        if kill_at is not None:
            env["CALCO_OPLOG_KILL"] = str(kill_at)
        r = self.run(*words, env=env)
        was_killed = r.returncode == -signal.SIGKILL and kill_at is not None
        if was_killed:
            self.kills += 1
        elif r.returncode:
            self.fail(f"{words} ends with {r.returncode}: {r.stderr.decode()}")
        else:
            self.cut = ()
            for line in after:
                self.expect(*line)
        self.look()
        return was_killed

    def start_log(self):
        store = self.path("store")
        shutil.rmtree(self.path("base"), ignore_errors=True)
        shutil.rmtree(self.path("work"), ignore_errors=True)
        os.mkdir(self.path("work"))
        for path in set(os.listdir(self.path("disks"))) - {os.path.basename(p) for p in self.live.values()} - {f"d{self.disks}"}:
            os.unlink(self.path("disks", path))
        shutil.copytree(store, self.path("base"))
        with open(self.path("inodes"), "w") as f:
            for folder, folders, names in os.walk(store):
                if folder == store:
                    print(os.stat(store).st_ino, ".", file=f)
                for n in sorted(folders) + names:
                    path = os.path.join(folder, n)
                    print(os.lstat(path).st_ino, os.path.relpath(path, store), file=f)
        open(self.path("log"), "w").close()
        for (name, number), disk in sorted(self.live.items()):
            self.expect("have", name, number, disk)
        for (name, tag), number in sorted(self.tags.items()):
            self.expect("tag", name, tag, number)

    # ---- after the cut

    def judge(self, folder, expect):
        r = subprocess.run([f"{self.tools}/repocrash", "judge", folder, expect, f"{folder}.list"], capture_output=True, text=True)
        if r.returncode:
            self.fail(f"{folder}: {r.stderr}")
        with open(f"{folder}.list") as f:
            return f.read()

    def go_on(self, sample):
        """What a power cut left is worked with: nothing that was there is lost."""
        there = self.judge(sample, f"{sample}.expect")
        shutil.copytree(sample, self.path("next"), symlinks=True)
        name, disk = self.rnd.choice("abc"), self.path("disks", f"d{self.disks}")
        number = self.next_number(sample, name)
        self.must("capture", disk, f"{sample}::{name}", "--raw", "all")
        self.must("repo", "check", sample, "--read-data", "--rebuild-index")
        self.must("repo", "prune", sample, "--unfinished", "--max-unused", "0")
        self.must("repo", "prune", sample, "--unfinished", "--max-unused", "0")
        with open(f"{sample}.after", "w") as f:
            f.write(there + f"have {name} {number} {disk}\n")
        self.judge(sample, f"{sample}.after")
        left = [os.path.join(d, n) for d, _, names in os.walk(sample) for n in names if d.endswith(("/new", "/leases", "/retired"))]
        left += [n for n in os.listdir(f"{sample}/leaves") if not os.path.exists(f"{sample}/packs/{n}.pack")]
        if left:
            self.fail(f"left behind: {left}")
        self.continued += 1
        return there

    def take_over(self, there):
        """The state that a cut left is where the next log begins."""
        shutil.rmtree(self.path("store"))
        os.rename(self.path("next"), self.path("store"))
        words = [line.split() for line in there.splitlines()]
        self.live = {(w[1], int(w[2])): w[3] for w in words if w[0] == "have"}
        self.tags = {(w[1], w[2]): int(w[3]) for w in words if w[0] == "tag"}

    def replay(self, what):
        r = subprocess.run([f"{self.tools}/repocrash", "run", self.path("log"), self.path("base"), self.path("inodes"), self.path("store"), self.path("work"),
                            EACH, str(self.rnd.randrange(1 << 30)), SAMPLE], capture_output=True, text=True)
        if r.returncode:
            self.fail(f"{what}: {r.stderr}")
        self.sums = [a + int(b) for a, b in zip(self.sums, r.stdout.split())]
        samples = int(r.stdout.split()[5])
        for i in range(samples):
            shutil.rmtree(self.path("next"), ignore_errors=True)
            there = self.go_on(self.path("work", f"sample-{i}"))
        return there if samples else None

    def round(self):
        """By chance."""
        self.logs += 1
        self.cut = ()
        self.start_log()
        nr, jobs = self.rnd.choice((1, 1, 2, 3, 4)), []
        for i in range(nr):
            jobs.append(self.choose())
            kill = self.rnd.randrange(3) > 0 if i < nr - 1 else self.rnd.randrange(6) == 0
            self.command(jobs[-1], self.rnd.randrange(24 if jobs[-1][0] in ("prune", "capture") else 6) if kill else None)
        there = self.replay(jobs)
        if there and self.rnd.randrange(2):
            self.take_over(there)

    def killed_then(self, job, *others):
        """A command is killed at each of its calls (or each STEP-th), and others follow. Each time the repository is as it was before."""
        store, was = self.path("store"), (dict(self.live), dict(self.tags))
        shutil.copytree(store, self.path("was"))
        killed, at = True, self.rnd.randrange(STEP)
        while killed:
            self.logs += 1
            self.start_log()
            killed = self.command(job, at)
            for other in others:
                if other[0] != "tag" or other[1:3] in self.live:
                    self.command(other, None)
            self.replay((job, at, *others))
            shutil.rmtree(store)
            shutil.copytree(self.path("was"), store)
            self.live, self.tags = map(dict, was)
            at += STEP
        shutil.rmtree(self.path("was"))

    def pairs(self):
        """Each of them believes what the one before it did and did not flush."""
        disk = self.new_disk()
        self.killed_then(("capture", disk, "c"), ("capture", disk, "c"))
        self.killed_then(("capture", disk, "c"), ("capture", disk, "a"))
        self.killed_then(("capture", disk, "c"), ("tag", "c", 1, "week"))
        self.killed_then(("rm", "a", 1), ("prune", "0"))
        self.must("repo", "rm", "store", "a@1")
        del self.live["a", 1]
        self.killed_then(("prune", "0"), ("prune", "0"))
        self.killed_then(("prune", "0"), ("capture", disk, "a"), ("prune", "0"))


def main(calco, tools, folder, states, seed):
    c = Campaign(calco, tools, folder, int(seed))
    os.mkdir(c.path("disks"))
    with open(c.path("disks", "d0"), "wb") as f:
        f.write(c.rnd.randbytes(SIZE // 2) + bytes(SIZE // 2))
    c.must("repo", "init", "store")
    for name in "aab":
        number, disk = c.next_number(c.path("store"), name), c.new_disk()
        with open(disk, "r+b") as f: # each holds something that the others do not: there is something to prune
            f.seek(SIZE - (1 << 19))
            f.write(c.rnd.randbytes(1 << 19))
        c.must("capture", disk, f"store::{name}", "--raw", "all")
        c.live[name, number] = disk
    c.pairs()
    while c.sums[0] < int(states):
        c.round()
        if c.logs % 10 == 0:
            print(f"... {c.logs} logs, {c.sums[0]} states", flush=True)
    print(f"{c.logs} logs ({c.kills} commands killed), {c.sums[1]} records, {c.sums[0]} different states: nothing lost, nothing half; "
          f"{c.sums[2]} versions opened, {c.sums[3]} read to the end and compared, {c.sums[4]} checks, work went on in {c.continued}")


main(*sys.argv[1:])
