# SPDX-License-Identifier: MIT
"""Fixtures: real servers for the whole run, a clean share of them per test."""

import signal
import uuid
from contextlib import closing

import pytest

from support.postbus import Postbus, PostgreSQLDatabase, SQLiteDatabase
from support.servers import Mosquitto, PostgreSQL, RabbitMQ
from support.vhost import Vhost


def pytest_configure():
    """Fixtures are torn down, and servers with them, on SIGTERM too."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 143))


@pytest.fixture(scope="session")
def rabbitmq_server():
    with RabbitMQ() as server:
        yield server


@pytest.fixture
def rabbitmq(rabbitmq_server):
    """The run's server; a test may stop, kill and freeze it."""
    rabbitmq_server.heal()
    yield rabbitmq_server
    rabbitmq_server.heal()


@pytest.fixture
def vhost(rabbitmq):
    name = f"test-{uuid.uuid4().hex}"
    rabbitmq.add_vhost(name)
    yield Vhost(rabbitmq, name)
    rabbitmq.heal()
    rabbitmq.delete_vhost(name)


@pytest.fixture
def mosquitto():
    with Mosquitto() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server():
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def postgresql(postgresql_server):
    """The run's server; a test may stop, kill and freeze it."""
    postgresql_server.heal()
    yield postgresql_server
    postgresql_server.heal()


@pytest.fixture
def sqlite_database(tmp_path):
    return SQLiteDatabase(tmp_path / "postbus.db")


@pytest.fixture
def postgresql_database(postgresql):
    name = f"test_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE DATABASE {name}")
    with closing(PostgreSQLDatabase(postgresql, name)) as database:
        yield database
    postgresql.heal()
    postgresql.sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """An empty database, of each kind of store in turn."""
    return request.getfixturevalue(f"{request.param}_database")


@pytest.fixture
def postbus(database, tmp_path):
    """The command line on a migrated database."""
    with Postbus(database, tmp_path) as command:
        command.run("migrate")
        yield command
