#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds the layers apart: who may include what, and where SQL, logs and clocks live.

Each layer uses only those before it in LAYERS. Run without arguments it first
proves on planted faults that it can convict, then judges src/.
"""

import re
import sys
import tempfile
from pathlib import Path

LAYERS = [
    *("base", "message", "net", "amqp", "mqtt", "store", "broker"),
    *("bus", "worker", "client", "cli"),
]
OUTSIDE = ["client", "cli", "worker"]  # these meet the user

# The rules of the bus are written against interfaces, never against a driver.
BUS_MAY_SEE = {"store/store.h", "store/config.h", "broker/broker.h"}

# Who may include a library's header.
LIBRARIES = {
    r"amqp|amqp_\w+|rabbitmq-c/.*": ["amqp"],
    r"sqlite3": ["store", "client"],
    r"libpq-fe": ["store", "client"],
    r"openssl/(ssl|err|bio|x509\w*)": ["net"],
    r"sys/socket": ["net", "worker"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)\.h[">]', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
SQL = re.compile(
    r'^"\s*(?:SELECT\s|(?i:insert\s+into|update\s+\w+\s+set|delete\s+from|create\s+table)\b)'
)
CLOCK = re.compile(r"\b(clock_monotonic|clock_wall|clock_gettime|gettimeofday|time)\(")


def judge(source):
    """Every fault below a source directory, as `path: sentence`."""
    for path in sorted(source.rglob("*.[ch]")):
        name = path.relative_to(source).as_posix()
        layer = name.partition("/")[0]
        if layer not in LAYERS:
            yield f"{name}: {layer} is no layer"
            continue
        code = COMMENT.sub("", path.read_text())
        for fault in (*_includes(layer, code), *_contents(layer, code)):
            yield f"{name}: {fault}"


def _includes(layer, code):
    for header in INCLUDE.findall(code):
        other = header.partition("/")[0]
        for pattern, users in LIBRARIES.items():
            if re.fullmatch(pattern, header) and layer not in users:
                yield f"<{header}.h> belongs to {' and '.join(users)}"
        if other not in LAYERS or "/" not in header or other == layer:
            continue
        if LAYERS.index(other) > LAYERS.index(layer):
            yield f"{header}.h is above {layer}"
        elif layer == "bus" and other in ("store", "broker"):
            if f"{header}.h" not in BUS_MAY_SEE:
                yield f"{header}.h is a driver's"
        if header == "base/log" and layer not in OUTSIDE:
            yield "only the worker and the command line log"


def _contents(layer, code):
    if layer != "store":
        for literal in STRING.findall(code):
            if SQL.match(literal):
                yield f"SQL outside of the store: {literal}"
    if layer not in ("base", "store", *OUTSIDE):
        for call in CLOCK.findall(code):
            yield f"reads a clock: {call}"


# File, content, and what must be said about it; None: nothing.
PLANTED = [
    ("base/up.c", '#include "message/topic.h"\n', "is above base"),
    ("net/peer.c", '#include "amqp/connection.h"\n', "is above net"),
    ("bus/driver.c", '#include "store/sqlite.h"\n', "is a driver's"),
    ("store/noisy.c", '#include "base/log.h"\n', "command line log"),
    ("broker/lib.c", "#include <amqp_framing.h>\n", "belongs to amqp"),
    ("bus/lib.c", "#include <sys/socket.h>\n", "belongs to net"),
    ("cli/query.c", 'f("SELECT id"\n  " FROM t");\n', "SQL outside"),
    ("worker/query.c", 'f("update t set a = 1");\n', "SQL outside"),
    ("bus/clock.c", "now = clock_monotonic();\n", "reads a clock"),
    ("helpers/any.c", "int x;\n", "is no layer"),
    ("bus/good.c", '#include "store/store.h"\n#include "base/wait.h"\n', None),
    ("store/good.c", '#include <sqlite3.h>\nf("SELECT 1");\n', None),
    ("cli/good.c", '#include "base/log.h"\n/* "SELECT 1" */ f("select a row");\n', None),
    ("amqp/good.c", "#include <amqp.h>\n", None),
]


def can_convict():
    """Faults of this program itself: a planted one unseen, a good file accused."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory)
        for name, content, _ in PLANTED:
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_text(content)
        found = list(judge(source))
    for name, _, expected in PLANTED:
        said = [fault for fault in found if fault.startswith(f"{name}: ")]
        if expected is None and said:
            yield f"accuses a good file: {said}"
        elif expected is not None and not any(expected in fault for fault in said):
            yield f"does not see the fault planted in {name}"


def main():
    source = Path(__file__).resolve().parent.parent / "src"
    faults = [f"check_layers: {fault}" for fault in can_convict()]
    faults += judge(source)
    print("\n".join(faults) or "the layers are apart")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
