#!/usr/bin/env python3
"""The words that the code gives as the reason of an error are those that calco(1) lists under REASONS."""
import pathlib
import re
import sys

# What sets a reason: a call, or a table. Everything up to the end of the statement belongs to it, and every literal in that which is such a word.
SETS = re.compile(r"(err_reason\(|\brefuse\(|set_state\(|->reason, sizeof|\.reason, sizeof|\.reason = |\}\s*uses\[\] = ).*?;", re.DOTALL)
WORD = re.compile(r'"([a-z]+(?:-[a-z]+)*)"')
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = "docs/man/calco.1"


def of_code():
    """word -> a file that has it"""
    words = {}
    for folder in ("base", "fsdrivers", "imager", "cmd"):
        for path in sorted((ROOT / folder).rglob("*.c")):
            for statement in SETS.finditer(COMMENT.sub("", path.read_text())):
                for word in WORD.findall(statement.group()):
                    words.setdefault(word, path.relative_to(ROOT))
    return words


def of_page():
    """The bold words of each ".TP" in the section."""
    section = re.search(r"^\.SH REASONS$(.*?)^\.SH ", (ROOT / PAGE).read_text(), re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^\.TP\n\.BR? (.*)$", section.group(1), re.MULTILINE)
    return {word for head in heads for word in re.findall(r"[a-z]+(?:-[a-z]+)*", head.replace("\\-", "-"))}


def main():
    code, page = of_code(), of_page()
    complaints = [f"{code[word]} gives the reason '{word}', which {PAGE} does not list" for word in sorted(set(code) - page)]
    complaints += [f"{PAGE} lists the reason '{word}', which no code gives" for word in sorted(page - set(code))]
    if len(code) < 40:
        complaints.append(f"only {len(code)} reasons found in the code")
    for text in complaints:
        print(f"check-reasons: {text}", file=sys.stderr)
    if not complaints:
        print(f"  OK   reasons: {len(code)} words in the code and in the manual")
    sys.exit(bool(complaints))


main()
