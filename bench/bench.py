#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures postbus against what its broker can do by itself.

    bench.py [OUTPUT.json]

BENCH_COUNT is the number of messages in a run (50000), BENCH_ROUNDS how often
everything is repeated (3). Runs that are compared alternate, and medians are
taken: a busy machine then disturbs both sides alike.

To add a store, give it the methods of measure.SQLite and put it into STORES; to
add a rate, put it into RATES.
"""

import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import measure

COUNT = int(os.environ.get("BENCH_COUNT", "50000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
STORES = [measure.SQLite]
QUEUE_TYPES = ["classic", "quorum"]
PAIRS = [("raw publish", "relay"), ("raw consume", "intake")]
RATES = [100, 1000]
LATENCY_SECONDS = 5
IDLE_SECONDS = 5


class Rig:
    """One RabbitMQ for everything, a virtual host and databases for each run."""

    def __init__(self, rabbitmq, directory):
        self.rabbitmq = rabbitmq
        self.directory = directory

    @contextlib.contextmanager
    def vhost(self):
        name = uuid.uuid4().hex[:8]
        self.rabbitmq.add_vhost(name)
        try:
            yield name
        finally:
            self.rabbitmq.delete_vhost(name)

    def database(self, store, vhost, name, **settings):
        return store(
            self.directory, f"{vhost}-{name}", self.rabbitmq, virtual_host=vhost, **settings
        )


# ---- throughput ----


def throughput_round(rig, store, queue_type):
    """Raw and relay fill the queue, raw and intake empty it, in turns."""
    with rig.vhost() as vhost:
        sender = rig.database(store, vhost, "out", queue_type=queue_type, intake_enabled="false")
        receiver = rig.database(store, vhost, "in", queue_type=queue_type, relay_enabled="false")
        runs = {
            "raw publish": measure.raw(sender, "publish", COUNT),
            "raw consume": measure.raw(receiver, "consume", COUNT),
            "relay": measure.relay(sender, COUNT),
            "intake": measure.intake(receiver, COUNT),
        }
    for raw, lane in PAIRS:
        runs[lane]["of_raw"] = runs[lane]["rate"] / runs[raw]["rate"]
    return runs


def throughput(rig, store, queue_type):
    rounds = []
    for n in range(ROUNDS):
        rounds.append(throughput_round(rig, store, queue_type))
        rates = ", ".join(f"{what} {run['rate']:,.0f}" for what, run in rounds[-1].items())
        progress(f"{store.name}, {queue_type}, round {n + 1}: {rates}")
    return {
        what: {key: statistics.median(one[what][key] for one in rounds) for key in numbers}
        for what, numbers in rounds[0].items()
    }


# ---- one worker ----


def single_worker(rig, store):
    with rig.vhost() as vhost:
        database = rig.database(store, vhost, "both", queue_type="classic")
        starts = [measure.start_to_first_confirm(database) for _ in range(ROUNDS)]
        progress("idling")
        with database.worker() as worker:
            time.sleep(1)  # the start is not idle
            result = {
                "start_to_first_confirm": statistics.median(starts),
                "idle": measure.idle(worker, IDLE_SECONDS),
            }
            worker.terminate()
    return result


def latencies(rig, store):
    """By rate, with the percentiles that people ask for."""
    with rig.vhost() as vhost:
        database = rig.database(store, vhost, "out", queue_type="classic", intake_enabled="false")
        measure.start_to_first_confirm(database)
        with database.worker() as worker:
            result = {rate: latency_at(database, rate) for rate in RATES}
            worker.terminate()
    return result


def latency_at(database, rate):
    progress(f"{rate} messages/s for {LATENCY_SECONDS} s")
    seconds = measure.latency(database, rate, LATENCY_SECONDS)
    return {
        f"p{percent}": seconds[min(len(seconds) - 1, len(seconds) * percent // 100)]
        for percent in (50, 95, 99)
    }


# ---- what is shown ----


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def show_throughput(name, medians):
    for raw, lane in PAIRS:
        print(f"{name:<16} {raw:<12} {medians[raw]['rate']:>10,.0f}")
        print(
            f"{'':<16} {lane:<12} {medians[lane]['rate']:>10,.0f}"
            f" {medians[lane]['of_raw']:>8.2f} {medians[lane]['cpu'] * 1e6:>10.1f} µs"
        )


def show(results):
    print(f"\n{COUNT:,} messages of 300 bytes; medians of {ROUNDS} rounds\n")
    print(f"{'':<29} {'messages/s':>10} {'of raw':>8} {'CPU/message':>13}")
    for store, result in results["stores"].items():
        for queue_type, medians in result["throughput"].items():
            show_throughput(f"{store} {queue_type}", medians)
        worker = result["worker"]
        print(f"\n{store}, one worker")
        print(f"  start to first confirm  {worker['start_to_first_confirm'] * 1e3:.0f} ms")
        print(f"  idle, RssAnon           {worker['idle']['rss_anon_kib']:,} KiB")
        print(f"  idle, CPU               {worker['idle']['cpu']:.3%}")
        for rate, percentiles in result["latency"].items():
            values = ", ".join(f"{p} {v * 1e3:.0f} ms" for p, v in percentiles.items())
            print(f"  commit to published     {values} at {rate:,} messages/s")


def main(output=None):
    measure.exit_on_sigterm()
    with (
        tempfile.TemporaryDirectory(prefix="postbus-bench-") as directory,
        measure.RabbitMQ() as rabbitmq,
    ):
        rig = Rig(rabbitmq, Path(directory))
        results = {
            "machine": {"system": platform.platform(), "processors": os.cpu_count()},
            "count": COUNT,
            "rounds": ROUNDS,
            "stores": {
                store.name: {
                    "throughput": {kind: throughput(rig, store, kind) for kind in QUEUE_TYPES},
                    "worker": single_worker(rig, store),
                    "latency": latencies(rig, store),
                }
                for store in STORES
            },
        }
    show(results)
    if output is not None:
        Path(output).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
