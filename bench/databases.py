# SPDX-License-Identifier: MIT
"""The databases of a run: each has the config of one lane, or of both.

What is asked in numbers is asked in SQL that both understand; seconds() makes
such a number of a timestamp.
"""

import os
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

from support.process import Process, require

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("POSTBUS_BUILD", ROOT / "build"))
SMALL = 71  # characters of payload in an envelope of 300 bytes, like raw.c's

INSERT = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO event_bus_outbound_event (topic, event_type, payload)
SELECT 'event.bench.message.sent', 'message.sent', '"{payload}"' FROM n"""

# One row in two hundred is no event at all, and one reaches nobody.
POISON = """
UPDATE event_bus_outbound_event SET topic = 'nowhere' WHERE seq % 200 = 50;
UPDATE event_bus_outbound_event SET message_type = 'request', request_id = 'r',
topic = 'nobody.request.message.send', reply_to = 'bench.response.message.send'
WHERE seq % 200 = 150"""

# The last one first: what is done lies before it, and is not stepped over.
UNSENT = """
SELECT count(*) FROM (
    SELECT 1 FROM event_bus_outbound_event
    WHERE config_key = 'default' AND status = 'pending' AND next_retry_at IS NULL
    ORDER BY config_key DESC, seq DESC LIMIT 1) AS last"""


class Database:
    """`servers` are those whose time a message takes, by what they are."""

    def __init__(self, url, log, broker, settings):
        self.url = url
        self.log = log
        self.broker = broker
        self.servers = {"broker": broker.server}
        self.environment = {**os.environ, "POSTBUS_DATABASE_URL": url}
        settings = {"source_service": "bench", **broker.settings, **settings}
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

    def sql(self, statement):
        """Commits it; the rows of its first column."""
        raise NotImplementedError

    def numbers(self, query):
        return [float(value) for value in self.sql(query)]

    def number(self, query):
        return self.numbers(query)[0]

    def insert(self, count, characters=SMALL):
        self.sql(INSERT.format(count=count, payload="." * characters))

    def poison(self):
        """One per cent of what has been inserted."""
        for statement in POISON.split(";"):
            self.sql(statement)

    def all_sent(self):
        return self.number(UNSENT) == 0

    def received(self):
        return self.number("SELECT coalesce(max(id), 0) FROM event_bus_inbound_event")

    def close(self):
        pass


class SQLite(Database):
    name = "SQLite"

    def __init__(self, rig, name, broker, settings):
        self.path = rig.directory / f"{name}.db"
        log = rig.directory / f"{name}.log"
        super().__init__(f"sqlite://{self.path}", log, broker, settings)

    @staticmethod
    def seconds(column):
        return f"(strftime('%s', {column}) + substr({column}, 20))"

    def sql(self, statement):
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as database:
            return [row[0] for row in database.execute(statement)]


class PostgreSQL(Database):
    name = "PostgreSQL"

    def __init__(self, rig, name, broker, settings):
        self.server = rig.postgresql
        self.database = name
        self.server.sql(f'CREATE DATABASE "{name}"')
        self.open = ExitStack()
        self.session = self.open.enter_context(self.server.session(name))
        super().__init__(self.server.url(name), rig.directory / f"{name}.log", broker, settings)
        self.servers["database"] = self.server

    @staticmethod
    def seconds(column):
        return f"extract(epoch FROM {column})"

    def sql(self, statement):
        return self.session.sql(statement).splitlines()

    def close(self):
        """Drops it: what the next run measures shall not pay for its clean-up."""
        self.open.close()
        self.server.sql(f'DROP DATABASE "{self.database}" WITH (FORCE)')
