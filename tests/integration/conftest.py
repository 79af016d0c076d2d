# SPDX-License-Identifier: MIT
"""Services on the bus: each has a database, a configured worker, a vhost."""

import contextlib
import uuid
from contextlib import closing

import pytest

from support.postbus import Postbus, PostgreSQLDatabase, SQLiteDatabase
from support.service import Service


@pytest.fixture
def store():
    """The kind of database that services have; a test or a module may set it."""
    return "sqlite"


@pytest.fixture
def new_database(request, store, tmp_path):
    """Makes empty databases."""
    if store == "sqlite":
        yield lambda name: SQLiteDatabase(tmp_path / name / "postbus.db")
        return
    server = request.getfixturevalue("postgresql")
    with contextlib.ExitStack() as stack:

        def make(name):
            name = f"{name}_{uuid.uuid4().hex}"
            server.sql(f"CREATE DATABASE {name}")
            stack.callback(server.sql, f"DROP DATABASE {name} WITH (FORCE)")
            return stack.enter_context(closing(PostgreSQLDatabase(server, name)))

        yield make
        server.heal()


@pytest.fixture
def new_service(vhost, tmp_path, new_database):
    """Makes services; settings are columns of their config."""
    with contextlib.ExitStack() as stack:

        def make(name="orders", vhost=vhost, **settings):
            directory = tmp_path / name
            directory.mkdir()
            database = new_database(name)
            postbus = stack.enter_context(Postbus(database, directory))
            postbus.run("migrate")
            return Service(postbus, vhost, name, **settings)

        yield make


@pytest.fixture
def service(new_service):
    return new_service("orders")
