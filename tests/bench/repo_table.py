#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of tests/bench/repo.sh: what versions cost, and whether the goals were reached.

usage: repo_table.py RESULTS FACTS JSON

RESULTS and FACTS are those of table.py; the bytes of a case are what its whole folder takes afterwards.
"""
import json
import sys

from table import MIB, Runs, read_facts

CASES = [
    ("file", "calco capture v1, a file"),
    ("repo_v1", "calco capture v1, a new repository"),
    ("repo_v2", "calco capture v2"),
    ("repo_near", "calco capture of v1 with 2 % written anew"),
    ("restic_v1", "restic backup v1"),
    ("restic_v2", "restic backup v2"),
    ("restic_v1_clean", "restic backup v1, free space zeroed"),
    ("restic_v2_clean", "restic backup v2, free space zeroed"),
    ("borg_v1", "borg create v1, zstd,3"),
    ("borg_v2", "borg create v2"),
    ("borg_v1_clean", "borg create v1, free space zeroed"),
    ("borg_v2_clean", "borg create v2, free space zeroed"),
    ("restore_file", "calco restore v1, from a file"),
    ("restore_v1", "calco restore v1, from the repository"),
    ("restore_v2", "calco restore v2"),
]
BEFORE = {"repo_v2": "repo_v1", "repo_near": "repo_v1", "restic_v2": "restic_v1", "borg_v2": "borg_v1",
          "restic_v2_clean": "restic_v1_clean", "borg_v2_clean": "borg_v1_clean"}


def added(runs, case):
    return runs.median(case, "bytes") - (runs.median(BEFORE[case], "bytes") if case in BEFORE else 0)


def ratio(runs, case, base, field):
    return runs.ratio(case, field, lambda n: runs.rounds[base][n][field])


def find_goals(runs):
    """A list of (what, measured, goal, unit); reached when measured is at most the goal."""
    goals = [
        ("v2 adds", added(runs, "repo_v2") / MIB, 75, "MiB"),
        ("v1: repository to file", runs.median("repo_v1", "bytes") / runs.median("file", "bytes"), 1.05, "of the file"),
    ]
    for field in ("wall", "cpu"):
        goals.append((f"restore of v2: {field}", ratio(runs, "restore_v2", "restore_v1", field), 1.3, "of v1's"))
        goals.append((f"capture with 2 % written anew: {field}", ratio(runs, "repo_near", "repo_v1", field), 0.5, "of v1's"))
    return goals


def print_table(runs, facts, goals):
    used = ", ".join(f"{v} {int(facts['used_' + v]) / MIB:.0f}" for v in ("v1", "v2", "near"))
    print(f"load at the start {facts['load']}; rounds: {facts['rounds']}, medians; restic {facts['restic']}, borg {facts['borg']}")
    print(f"golden images, MiB that calco stores: {used}")
    print(f"{'':<46}{'wall s':>8}{'CPU s':>8}{'peak MiB':>10}{'added MiB':>11}")
    for case, label in CASES:
        if case not in runs.rounds:
            continue
        row = f"{label:<46}{runs.median(case, 'wall'):8.2f}{runs.median(case, 'cpu'):8.2f}{runs.median(case, 'peak') / MIB:10.0f}"
        print(row + (f"{added(runs, case) / MIB:11.1f}" if added(runs, case) else ""))
    leaves = [int(facts[f"leaves_{v}"]) / MIB for v in ("v1", "v2")]
    print(f"of which leaf cache: v1 {leaves[0]:.1f} MiB, v2 {leaves[1] - leaves[0]:.1f} MiB\n")
    print(f"{'goal':<44}{'measured':>10}{'at most':>10}")
    for what, measured, goal, unit in goals:
        print(f"{what:<44}{measured:10.3f}{goal:10.2f} {unit:<16}{'reached' if measured <= goal else 'FALLS SHORT'}")


def main(results, facts_path, out):
    runs, facts = Runs(results), read_facts(facts_path)
    goals = find_goals(runs)
    print_table(runs, facts, goals)
    with open(out, "w") as f:
        json.dump({"version": 1, "facts": facts, "runs": runs.rounds,
                   "goals": [{"what": w, "measured": round(m, 4), "at_most": g, "unit": u, "reached": m <= g} for w, m, g, u in goals]},
                  f, indent=1)
        f.write("\n")


main(*sys.argv[1:])
