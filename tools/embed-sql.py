# SPDX-License-Identifier: MIT
"""Turns numbered SQL files into a C table: embed-sql.py NAME OUT FILE..."""
import json
import pathlib
import sys

name, out, *files = sys.argv[1:]
lines = [
    '#include "store/migration.h"',
    '#pragma GCC diagnostic ignored "-Woverlength-strings"',
    f"const struct migration {name}[] = {{",
]
for number, path in enumerate(sorted(map(pathlib.Path, files)), start=1):
    if int(path.name.split("_")[0]) != number:
        sys.exit(f"{path}: migration {number} is expected here")
    lines.append("\t{" + json.dumps(path.stem) + ",")
    for line in path.read_text("ascii").splitlines(keepends=True):
        lines.append("\t " + json.dumps(line))
    lines.append("\t},")
lines.append("\t{0},\n};\n")
pathlib.Path(out).write_text("\n".join(lines))
