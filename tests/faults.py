#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail the n-th call of every kind in every job, one after the other.

usage: faults.py CALCO FAULTS.SO FOLDER [LIMIT]

FOLDER holds disk.img, its image.calco, its sealed.calco with the keys sym and signer, and old.img, another disk of the same size; and, if mounts work, mounted.img, which is mounted read-only, and
its copy mounted.was. For each job and kind of fault n goes from 1 to the number
of such calls; with LIMIT, only so many n evenly spread. Whatever fails: no signal, no hang, no success with wrong data, no image under the final name
that is not whole, and the same restore without a fault completes the target.
"""
import os
import subprocess
import sys

TIMEOUT = 60
ERRORS = {1, 2, 3, 4, 5, 6}


class Job:
    def __init__(self, name, command, before=None, check=None, kinds=("malloc", "open", "read", "fsync", "write", "full", "intr", "short-read", "short-write")):
        self.name, self.command, self.before, self.check, self.kinds = name, command, before, check, kinds
        self.expected = 0  # exit code without a fault


class Loop:
    def __init__(self, calco, shim, folder, limit):
        self.calco, self.shim, self.folder, self.limit = calco, shim, folder, limit
        self.problems = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def remove(self, *names):
        for name in names:
            if os.path.lexists(self.path(name)):
                os.unlink(self.path(name))

    def run(self, *args, fault=None):
        env = dict(os.environ)
        if fault:
            env.update(LD_PRELOAD=self.shim, CALCO_FAULT=fault, CALCO_FAULT_HIT=self.path("hit"), CALCO_FAULT_COUNT=self.path("count"))
        try:
            r = subprocess.run([self.calco, *args], cwd=self.folder, env=env, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return None, b"no end within %d s" % TIMEOUT
        return r.returncode, r.stderr

    def same(self, a, b):
        with open(self.path(a), "rb") as f, open(self.path(b), "rb") as g:
            return f.read() == g.read()

    def problem(self, job, fault, what, said=b""):
        self.problems += 1
        print(f"{job.name}, {fault}: {what}\n{said.decode(errors='replace')[:1500]}", file=sys.stderr)

    def count(self, job, kind):
        job.before(self)
        code, said = self.run(*job.command, fault=f"{kind}:0")
        if code != job.expected:
            self.problem(job, kind, f"exit code {code} without a fault", said)
            return 0
        with open(self.path("count")) as f:
            return int(f.read())

    def one(self, job, kind, n):
        fault = f"{kind}:{n}"
        self.remove("hit")
        job.before(self)
        code, said = self.run(*job.command, fault=fault)
        if code is None or code < 0 or code not in ERRORS | {0}:
            self.problem(job, fault, f"exit code {code}", said)
        elif code != 0 and not said.strip():
            self.problem(job, fault, f"exit code {code} without a word")
        else:
            wrong = job.check(self, code)
            if wrong:
                self.problem(job, fault, wrong, said)
        return code

    def all(self, job):
        for kind in job.kinds:
            total = self.count(job, kind)
            # Threads make the number of calls vary a little.
            ns = range(1, total + 1)
            if self.limit and total > self.limit:
                ns = sorted({1 + i * (total - 1) // (self.limit - 1) for i in range(self.limit)})
            codes = {}
            for n in ns:
                code = self.one(job, kind, n)
                codes[code] = codes.get(code, 0) + 1
            print(f"{job.name}: {kind}: {len(ns)} of {total} calls failed, exit codes {dict(sorted(codes.items(), key=str))}", flush=True)


def no_image(loop):
    loop.remove("new.calco", "new.calco.part")


def check_capture(loop, code):
    exists = os.path.exists(loop.path("new.calco"))
    if code == 0 and not exists:
        return "success without an image"
    if code == 5 and exists:  # unreadable sectors were recorded: the image says so and is whole
        return None if loop.run("verify", "new.calco")[0] in (0, 5) else "an image that is not whole"
    if code != 0 and exists and loop.run("verify", "new.calco")[0] != 0:
        return "an image that is not whole under the final name"
    if code == 0 and loop.run("verify", "new.calco", "--against", "disk.img")[0] != 0:
        return "success with a wrong image"
    return None


def check_sealed_capture(loop, code):
    """As of any capture; and never an image in clear, or one without the signature that was asked for."""
    if not os.path.exists(loop.path("new.calco")):
        return "success without an image" if code == 0 else None
    if loop.run("verify", "new.calco", "--key", "sym", "--require-signer", "signer.pub")[0] != 0:
        return "an image under the final name that is not whole, not encrypted or not signed"
    if code == 0 and loop.run("verify", "new.calco", "--key", "sym", "--against", "disk.img")[0] != 0:
        return "success with a wrong image"
    return None


def old_target(loop):
    loop.remove("state")
    subprocess.run(["cp", "--sparse=always", loop.path("old.img"), loop.path("target.img")], check=True)


RESTORE = ("restore", "image.calco", "target.img", "--state", "state", "--confirm", "target.img")


def check_restore(loop, code):
    if code == 0:
        return None if loop.run("verify", "image.calco", "--against", "target.img")[0] == 0 else "success with a wrong disk"
    again, said = loop.run(*RESTORE)
    if again != 0:
        return f"the same command does not complete it: {again} {said.decode(errors='replace')}"
    return None if loop.run("verify", "image.calco", "--against", "target.img")[0] == 0 else "the second attempt made a wrong disk"


def nothing(loop):
    pass


def check_verdict(loop, code):
    return "what is sound was called damaged" if code == 3 else None


def cut_target(loop):
    """A restore that wrote nothing but took away what makes the disk recognised"""
    old_target(loop)
    with open(loop.path("image.calco"), "rb") as f:
        head = f.read()
    r = subprocess.run([loop.calco, "restore", "-", *RESTORE[2:]], cwd=loop.folder, input=head[:head.index(b"CHNK") + 40], capture_output=True)
    if r.returncode != 3:
        sys.exit(f"a cut restore ended with {r.returncode}: {r.stderr.decode()}")


def check_undo(loop, code):
    if code == 0:
        return None if loop.same("target.img", "old.img") else "success with a wrong disk"
    if not os.path.exists(loop.path("state")):
        return None if loop.same("target.img", "old.img") else "the record is gone, the disk is not back"
    again, said = loop.run("undo", "target.img", "--state", "state")
    if again != 0:
        return f"the second undo ends with {again} {said.decode(errors='replace')}"
    return None if loop.same("target.img", "old.img") else "the second undo made a wrong disk"


def check_mounted(loop, code):
    if code == 0:
        return "a mounted disk was written to"
    return None if loop.same("mounted.img", "mounted.was") else "a mounted disk was changed"


JOBS = [
    Job("capture", ("capture", "disk.img", "new.calco"), no_image, check_capture),
    Job("capture, encrypted and signed", ("capture", "disk.img", "new.calco", "--key", "sym", "--sign", "signer"), no_image, check_sealed_capture,
        ("malloc", "open", "read", "write", "full")),
    Job("restore", RESTORE, old_target, check_restore),
    Job("restore, no read-back", RESTORE + ("--no-verify",), old_target, check_restore, ("read", "fsync", "intr", "short-read", "short-write")),
    Job("verify", ("verify", "image.calco"), nothing, check_verdict),
    Job("verify, encrypted and signed", ("verify", "sealed.calco", "--key", "sym", "--require-signer", "signer.pub"), nothing, check_verdict,
        ("malloc", "open", "read", "short-read")),
    Job("verify --against", ("verify", "image.calco", "--against", "disk.img"), nothing, check_verdict),
    Job("undo", ("undo", "target.img", "--state", "state"), cut_target, check_undo),
    Job("info", ("info", "image.calco", "--json"), nothing, check_verdict, ("malloc", "read", "write", "short-read")),
]


MOUNTED = Job("restore over a mounted disk", ("restore", "image.calco", "mounted.img", "--state", "state", "--confirm", "mounted.img"), nothing,
              check_mounted, ("malloc", "open", "read", "intr", "short-read"))
MOUNTED.expected = 4


def main(calco, shim, folder, limit="0"):
    loop = Loop(calco, shim, folder, int(limit))
    for job in JOBS:
        loop.all(job)
    if os.path.exists(loop.path("mounted.img")):
        loop.all(MOUNTED)
    if loop.problems:
        sys.exit(f"{loop.problems} problems")


main(*sys.argv[1:])
