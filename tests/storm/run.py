#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs one storm and judges it; ends with 1 if an invariant was violated.

The program under test is build/postbus, or what POSTBUS names.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from storm import report, weather  # noqa: E402
from storm.brokers import BROKERS  # noqa: E402
from storm.scene import Options  # noqa: E402
from support.process import exit_on_sigterm  # noqa: E402


def parse():
    defaults = Options()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=["postgresql", "sqlite"], default=defaults.store)
    parser.add_argument("--broker", choices=BROKERS, default=defaults.broker)
    for name in "messages", "kills", "seed", "window":
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--patience", type=float, default=defaults.patience)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


def main():
    arguments = vars(parse())
    output = arguments.pop("json")
    options = Options(**arguments)
    print(f"seed {options.seed}", flush=True)
    exit_on_sigterm()
    began = time.monotonic()

    def tell(text):
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    evidence = weather.run(options, tell)
    result = report.figures(evidence, options, time.monotonic() - began)
    print(report.text(result))
    if output is not None:
        output.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
