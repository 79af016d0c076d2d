# SPDX-License-Identifier: MIT
"""What is measured, and how: each function takes a fresh rig and gives numbers.

Times are taken where they cost nothing: the database stamps its rows, the
kernel counts the processor's time. While messages move, nothing here does more
than ask a partial index now and then.
"""

import datetime
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.process import Process, exit_on_sigterm, require, wait_until  # noqa: E402, F401
from support.servers import RabbitMQ  # noqa: E402, F401

BUILD = Path(os.environ.get("POSTBUS_BUILD", ROOT / "build"))
PADDING = "." * 71  # makes the envelope of a row 300 bytes long, like raw.c's

INSERT = f"""
INSERT INTO event_bus_outbound_event (topic, event_type, payload)
VALUES ('event.bench.message.sent', 'message.sent', '"{PADDING}"')"""

UNSENT = """
SELECT EXISTS (SELECT 1 FROM event_bus_outbound_event
               WHERE config_key = 'default' AND status = 'pending' AND next_retry_at IS NULL)"""


class SQLite:
    """A database with the config of one lane, or of both."""

    name = "SQLite"

    def __init__(self, directory, name, rabbitmq, **settings):
        self.path = directory / f"{name}.db"
        self.log = directory / f"{name}.log"
        self.url = f"sqlite://{self.path}"
        self.environment = {
            **os.environ,
            "POSTBUS_DATABASE_URL": self.url,
            "RABBITMQ_PASSWORD": rabbitmq.password,
        }
        settings = {
            "source_service": "bench",
            "port": rabbitmq.port,
            "username": rabbitmq.username,
            "password": "env:RABBITMQ_PASSWORD",
            "queue": "bench",
            "binding_keys": "event.#",
            **settings,
        }
        self.run("postbus", "migrate")
        self.run("postbus", "config", "set", "default", *(f"{k}={v}" for k, v in settings.items()))

    def run(self, program, *arguments):
        command = [require(BUILD / program), *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def worker(self):
        return Process(
            [require(BUILD / "postbus"), "worker", "--config-key", "default"],
            self.log,
            env=self.environment,
        )

    def connect(self):
        database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        database.execute("PRAGMA synchronous = NORMAL")
        return database

    def insert(self, count):
        with closing(self.connect()) as database:
            database.execute("BEGIN IMMEDIATE")
            for _ in range(count):
                database.execute(INSERT)
            database.execute("COMMIT")

    def value(self, query):
        with closing(self.connect()) as database:
            return database.execute(query).fetchone()[0]

    def seconds_between(self, first, last):
        """Of two expressions over stamps, since 1970."""
        return _seconds(self.value(last)) - _seconds(self.value(first))

    def all_sent(self):
        return not self.value(UNSENT)

    def received(self):
        return self.value("SELECT coalesce(max(id), 0) FROM event_bus_inbound_event")

    def published_at(self):
        """When each row was published, in the order of the outbox."""
        with closing(self.connect()) as database:
            query = "SELECT published_at FROM event_bus_outbound_event ORDER BY seq"
            return [_seconds(row[0]) for row in database.execute(query)]


def _seconds(stamp):
    return datetime.datetime.fromisoformat(f"{stamp}+00:00").timestamp()


# ---- throughput: messages a second ----


def raw(database, what, count):
    """The driver alone, see raw.c: what is publish or consume."""
    return {"rate": count / float(database.run("bench/bench-raw", what, count, database.url))}


def relay(database, count):
    """From the first batch that was settled to the last row."""
    database.insert(count)
    with database.worker() as worker:
        cpu = _run_until(worker, database.all_sent)
    table = "FROM event_bus_outbound_event"
    first = f"SELECT min(published_at) {table}"
    before = database.value(f"SELECT count(*) {table} WHERE published_at = ({first})")
    seconds = database.seconds_between(first, f"SELECT max(published_at) {table}")
    return {"rate": (count - before) / seconds, "cpu": cpu / count}


def intake(database, count):
    """From the first row that arrived to the last."""
    with database.worker() as worker:
        cpu = _run_until(worker, lambda: database.received() >= count)
    table = "FROM event_bus_inbound_event"
    seconds = database.seconds_between(
        f"SELECT min(received_at) {table}", f"SELECT max(received_at) {table}"
    )
    return {"rate": count / seconds, "cpu": cpu / count}


def _run_until(worker, true, timeout=120):
    """The seconds of processor time that the worker took; it is ended well."""
    deadline = time.monotonic() + timeout
    while not true():
        if not worker.running() or time.monotonic() > deadline:
            raise AssertionError(f"the worker did not finish\n{worker.tail()}")
        time.sleep(0.1)
    cpu = cpu_seconds(worker)
    worker.terminate()
    return cpu


def cpu_seconds(worker):
    """User and system time of every thread that still runs."""
    tasks = Path(f"/proc/{worker.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


# ---- a worker by itself ----


def start_to_first_confirm(database):
    """Seconds, for a row that was waiting."""
    database.insert(1)
    began = time.time()
    with database.worker() as worker:
        wait_until(database.all_sent, 30, "the first confirm")
        worker.terminate()
    last = "SELECT max(published_at) FROM event_bus_outbound_event"
    return _seconds(database.value(last)) - began


def idle(worker, seconds):
    """What both lanes take while nothing happens."""
    before = cpu_seconds(worker)
    time.sleep(seconds)
    status = Path(f"/proc/{worker.pid}/status").read_text()
    anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return {
        "rss_anon_kib": int(anonymous.split()[1]),
        "cpu": (cpu_seconds(worker) - before) / seconds,
    }


# ---- latency ----


def latency(database, rate, seconds):
    """Seconds from a row's commit to its published_at, sorted; one row per commit."""
    already = database.value("SELECT coalesce(max(seq), 0) FROM event_bus_outbound_event")
    committed = []
    with closing(database.connect()) as writer:
        began = time.monotonic()
        for n in range(int(rate * seconds)):
            time.sleep(max(0, began + n / rate - time.monotonic()))
            writer.execute(INSERT)
            committed.append(time.time())
    wait_until(database.all_sent, 30, "the last confirm")
    published = database.published_at()[already:]
    return sorted(after - before for before, after in zip(committed, published, strict=True))
