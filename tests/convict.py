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
PATIENCE = 90  # seconds for a verdict: a minute, and what servers take to start

# A simulation (over the wires that the seeds choose, or over one), a unit test by its
# name, or tests with real servers.
SIMULATION, UNIT, SERVERS = "simulation", "unit", "test"

JUDGES = {
    "ack-before-commit": [
        "simulation",
        "test_outages.py::test_worker_killed_before_its_commit_has_acknowledged_nothing",
    ],
    "batch-poisoned": ["simulation"],
    "broker-heard-late": ["simulation amqp"],
    "cursor-polling": ["simulation"],
    "dedupe-off": ["simulation", "test_bad_messages.py::test_same_message_again_is_ignored"],
    "drain-hurries": [
        "simulation",
        "test_shutdown.py::test_relay_told_to_end_has_marked_all_that_it_has_sent"
    ],
    "dup-lost": ["unit_mqtt_resume"],
    "expired-sent": ["simulation", "test_order_and_time.py::test_row_past_its_expiry_is_not_sent"],
    "key-overtaken": [
        "simulation",
        "test_order_and_time.py::test_row_in_retry_holds_back_its_key_and_no_other",
    ],
    "late-key-overtaken": ["simulation"],
    "mark-before-confirm": [
        "simulation",
        "test_mqtt_peers.py::test_a_refused_message_is_a_failed_attempt_with_its_reason",
    ],
    "multiple-ignored": ["simulation amqp"],
    "multiple-off-by-one": ["simulation", "simulation amqp"],
    "nack-as-ack": [
        "simulation",
        "simulation amqp",
        "simulation mqtt",
        "test_mqtt_peers.py::test_a_refused_message_is_a_failed_attempt_with_its_reason",
    ],
    "pubrec-overheard": ["simulation mqtt", "unit_mqtt_publish"],
    "rejected-dropped": ["simulation", "unit_intake"],
    "resubscribe-forgotten": [
        "simulation mqtt",
        "test_mqtt.py::test_a_lost_session_is_subscribed_again_and_told"
    ],
    "retry-burnt-by-outage": [
        "simulation",
        "test_outages.py::test_restart_and_crash_of_the_broker_cost_no_message_and_no_attempt",
    ],
    "return-ignored": [
        "simulation",
        "simulation amqp",
        "simulation mqtt",
        "test_routing.py::test_unroutable_command_is_tried_again_and_then_ends_as_error",
    ],
    "sleeper-goes-on": ["unit_relay_lock"],
    "stalled-forgets": ["simulation", "unit_intake"],
    "suback-ignored": [
        "simulation mqtt",
        "test_mqtt_peers.py::test_a_refused_subscription_is_an_error_with_its_reason"
    ],
    "two-relays": [
        "simulation",
        "unit_relay_lock",
        "test_standby.py::test_one_relay_holds_the_key_and_both_intakes_work",
    ],
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


def command(judges):
    """Tests with servers share them: they are run as one."""
    judge = judges[0]
    if judge.startswith(SIMULATION):
        wire = [f"--wire={name}" for name in judge.split()[1:]]
        return [BUILD / "tests/simulation/simulation", "--seeds", "4000", *wire]
    if judge.startswith(UNIT):
        return [BUILD / "tests/unit" / judge]
    options = ["-q", "-x", "--no-header", "--tb=line"]
    tests = [f"tests/integration/{judge}" for judge in judges]
    return [sys.executable, "-m", "pytest", *options, *tests]


def passes(judges, bug, patience):
    """Whether the tests pass; None if they did not come to a verdict in time."""
    environment = {**os.environ, "POSTBUS": str(BUILD / "postbus")}
    if bug is not None:
        environment["POSTBUS_BUG"] = bug
    arguments = ["timeout", str(patience), *command(judges)]
    result = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, check=False
    )
    if result.returncode == 124 or judges[0].startswith(SERVERS) and result.returncode > 1:
        return None
    return result.returncode == 0


def tell(what, judge, outcome, began):
    print(f"{what:22} {outcome:10} {time.monotonic() - began:5.1f} s  {judge}", flush=True)


def acquit(judges):
    """Those that convict the program as it is."""
    groups = [[judge] for judge in judges if not judge.startswith(SERVERS)]
    groups += filter(None, [[judge for judge in judges if judge.startswith(SERVERS)]])
    for group in groups:
        began = time.monotonic()
        passed = passes(group, None, PATIENCE * len(group))
        name = group[0] if len(group) == 1 else f"{len(group)} tests with servers"
        tell("no bug", name, "acquitted" if passed else "CONVICTED", began)
        if not passed:
            yield f"{name}: convicts the innocent"


def convicts(judge, bug):
    began = time.monotonic()
    passed = passes([judge], bug, PATIENCE)
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
    wrong += acquit(list(dict.fromkeys(judge for judge, _ in trials)))
    wrong += [
        f"{bug}: {judge} did not catch it"
        for judge, bug in trials
        if not convicts(judge, bug)
    ]
    tried = len({bug for _, bug in trials})
    print("\n".join([*wrong, f"{tried} bugs in {len(trials)} trials, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
