#!/usr/bin/env python3
"""Compare the fields that manual pages promise for --json with those of real documents, both ways.

usage: json_fields.py PAGE [PAGE [FIELD-LEFT-OUT...]] , DOCUMENT...

Of the second page some fields may be left out. The fields of the pages' JSON sections are those of the result. A head (behind .TP) names fields of the result itself; what stands in italics
below it are fields of the objects within. Each must be there in one of the documents at least, and each field of a document must be promised.
"""
import json
import re
import sys

# Italics that are no fields.
WORDS = {"result", "extents"}


def words(line):
    """The words of a font line, each with its font's place: .BR a ", " b gives (a, 0), (, , 1), (b, 0)."""
    parts = re.findall(r'"([^"]*)"|(\S+)', line.replace("\\-", "-").replace("\\fR", ""))
    return [(a or b, i % 2) for i, (a, b) in enumerate(parts[1:])]


def fields_of_page(path):
    """{head: {nested}}; the head "" is for what comes before the first one."""
    found, head, last, inside = {"": set()}, [""], "", False
    for line in open(path, encoding="utf-8").read().splitlines():
        if line.startswith(".SH"):
            inside = line == ".SH JSON"
        if not inside:
            continue
        font = line.split(" ")[0]
        if last == ".TP" and font in (".B", ".BR"):
            head = [w for w, at in words(line) if at == 0 and re.fullmatch(r"[a-z_]+", w)]
            found.update((h, set()) for h in head)
        elif font in (".I", ".IR"):
            new = {w for w, at in words(line) if at == 0 and re.fullmatch(r"[a-z_]+", w)} - WORDS
            for h in head:
                found[h] |= new
        last = line
    return found


def names_within(value):
    if isinstance(value, dict):
        return set(value).union(*(names_within(v) for v in value.values()))
    return set().union(*(names_within(v) for v in value)) if isinstance(value, list) else set()


def fields_of_documents(paths):
    found = {}
    for path in paths:
        for key, value in json.load(open(path, encoding="utf-8"))["result"].items():
            found.setdefault(key, set()).update(names_within(value))
    return found


def main():
    comma = sys.argv.index(",")
    pages, left_out = sys.argv[1:min(comma, 3)], sys.argv[3:comma]
    promised, real, bad = {}, fields_of_documents(sys.argv[comma + 1:]), []
    for page in pages:
        for head, nested in fields_of_page(page).items():
            if page != pages[0] and head in left_out:
                continue
            for name in nested if head == "" else [head]:
                promised.setdefault(name, set())
            if head:
                promised[head] |= nested
    for head, nested in sorted(promised.items()):
        if head not in real:
            bad.append(f"{head}: promised, not there")
            continue
        # A head without objects below it may speak of others in italics.
        bad += [f"{head}.{n}: promised, not there" for n in sorted(nested - real[head] - set(promised)) if real[head]]
    for head, nested in sorted(real.items()):
        if head not in promised:
            bad.append(f"{head}: there, not promised")
            continue
        bad += [f"{head}.{n}: there, not promised" for n in sorted(nested - promised[head])]
    sys.exit("\n".join(bad) or 0)


main()
