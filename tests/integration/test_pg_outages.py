# SPDX-License-Identifier: MIT
"""PostgreSQL goes away, takes nothing or refuses: the broker never notices."""

import contextlib
import time
import uuid

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, event, message

RETRY = 0.5  # retry_interval_seconds
RESUMED = 2 + RETRY  # seconds, the promise
SLACK = 10  # of a server that has just begun to listen, on a busy machine
DRAINED = 5  # seconds, the promise
TABLES = (OUTBOX, INBOX)


@pytest.fixture
def store():
    return "postgresql"


@pytest.fixture
def role(postgresql):
    """The worker's, which may do no more than it needs."""
    name = f"worker_{uuid.uuid4().hex}"
    postgresql.sql(f"CREATE ROLE {name} LOGIN")
    yield name
    postgresql.heal()
    postgresql.sql(f"DROP ROLE {name}")


@pytest.fixture
def service(role, new_service, postgresql):
    service = new_service("orders", retry_interval_seconds=RETRY, window=64)
    service.role = role
    service.database.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE"
        f" ON ALL TABLES IN SCHEMA public TO {role}"
    )
    url = service.database.url.replace("postgres@", f"{role}@")
    service.postbus.environment["POSTBUS_DATABASE_URL"] = url
    return service


# ---- what may happen to a database; each holds while its block runs ----


@contextlib.contextmanager
def stopped(service):
    service.database.server.stop()
    yield
    service.database.server.start()


@contextlib.contextmanager
def killed(service):
    service.database.server.kill()
    yield
    service.database.server.start()


@contextlib.contextmanager
def frozen(service):
    service.database.server.freeze()
    yield
    service.database.server.thaw()


@contextlib.contextmanager
def read_only(service):
    server = service.database.server
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    yield
    server.sql("ALTER SYSTEM RESET default_transaction_read_only")
    server.sql("SELECT pg_reload_conf()")


@contextlib.contextmanager
def tables_locked(service):
    with service.database.session() as session:
        session.sql(f"BEGIN; LOCK TABLE {', '.join(TABLES)}")
        yield
        session.sql("ROLLBACK")


@contextlib.contextmanager
def privileges_revoked(service):
    allowed = f"ALL ON {', '.join(TABLES)}"
    service.database.execute(f"REVOKE {allowed} FROM {service.role}")
    yield
    service.database.execute(f"GRANT {allowed} TO {service.role}")


@contextlib.contextmanager
def tables_missing(service):
    for table in TABLES:
        service.database.execute(f"ALTER TABLE {table} RENAME TO {table}_elsewhere")
    yield
    for table in TABLES:
        service.database.execute(f"ALTER TABLE {table}_elsewhere RENAME TO {table}")


@contextlib.contextmanager
def logins_closed(service):
    """And all sessions ended, as before a restore."""
    name = service.database.name
    server = service.database.server
    server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    yield
    server.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def outage(what, words, **options):
    """With the words that tell it."""
    return pytest.param(what, words, id=what.__name__, **options)


OUTAGES = [
    outage(stopped, "cannot be reached"),
    outage(killed, "cannot be reached", marks=pytest.mark.slow),
    outage(frozen, "no answer in time"),
    outage(read_only, "only be read"),
    outage(tables_locked, "locked"),
    outage(privileges_revoked, "permission denied"),
    outage(tables_missing, "postbus migrate", marks=pytest.mark.slow),
    outage(logins_closed, "not currently accepting", marks=pytest.mark.slow),
]


# ---- what must hold ----


def sent_ids(vhost):
    return {properties.message_id for _, properties, _ in vhost.take("probe")}


def broker_connections(vhost):
    """The two of the worker, once those of the test have gone."""
    return wait_until(
        lambda: len(names := vhost.connections()) == 2 and names,
        what=lambda: f"two connections, not {vhost.connections()}",
    )


def fill(service, number, prefix):
    """A backlog that a transaction leaves at once."""
    names = [f"{prefix}-{i}" for i in range(number)]
    service.insert(*[event(message_id=name) for name in names])
    return set(names)


@pytest.mark.parametrize(("what", "words"), OUTAGES)
def test_outage_of_the_database_loses_nothing_and_no_connection(
    service, vhost, what, words
):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    connections = broker_connections(vhost)
    written = fill(service, 2500, "before")
    wait_until(lambda: service.count(OUTBOX, "published") > 100)
    assert service.count(OUTBOX, "NOT published") > 0, "the relay was too quick"
    with what(service):
        worker.wait_for_line("relay", "state=stalled", words)
        names = {f"in-{i}" for i in range(100)}
        vhost.publish_all(message(message_id=name) for name in names)
        worker.wait_for_line("intake", "state=stalled", words)
        assert worker.rests()
    wait_until(
        lambda: service.lanes(worker) == ("running", "running"),
        RESUMED + SLACK,
        service.situation,
    )
    service.wait_count(OUTBOX, len(written), "status = 'published'")
    service.wait_count(INBOX, len(names))
    assert sent_ids(vhost) == written
    assert {row["message_id"] for row in service.inbox()} == names
    assert service.count(OUTBOX, "retry_count > 0 OR last_error IS NOT NULL") == 0
    assert service.rejected() == []
    assert broker_connections(vhost) == connections
    wait_until(lambda: service.beat(worker)["last_error"] is None)
    worker.stop()


def test_long_outage_is_longer_than_the_brokers_patience_and_costs_no_connection(
    service, vhost, postgresql
):
    """Two heartbeats missed, and RabbitMQ would close."""
    service.postbus.configure(heartbeat_seconds=3)
    worker = service.start()
    connections = broker_connections(vhost)
    with frozen(service):
        vhost.publish_all(message() for _ in range(10))
        worker.wait_for_line("intake", "state=stalled")
        time.sleep(9)
    service.wait_count(INBOX, 10)
    service.wait_lanes(worker, "running", "running")
    assert broker_connections(vhost) == connections, worker.tail()


def test_any_one_session_may_be_ended(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    connections = broker_connections(vhost)
    sessions = (
        "SELECT pid, application_name FROM pg_stat_activity"
        f" WHERE usename = '{service.role}'"
    )
    wait_until(lambda: len(service.database.rows(sessions)) == 4)
    written = set()
    for session in service.database.rows(sessions):
        written |= fill(service, 20, session["pid"])
        service.database.execute(f"SELECT pg_terminate_backend({session['pid']})")
        written |= fill(service, 20, f"{session['pid']}-after")
        vhost.publish_all([message()])
    service.wait_count(OUTBOX, len(written), "status = 'published'")
    service.wait_count(INBOX, 4)
    wait_until(lambda: len(service.database.rows(sessions)) == 4)
    service.wait_lanes(worker, "running", "running")
    assert sent_ids(vhost) == written
    assert broker_connections(vhost) == connections
    assert service.count(OUTBOX, "retry_count > 0") == 0
    worker.stop()


def test_worker_that_comes_before_its_database_waits_for_it(service, vhost, postgresql):
    [seq] = service.insert(event())
    vhost.declare_queue("probe", "event.orders.#")
    postgresql.stop()
    worker = service.postbus.worker()
    worker.wait_for_line("trouble", "cannot be reached", postgresql.address)
    postgresql.start()
    assert service.settled(seq)[0]["retry_count"] == 0
    service.wait_lanes(worker, "running", "running")


@pytest.mark.parametrize("what", [stopped, frozen])
def test_worker_ends_well_while_its_database_is_away(service, vhost, what):
    worker = service.start()
    with what(service):
        vhost.publish_all([message()])
        worker.wait_for_line("intake", "state=stalled")
        assert worker.terminate(timeout=DRAINED + SLACK) == 0, worker.tail()
    service.start()
    service.wait_count(INBOX, 1)
