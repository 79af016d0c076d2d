#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The rules of the house that no formatter knows.

A file opens with its licence, is not longer than a file should be, and holds
no note about work that is not done. Run without arguments it first proves on
planted faults that it can convict, then judges every file of the project.
"""

import re
import sys
from pathlib import Path

LICENCE = "SPDX-License-Identifier: MIT"
LONGEST_FILE = 500
LONGEST_LINE = 100
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b")
NOT_OURS = re.compile(r"\.git|build(-.*)?|__pycache__|\..*_cache")
CODE = {".c", ".h", ".py", ".sql", ".sh", ".ini"}


def is_code(path, text):
    return path.suffix in CODE or path.name == "Makefile" or text.startswith("#!")


def judge(path, text):
    """Every fault of one file, as a sentence."""
    lines = text.splitlines()
    if not is_code(path, text):
        return
    if not any(LICENCE in line for line in lines[:2]):
        yield "has no licence line on top"
    if len(lines) > LONGEST_FILE:
        yield f"has {len(lines)} lines, more than {LONGEST_FILE}"
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > LONGEST_LINE:
            yield f"line {number} is longer than {LONGEST_LINE} columns"
        if line != line.rstrip():
            yield f"line {number} ends in blanks"
        if path.name != Path(__file__).name and UNFINISHED.search(line):
            yield f"line {number} is about work not done: {line.strip()}"


GOOD = f"/* {LICENCE} */\n/* What this is for. */\nint x;\n"
PLANTED = [
    ("a.c", "int x;\n", "no licence"),
    ("tool", "#!/bin/sh\ntrue\n", "no licence"),
    ("a.c", GOOD + "int y;\n" * LONGEST_FILE, "more than 500"),
    ("a.h", GOOD + "\t" * 12 + "int y = 1;\n", "longer than 100"),
    ("a.py", f"# {LICENCE}\nx = 1 \n", "ends in blanks"),
    ("a.c", GOOD + "/* TODO: more */\n", "work not done"),
    ("a.c", GOOD, None),
    ("notes.md", "TODO\n", None),
]


def can_convict():
    for name, text, expected in PLANTED:
        said = list(judge(Path(name), text))
        if expected is None and said:
            yield f"accuses a good file: {said}"
        elif expected is not None and not any(expected in fault for fault in said):
            yield f"does not see that a file {expected!r}"


def files(root):
    for path in sorted(root.iterdir()):
        if path.is_dir() and not NOT_OURS.fullmatch(path.name):
            yield from files(path)
        elif path.is_file():
            yield path


def main():
    root = Path(__file__).resolve().parent.parent
    faults = [f"check_style: {fault}" for fault in can_convict()]
    for path in files(root):
        text = path.read_text(errors="replace")
        faults += [f"{path.relative_to(root)}: {fault}" for fault in judge(path, text)]
    print("\n".join(faults) or "the style is kept")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
