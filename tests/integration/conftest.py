# SPDX-License-Identifier: MIT
"""Services on the bus: each has a database, a configured worker, a vhost."""

import contextlib

import pytest

from support.postbus import Postbus, SQLiteDatabase
from support.service import Service


@pytest.fixture
def new_service(vhost, tmp_path):
    """Makes services; settings are columns of their config."""
    with contextlib.ExitStack() as stack:

        def make(name="orders", vhost=vhost, **settings):
            directory = tmp_path / name
            directory.mkdir()
            database = SQLiteDatabase(directory / "postbus.db")
            postbus = stack.enter_context(Postbus(database, directory))
            postbus.run("migrate")
            return Service(postbus, vhost, name, **settings)

        yield make


@pytest.fixture
def service(new_service):
    return new_service("orders")
