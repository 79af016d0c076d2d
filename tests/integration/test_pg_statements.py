# SPDX-License-Identifier: MIT
"""PostgreSQL is spoken to in batches: statements counted by the server itself."""

import uuid

import pytest

from support.postbus import Postbus, PostgreSQLDatabase
from support.servers import PostgreSQL
from support.service import INBOX, OUTBOX, Service, message

MESSAGES = 10_000
PER_THOUSAND = 12


@pytest.fixture(scope="module")
def counting_server():
    with PostgreSQL(shared_preload_libraries="pg_stat_statements") as server:
        server.sql("CREATE EXTENSION pg_stat_statements; CREATE ROLE worker SUPERUSER LOGIN")
        yield server


@pytest.fixture
def service(counting_server, vhost, tmp_path):
    """Its worker has a role to itself, so that the tests' own queries do not count."""
    name = f"test_{uuid.uuid4().hex}"
    counting_server.sql(f"CREATE DATABASE {name}")
    database = PostgreSQLDatabase(counting_server, name)
    database.url = database.url.replace("postgres@", "worker@")
    with Postbus(database, tmp_path) as postbus:
        postbus.run("migrate")
        yield Service(postbus, vhost, "orders")
    counting_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def count_from_now(server):
    server.sql("SELECT pg_stat_statements_reset()")


def statements(server):
    """Most frequent first: calls and text."""
    return server.rows(
        "SELECT calls, left(query, 100) AS query FROM pg_stat_statements"
        " JOIN pg_roles r ON r.oid = userid WHERE rolname = 'worker'"
        " ORDER BY calls DESC"
    )


def assert_few(found):
    total = sum(statement["calls"] for statement in found)
    assert 0 < total <= PER_THOUSAND * MESSAGES / 1000, found


def test_relay_needs_few_statements_for_a_backlog(service, counting_server, vhost):
    vhost.declare_queue("probe", "#")
    service.postbus.configure(intake_enabled=False)
    service.database.execute(
        f"INSERT INTO {OUTBOX} (topic, event_type, payload)"
        " SELECT 'event.orders.thing.happened', 'thing.happened',"
        f" jsonb_build_object('n', n) FROM generate_series(1, {MESSAGES}) AS n"
    )
    count_from_now(counting_server)
    service.postbus.worker()
    service.wait_count(OUTBOX, MESSAGES, "published")
    assert_few(statements(counting_server))


def test_intake_needs_few_statements_for_a_backlog(service, counting_server, vhost):
    service.postbus.configure(relay_enabled=False)
    service.start(relay=None).stop()
    vhost.load((message(payload={"n": n}) for n in range(MESSAGES)))
    count_from_now(counting_server)
    service.postbus.worker()
    service.wait_count(INBOX, MESSAGES)
    assert_few(statements(counting_server))
