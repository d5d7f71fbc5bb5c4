#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of make bench: medians, ratios, and whether the goals were reached.

usage: table.py RESULTS FACTS JSON

RESULTS has a line for each run: case round wall-seconds cpu-seconds peak-KiB bytes. FACTS has lines "name value". Ratios are
taken within a round and their median is shown: what slows the machine down for a while then meets both sides.
"""
import json
import statistics
import sys

CAPTURE = [
    ("limit", "limit L: zstd -T2 -3, bytes that calco stores"),
    ("limit_all", "zstd -T2 -3, all bytes the file system calls used"),
    ("calco_norecheck", "calco capture --no-recheck"),
    ("calco", "calco capture"),
    ("prototype", "prototype: frames and SHA-256, nothing else"),
    ("prototype_recheck", "prototype, each frame decompressed and compared"),
    ("qemu", "qemu-img convert -c, qcow2 zstd, -m 8 -W"),
    ("partclone", "partclone.extfs | zstd -T2 -3"),
    ("dd_zstd", "dd | zstd -T2 -3, the whole disk"),
]
VERIFY = [("calco_verify", "calco verify"), ("zstd_test", "zstd -t")]
RESTORE = [
    ("write", "dd of the used bytes, conv=fsync"),
    ("decompress", "zstd -dc >/dev/null"),
    ("hash", "openssl dgst -sha256"),
    ("calco_restore_noverify", "calco restore --no-verify"),
    ("calco_restore", "calco restore, with read-back"),
    ("partclone_restore", "zstd -dc | partclone.restore; sync"),
    ("qemu_restore", "qemu-img convert qcow2 to raw; sync"),
]
MIB = 1 << 20


class Runs:
    def __init__(self, path):
        self.rounds = {}
        with open(path) as f:
            for line in f:
                case, rnd, wall, cpu, kib, size = line.split()
                self.rounds.setdefault(case, {})[int(rnd)] = {
                    "wall": float(wall), "cpu": float(cpu), "peak": int(kib) * 1024, "bytes": int(size)}

    def median(self, case, field):
        return statistics.median(r[field] for r in self.rounds[case].values())

    def ratio(self, case, field, base):
        """base: a function from the number of a round to what that round is divided by"""
        return statistics.median(r[field] / base(n) for n, r in self.rounds[case].items())

    def to_limit(self, case, field):
        return self.ratio(case, field, lambda n: self.rounds["limit"][n][field])

    def to_prototype(self, case, field, prototype):
        return self.ratio(case, field, lambda n: self.rounds[prototype][n][field])

    def restore_limit(self, n, cores):
        cpu = sum(self.rounds[c][n]["cpu"] for c in ("decompress", "hash", "write"))
        return max(self.rounds["write"][n]["wall"], cpu / cores)


def read_facts(path):
    with open(path) as f:
        return dict(line.split(None, 1) for line in f.read().splitlines())


def find_goals(runs, facts):
    """A list of (what, measured, goal, unit); reached when measured is at most the goal."""
    cores = int(facts["cores"])
    chunks = int(facts["chunks"])
    to_restore = lambda n: runs.restore_limit(n, cores)
    memory = (64 * MIB + 64 * chunks) / MIB
    half_chunks = int(facts["half_chunks"])
    return [
        ("capture --no-recheck: wall", runs.to_limit("calco_norecheck", "wall"), 0.95, "L"),
        ("capture --no-recheck: CPU", runs.to_limit("calco_norecheck", "cpu"), 0.95, "L"),
        ("capture: wall", runs.to_limit("calco", "wall"), 1.10, "L"),
        ("capture: CPU", runs.to_limit("calco", "cpu"), 1.10, "L"),
        ("capture --no-recheck: CPU", runs.to_prototype("calco_norecheck", "cpu", "prototype"), 1.0, "of prototype's"),
        ("capture: CPU", runs.to_prototype("calco", "cpu", "prototype_recheck"), 1.0, "of prototype's"),
        ("image: size", runs.to_limit("calco", "bytes"), 1.07, "of L's"),
        ("restore --no-verify: wall", runs.ratio("calco_restore_noverify", "wall", to_restore), 1.20, "of its limit"),
        ("restore with read-back: wall", runs.ratio("calco_restore", "wall", lambda n: runs.rounds["partclone_restore"][n]["wall"]), 1.0,
         "of partclone's"),
        ("capture: peak memory", runs.median("calco", "peak") / MIB, memory, "MiB"),
        ("restore: peak memory", runs.median("calco_restore", "peak") / MIB, memory, "MiB"),
        ("plan of 1 TiB with 1 GiB used", float(facts["plan_1tib_seconds"]), 5, "s"),
        ("plan of 1 TiB, every other block used", float(facts["half_plan_seconds"]), 30, "s"),
        ("  its peak memory", int(facts["half_plan_kib"]) / 1024, (64 * MIB + 64 * half_chunks) / MIB, "MiB"),
        ("  its head, not compressed", int(facts["half_core_bytes"]) / MIB, 40, "MiB"),
    ]


def print_rows(runs, title, cases, ratio_of):
    print(f"{title:<54}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'MB':>9}{'wall':>7}{'CPU':>7}{'size':>7}")
    for case, label in cases:
        size = runs.median(case, "bytes")
        row = f"{label:<54}{runs.median(case, 'wall'):8.2f}{runs.median(case, 'cpu'):8.2f}{runs.median(case, 'peak') / 1e6:9.0f}"
        row += f"{size / 1e6:9.1f}" if size else " " * 9
        ratios = ratio_of(case)
        row += "".join(" " * 7 if r is None else f"{r:7.3f}" for r in ratios)
        print(row.rstrip())
    print()


def print_table(runs, facts, goals):
    cores = int(facts["cores"])
    stored, used = int(facts["used_bytes"]), int(facts["all_used_bytes"])
    print(f"{cores} processors, {int(facts['memory_mib']) // 1024} GiB, SHA-NI {facts['sha_ni']}, AVX-512 {facts['avx512']}; "
          f"load at the start {facts['load']}; rounds: {facts['rounds']}, medians")
    print(f"zstd {facts['zstd']}, partclone {facts['partclone']}, qemu-img {facts['qemu']}")
    print(f"disk: ext4 of 8 GiB with {used / 1e6:.0f} MB in use; calco stores {stored / 1e6:.0f} MB of them and knows the rest to be zero")
    print("(body of the journal, unused inode tables); the peers copy those too\n")
    size = lambda c: runs.to_limit(c, "bytes")
    print_rows(runs, "capture (last three columns: times L)", CAPTURE,
               lambda c: (runs.to_limit(c, "wall"), runs.to_limit(c, "cpu"), size(c)))
    print_rows(runs, "verify", VERIFY, lambda c: (None, None, None))
    walls = [runs.restore_limit(n, cores) for n in runs.rounds["write"]]
    print(f"restore limit: max(wall of dd, CPU of (zstd -d + SHA-256 + dd) / {cores}) = {statistics.median(walls):.2f} s")
    print_rows(runs, "restore (wall: times that limit)", RESTORE,
               lambda c: (runs.ratio(c, "wall", lambda n: runs.restore_limit(n, cores)), None, None))
    print(f"plan of 1 TiB with {int(facts['plan_1tib_used']) / 1e9:.2f} GB used: {facts['plan_1tib_seconds']} s, "
          f"peak {int(facts['plan_1tib_kib']) // 1024} MiB")
    print(f"plan of 1 TiB with every other block used: {facts['half_plan_seconds']} s, peak {int(facts['half_plan_kib']) // 1024} MiB; "
          f"head {int(facts['half_core_bytes']) / MIB:.1f} MiB, compressed {int(facts['half_packed_bytes'])} bytes,")
    print(f"made in {facts['half_encode_seconds']} s, read in {facts['half_decode_seconds']} s, "
          f"peak with head {int(facts['half_head_kib']) // 1024} MiB\n")
    print(f"{'goal':<44}{'measured':>10}{'at most':>10}")
    for what, measured, goal, unit in goals:
        mark = "reached" if measured <= goal else "FALLS SHORT"
        print(f"{what:<44}{measured:10.3f}{goal:10.2f} {unit:<16}{mark}")


def main(results, facts_path, out):
    runs, facts = Runs(results), read_facts(facts_path)
    goals = find_goals(runs, facts)
    print_table(runs, facts, goals)
    with open(out, "w") as f:
        json.dump({"version": 1, "facts": facts, "runs": runs.rounds,
                   "goals": [{"what": w.strip(), "measured": round(m, 4), "at_most": round(g, 4), "unit": u, "reached": m <= g}
                             for w, m, g, u in goals]}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
