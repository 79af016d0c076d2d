#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Judges the judges: each planted bug must be caught by the tests meant for it.

    convict.py [--quick] [BUG...]

Every judge first acquits the program as it is. --quick leaves out those that
need servers. Ends with 1 if a bug goes free, or if one has no judge at all.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-test"
PATIENCE = 60  # seconds in which a bug must be convicted

# A simulation, a unit test by its name, or tests with real servers.
SIMULATION, UNIT, SERVERS = "simulation", "unit", "test"

JUDGES = {
    "ack-before-commit": [
        "simulation",
        "unit_intake",
        "test_outages.py::test_worker_killed_before_its_commit_has_acknowledged_nothing",
    ],
    "batch-poisoned": ["unit_intake"],
    "cursor-polling": [
        "simulation",
        "test_pg_order.py::test_rows_that_commit_late_with_lower_seqs_are_published",
    ],
    "dedupe-off": [
        "simulation",
        "unit_intake",
        "test_bad_messages.py::test_same_message_again_is_ignored",
    ],
    "drain-hurries": [
        "test_shutdown.py::test_relay_told_to_end_has_marked_all_that_it_has_sent"
    ],
    "dup-lost": ["unit_mqtt_resume"],
    "expired-sent": ["test_order_and_time.py::test_row_past_its_expiry_is_not_sent"],
    "key-overtaken": [
        "simulation",
        "test_order_and_time.py::test_row_in_retry_holds_back_its_key_and_no_other",
    ],
    "late-key-overtaken": [
        "test_pg_order.py::test_late_commit_goes_before_what_its_key_writes_after_it"
    ],
    "mark-before-confirm": [
        "simulation",
        "test_mqtt_peers.py::test_a_refused_message_is_a_failed_attempt_with_its_reason",
    ],
    "multiple-off-by-one": ["simulation"],
    "nack-as-ack": [
        "simulation",
        "test_mqtt_peers.py::test_a_refused_message_is_a_failed_attempt_with_its_reason",
    ],
    "rejected-dropped": [
        "unit_intake",
        "test_bad_messages.py::test_every_bad_body_is_kept_with_its_reason_and_good_ones_pass",
    ],
    "resubscribe-forgotten": [
        "test_mqtt.py::test_a_lost_session_is_subscribed_again_and_told"
    ],
    "retry-burnt-by-outage": [
        "simulation",
        "test_outages.py::test_restart_and_crash_of_the_broker_cost_no_message_and_no_attempt",
    ],
    "return-ignored": [
        "simulation",
        "test_routing.py::test_unroutable_command_is_tried_again_and_then_ends_as_error",
    ],
    "sleeper-goes-on": ["unit_relay_lock"],
    "stalled-forgets": ["simulation", "unit_intake"],
    "suback-ignored": ["test_mqtt.py::test_a_refused_subscription_is_no_silence"],
    "two-relays": ["simulation", "unit_relay_lock"],
    "unknown-acknowledged": ["simulation"],
}


def planted():
    output = subprocess.run(
        [BUILD / "postbus"],
        env={**os.environ, "POSTBUS_BUG": "list"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [line.split()[0] for line in output.splitlines()]


def command(judge):
    if judge == SIMULATION:
        return [BUILD / "tests/simulation/simulation", "--seeds", "4000"]
    if judge.startswith(UNIT):
        return [BUILD / "tests/unit" / judge]
    options = ["-q", "-x", "--no-header", "--tb=line"]
    return [sys.executable, "-m", "pytest", *options, f"tests/integration/{judge}"]


def passes(judge, bug=None):
    """Whether the tests pass; None if they did not come to a verdict in time."""
    environment = {**os.environ, "POSTBUS": str(BUILD / "postbus")}
    environment.pop("POSTBUS_BUG", None)
    if bug is not None:
        environment["POSTBUS_BUG"] = bug
    arguments = ["timeout", str(PATIENCE), *command(judge)]
    result = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, check=False
    )
    if result.returncode == 124 or judge.startswith(SERVERS) and result.returncode > 1:
        return None
    return result.returncode == 0


def tell(what, judge, outcome, began):
    print(f"{what:22} {outcome:12} {time.monotonic() - began:5.1f} s  {judge}", flush=True)


def acquits(judge):
    began = time.monotonic()
    passed = passes(judge)
    tell("-", judge, "acquitted" if passed else "CONVICTED", began)
    return bool(passed)


def convicts(judge, bug):
    began = time.monotonic()
    passed = passes(judge, bug)
    outcome = {True: "WENT FREE", False: "caught", None: "NO VERDICT"}[passed]
    tell(bug, judge, outcome, began)
    return passed is False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without servers")
    parser.add_argument("bugs", nargs="*", metavar="BUG")
    arguments = parser.parse_args()
    bugs = arguments.bugs or planted()
    wrong = [f"{bug}: no judge" for bug in bugs if bug not in JUDGES]
    trials = [
        (judge, bug)
        for bug in bugs
        for judge in JUDGES.get(bug, [])
        if not (arguments.quick and judge.startswith(SERVERS))
    ]
    for judge in dict.fromkeys(judge for judge, _ in trials):
        if not acquits(judge):
            wrong.append(f"{judge}: convicts the innocent")
    for judge, bug in trials:
        if not convicts(judge, bug):
            wrong.append(f"{bug}: {judge} did not catch it")
    caught = len({bug for _, bug in trials}) - len({line.split(":")[0] for line in wrong})
    print("\n".join([*wrong, f"{caught} bugs caught, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
