# SPDX-License-Identifier: MIT
"""Where the storm takes place: real servers, two services, four workers."""

import contextlib
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from storm.brokers import BROKERS, RECEIVERS
from storm.side import Side
from support.postbus import Postbus, PostgreSQLDatabase, SQLiteDatabase
from support.proxy import Proxy
from support.servers import PostgreSQL
from support.service import Service

RETRY = 0.5  # retry_interval_seconds


@dataclass
class Options:
    store: str = "postgresql"
    broker: str = "rabbitmq"
    messages: int = 100_000
    kills: int = 200  # of single workers; the rest has its share besides
    seed: int = field(default_factory=lambda: random.SystemRandom().randrange(1 << 32))
    window: int = 256
    patience: float = 60  # seconds without any progress are a failure


class StandsStill(Exception):
    """Nothing has moved for as long as patience lasts."""


class Scene(contextlib.ExitStack):
    """The servers and the services, from `with` to its end. The left side's
    workers reach the broker through `proxy`; `database` is None for SQLite."""

    def __init__(self, options):
        super().__init__()
        self.options = options
        self.broker = BROKERS[options.broker]()
        self.database = None
        self.sides = []

    def __enter__(self):
        super().__enter__()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self):
        directory = tempfile.TemporaryDirectory(prefix="postbus-")
        self.directory = Path(self.enter_context(directory))
        self.enter_context(self.broker.server)
        if self.options.store == "postgresql":
            self.database = self.enter_context(PostgreSQL())
        self.proxy = self.enter_context(Proxy(self.broker.server.port))
        self.broker.watch()
        self.sides = [self._side(name) for name in RECEIVERS]
        for side in self.sides:
            side.start()

    def _side(self, name):
        (self.directory / name).mkdir()
        postbus = Postbus(self._new_database(name), self.directory / name)
        self.enter_context(postbus).run("migrate")
        [other] = set(RECEIVERS) - {name}
        settings = {
            "window": self.options.window,
            "retry_interval_seconds": RETRY,
            "retry_base_seconds": 0.1,
            "retry_max_seconds": 2,
            "max_retry_count": 1000,
            **self.broker.settings(name, other, self.options.window),
        }
        if name == RECEIVERS[0]:
            settings["port"] = self.proxy.port
        service = Service(postbus, self.broker.place, name, **settings)
        return Side(service, other, self.broker)

    def _new_database(self, name):
        if self.database is None:
            return SQLiteDatabase(self.directory / name / "postbus.db")
        self.database.sql(f'CREATE DATABASE "{name}"')
        return PostgreSQLDatabase(self.database, name)

    def limit_attempts(self):
        """So far a row that fails is tried for ever; from now on, for seconds."""
        for side in self.sides:
            side.service.postbus.configure(max_retry_count=7)

    # ---- waiting ----

    def wait(self, true, what):
        """Until it is so; for as long as anything moves."""
        seen, moved = None, time.monotonic()
        while not true():
            now = [side.progress() for side in self.sides]
            if now != seen:
                seen, moved = now, time.monotonic()
            elif time.monotonic() - moved > self.options.patience:
                logs = "\n".join(side.service.situation() for side in self.sides)
                raise StandsStill(f"{what}: nothing moves any more, {now}\n{logs}")
            time.sleep(0.1)

    def wait_flow(self):
        """Until rows go out of each side, unless it has none that are due."""
        before = {side.name: side.progress().published for side in self.sides}

        def flows(side):
            now = side.progress()
            return now.pending == 0 or now.published > before[side.name]

        self.wait(lambda: all(map(flows, self.sides)), "rows to go out")

    def wait_arrival(self):
        """Until everything has come to where it belongs."""
        left, right = self.sides
        self.wait(
            lambda: left.complete(right.progress().received)
            and right.complete(left.progress().received),
            "rows to arrive",
        )
