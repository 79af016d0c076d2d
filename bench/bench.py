#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures postbus against what its servers can do by themselves.

    bench.py [OUTPUT.json [PLOT.svg]]

BENCH_COUNT is the number of messages in a run (50000), BENCH_ROUNDS how often
everything is repeated (3), BENCH_ROWS how full the outbox is when claims are
measured (1000000). Runs that are compared alternate, and medians are taken: a
busy machine then disturbs both sides alike.

To add a store, give it the methods of databases.Database and put it into
STORES; a broker, those of brokers.Mosquitto and into Rig; a rate, into RATES.
"""

import contextlib
import functools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import brokers  # noqa: E402
import databases  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
from support.process import exit_on_sigterm  # noqa: E402
from support.servers import Mosquitto, PostgreSQL, RabbitMQ  # noqa: E402

COUNT = int(os.environ.get("BENCH_COUNT", "50000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
STORES = [databases.SQLite, databases.PostgreSQL]
# How many messages Mosquitto lets a client have in flight: its default, and
# what the worker asks for.
WINDOWS = [20, 1024]
LATENCY_OF = ["classic", f"MQTT, {WINDOWS[-1]} in flight"]
RATES = [100, 1000, 5000]
LATENCY_SECONDS = 5
IDLE_SECONDS = 5
PERCENTILES = [50, 99, 99.9]


class Rig:
    """The same servers for everything, databases and a corner of a broker for
    each run; `kinds` makes such a corner."""

    def __init__(self, rabbitmq, mosquittos, postgresql, directory):
        self.postgresql = postgresql
        self.directory = directory
        self.kinds = {
            queue_type: functools.partial(brokers.RabbitMQ, rabbitmq, queue_type)
            for queue_type in ("classic", "quorum")
        } | {
            f"MQTT, {window} in flight": functools.partial(brokers.Mosquitto, server)
            for window, server in mosquittos.items()
        }

    def corner(self, kind):
        return contextlib.closing(self.kinds[kind]())

    @contextlib.contextmanager
    def database(self, store, broker, **settings):
        database = store(self, uuid.uuid4().hex[:8], broker, settings)
        with contextlib.closing(database):
            yield database


# ---- throughput ----


def throughput_round(rig, store, kind):
    """Raw and relay fill the queue, raw and intake empty it, in turns: each at
    once, while the broker may be busy still with what it has taken."""
    with (
        rig.corner(kind) as broker,
        rig.database(store, broker, intake_enabled="false") as sender,
        rig.database(store, broker, relay_enabled="false") as receiver,
        rig.database(store, broker, relay_enabled="false") as inbox,
        rig.database(store, broker, relay_enabled="false") as another,
    ):
        runs = {
            "raw publish": measure.raw(sender, "publish", COUNT),
            "raw consume": measure.raw(receiver, "consume", COUNT),
        }
        measure.raw(sender, "publish", COUNT)
        runs["raw consume and insert"] = measure.side_by_side(receiver, another, COUNT)
        runs["raw insert"] = measure.raw(inbox, "insert", COUNT)
        broker.expect(receiver)
        runs |= {
            "relay": measure.relay(sender, COUNT),
            "intake": measure.intake(receiver, COUNT),
        }
    slower = min(runs["raw consume"]["rate"], runs["raw insert"]["rate"])
    runs["relay"]["of_raw"] = runs["relay"]["rate"] / runs["raw publish"]["rate"]
    runs["intake"]["of_raw"] = runs["intake"]["rate"] / slower
    both = runs["raw consume and insert"]["rate"]
    runs["intake"]["of_both"] = runs["intake"]["rate"] / both
    return runs


def throughput(rig, store, kind):
    rounds = []
    for n in range(ROUNDS):
        rounds.append(throughput_round(rig, store, kind))
        rates = ", ".join(f"{what} {run['rate']:,.0f}" for what, run in rounds[-1].items())
        progress(f"{store.name}, {kind}, round {n + 1}: {rates}")
    return {
        what: {key: statistics.median(one[what][key] for one in rounds) for key in numbers}
        for what, numbers in rounds[0].items()
    }


def poison(rig, store):
    """The rate of all other rows beside one per cent that can never be sent."""
    rates = {"without": [], "with": []}
    for n in range(ROUNDS):
        for what in ("without", "with") if n % 2 else ("with", "without"):
            with (
                rig.corner("classic") as broker,
                rig.database(store, broker, intake_enabled="false") as database,
            ):
                run = measure.relay(database, COUNT, poisoned=what == "with")
            rates[what].append(run["rate"])
            progress(f"{store.name}, {what} poison, round {n + 1}: {run['rate']:,.0f}")
    return {what: statistics.median(taken) for what, taken in rates.items()}


# ---- one worker ----


def single_worker(rig, store):
    progress(f"{store.name}: one worker, idle and with messages of 4 KiB")
    with rig.corner("classic") as broker, rig.database(store, broker) as database:
        starts = [measure.start_to_first_confirm(database) for _ in range(ROUNDS)]
        with database.worker() as worker:
            time.sleep(1)  # the start is not idle
            idle = measure.idle(worker, IDLE_SECONDS)
            worker.terminate()
        return {
            "start_to_first_confirm": statistics.median(starts),
            "idle": idle,
            "load": measure.memory_under_load(database, min(COUNT, 20000)),
        }


def latencies(rig, store, kind):
    """By rate, with the percentiles that people ask for."""
    with (
        rig.corner(kind) as broker,
        rig.database(store, broker, intake_enabled="false") as database,
    ):
        measure.start_to_first_confirm(database)  # the queue is there
        with database.worker() as worker:
            time.sleep(1)
            result = {str(rate): latency_at(database, kind, rate) for rate in RATES}
            worker.terminate()
    return result


def latency_at(database, kind, rate):
    progress(f"{database.name}, {kind}: {rate} messages/s for {LATENCY_SECONDS} s")
    result = measure.latency(database, rate, LATENCY_SECONDS)
    return {
        what: value if what == "rate" else percentiles(value) for what, value in result.items()
    }


def percentiles(ascending):
    last = len(ascending) - 1
    return {
        f"p{percent:g}": ascending[min(last, int(len(ascending) * percent / 100))]
        for percent in PERCENTILES
    }


# ---- claims ----


def claims(rig):
    progress(f"PostgreSQL: claims from an outbox of {ROWS:,}")
    results = {}
    with (
        rig.corner("classic") as broker,
        rig.database(databases.PostgreSQL, broker) as database,
    ):
        for what, seconds in measure.claims(database, ROWS):
            results[what] = {
                kind: {"median": statistics.median(taken), "longest": max(taken)}
                for kind, taken in seconds.items()
            }
            progress(f"{what}: {results[what]['next']['median'] * 1e3:.1f} ms")
    return results


# ---- the program ----


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def everything(rig):
    return {
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "count": COUNT,
        "rounds": ROUNDS,
        "stores": {
            store.name: {
                "throughput": {kind: throughput(rig, store, kind) for kind in rig.kinds},
                "poison": poison(rig, store),
                "worker": single_worker(rig, store),
                "latency": {kind: latencies(rig, store, kind) for kind in LATENCY_OF},
            }
            for store in STORES
        },
        "claims": claims(rig),
    }


@contextlib.contextmanager
def mosquittos():
    with contextlib.ExitStack() as stack:
        yield {
            window: stack.enter_context(Mosquitto(f"max_inflight_messages {window}"))
            for window in WINDOWS
        }


def main(output=None, plot=None):
    exit_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="postbus-bench-") as directory,
        RabbitMQ() as rabbitmq,
        mosquittos() as mqtt,
        PostgreSQL(max_wal_size="8GB") as postgresql,
    ):
        results = everything(Rig(rabbitmq, mqtt, postgresql, Path(directory)))
    print(report.tables(results))
    if output is not None:
        Path(output).write_text(json.dumps(results, indent=2) + "\n")
    if plot is not None:
        Path(plot).write_text(report.plot(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
