# SPDX-License-Identifier: MIT
"""The program under test, its databases, and its worker."""

import contextlib
import itertools
import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from support.process import Process, require
from support.servers import rows_as_json

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = Path(os.environ.get("POSTBUS", ROOT / "build" / "postbus")).absolute()
COMPLAINT = re.compile(r"Sanitizer|runtime error:|^==\d+==", re.MULTILINE)


def _text(raw):
    """SQLite does not mind what bytes a text has; a test may look at bad ones."""
    return raw.decode(errors="surrogateescape")


class SQLiteDatabase:
    """A file, seen through Python's own sqlite3."""

    later = "strftime('%Y-%m-%d %H:%M:%S', 'now', '{:+} seconds') || '.000000'"

    def __init__(self, path):
        self.path = Path(path)
        self.url = f"sqlite://{self.path.absolute()}"

    def connect(self):
        """In autocommit: a transaction is whatever the test begins itself."""
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text
        return connection

    def execute(self, script):
        with closing(self.connect()) as connection:
            connection.executescript(script)

    def rows(self, query):
        """The rows of one query, each a dict."""
        with closing(self.connect()) as connection:
            return [dict(row) for row in connection.execute(query)]

    def insert(self, table, rows, key):
        """Plain INSERTs in one transaction; what the database has put into `key`."""
        with closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            made = [_insert(connection, table, row, key) for row in rows]
            connection.execute("COMMIT")
        return made


def _insert(connection, table, row, key):
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING {key}"
    return connection.execute(statement, list(row.values())).fetchone()[0]


class PostgreSQLDatabase:
    """One database of a server, seen through psql."""

    later = "now() + interval '{} seconds'"

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.url = server.url(name)
        self._session = None

    def close(self):
        if self._session is not None:
            self._session.close()
        self._session = None

    def execute(self, script):
        self.server.sql(script, self.name)

    def rows(self, query):
        """The rows of one query, each a dict. Tests ask again and again: the
        connection stays, until somebody ends it."""
        statement = rows_as_json(query)
        if self._session is not None:
            with contextlib.suppress(ConnectionError):
                return json.loads(self._session.sql(statement))
            self.close()
        self._session = self.session()
        return json.loads(self._session.sql(statement))

    def session(self):
        """A connection that stays, and its transaction with it."""
        return self.server.session(self.name)

    def insert(self, table, rows, key):
        """Plain INSERTs in one transaction; what the database has put into `key`."""
        statements = []
        for names, alike in itertools.groupby(rows, tuple):
            values = ", ".join(
                f"({', '.join(map(literal, row.values()))})" for row in alike
            )
            statements.append(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES {values}"
                f" RETURNING {key};"
            )
        script = "\n".join(["BEGIN;", *statements, "COMMIT;"])
        return [int(line) for line in self.server.sql(script, self.name).split()]


def literal(value):
    """As SQL text; the column says of which type it is."""
    if value is None:
        return "NULL"
    return "'" + str(value).replace("'", "''") + "'"


class Postbus:
    """The command line on one database; `directory` holds the workers' logs."""

    def __init__(self, database, directory):
        self.database = database
        self.directory = Path(directory)
        self.workers = []
        self.prefix = []  # a command that becomes the worker
        self.environment = {
            **{k: v for k, v in os.environ.items() if k != "DATABASE_URL"},
            "POSTBUS_DATABASE_URL": database.url,
            "POSTBUS_TEST_PASSWORD": "guest",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.close()

    def run(self, *arguments, check=True, stdin="", **environment):
        """A finished command: returncode, stdout and stderr as text."""
        result = subprocess.run(
            [require(PROGRAM), *map(str, arguments)],
            input=stdin,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"postbus {' '.join(map(str, arguments))} ended with"
                f" {result.returncode}\n{result.stdout}{result.stderr}"
            )
        return result

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json").stdout)

    def configure(self, key="default", **columns):
        """`config set`: a list becomes JSON, a boolean true or false."""
        settings = [f"{name}={_setting(value)}" for name, value in columns.items()]
        self.run("config", "set", key, *settings)

    def worker(self, key="default", *options, **environment):
        """A running worker; close, or the end of the test, ends it."""
        worker = Worker(
            [*self.prefix, require(PROGRAM), "worker", "--config-key", key, *options],
            self.directory / f"worker-{len(self.workers)}.log",
            env={**self.environment, **environment},
        )
        self.workers.append(worker)
        return worker


def _setting(value):
    return value if isinstance(value, str) else json.dumps(value)


class Worker(Process):
    """`postbus worker`, with its log."""

    def stop(self):
        """SIGTERM; a worker drains and then ends well."""
        code = self.terminate()
        assert code == 0, f"the worker ended with {code}\n{self.tail()}"

    def close(self):
        """At the end of a test: gone, and no sanitizer has complained, nor Valgrind."""
        self.kill()
        assert not COMPLAINT.search(self.output()), self.output()
