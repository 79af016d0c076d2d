# SPDX-License-Identifier: MIT
"""PostgreSQL fails over to its standby; the worker finds it by itself."""

import pytest

from support.postbus import Postbus, PostgreSQLDatabase
from support.process import Process, wait_until
from support.servers import HOST, PostgreSQL
from support.service import INBOX, OUTBOX, Service, event, message


class Standby(PostgreSQL):
    """Follows a primary, synchronously, until it is promoted."""

    def __init__(self, primary):
        super().__init__()
        self.primary = primary

    def prepare(self):
        copy = Process(
            [
                self.program("pg_basebackup"),
                *("-D", self.directory / "data", "-R", "-X", "stream"),
                *("-d", f"{self.primary.url()}?application_name=standby"),
                *("--checkpoint=fast", "--no-sync"),
            ],
            self.log,
            user=self.user,
        )
        with copy:
            if copy.wait(120) != 0:
                raise AssertionError(f"pg_basebackup failed\n{copy.tail()}")

    def promote(self):
        assert self.sql("SELECT pg_promote(true, 60)") == "t"


@pytest.fixture
def primary():
    """What it has committed its standby has, too: nothing may be lost."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def standby(primary):
    with Standby(primary) as server:
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        wait_until(
            lambda: primary.rows("SELECT sync_state FROM pg_stat_replication")
            == [{"sync_state": "sync"}],
            what="a synchronous standby",
        )
        yield server


def killed(primary):
    primary.kill()


def frozen(primary):
    """It takes connections still, as a host does whose disk is gone."""
    primary.freeze()


@pytest.mark.parametrize(
    "fail", [pytest.param(killed, marks=pytest.mark.slow), frozen]
)
def test_failover_to_a_standby_loses_nothing(primary, standby, vhost, tmp_path, fail):
    vhost.declare_queue("probe", "event.orders.#")
    database = PostgreSQLDatabase(primary, "postgres")
    with Postbus(database, tmp_path) as postbus:
        postbus.run("migrate")
        service = Service(postbus, vhost, "orders", window=64)
        hosts = f"{HOST}:{primary.port},{HOST}:{standby.port}"
        postbus.environment["POSTBUS_DATABASE_URL"] = (
            f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        )
        worker = service.start()
        names = [f"m-{i}" for i in range(2000)]
        service.insert(*(event(message_id=name) for name in names))
        vhost.publish_all(message(message_id=f"in-{i}") for i in range(50))
        wait_until(lambda: service.count(OUTBOX, "published") > 100)

        fail(primary)
        worker.wait_for_line("relay", "state=stalled")
        vhost.publish_all(message(message_id=f"in-{i}") for i in range(50, 100))
        standby.promote()
        service.database = PostgreSQLDatabase(standby, "postgres")
        service.wait_count(OUTBOX, 2000, "status = 'published'")
        service.wait_count(INBOX, 100)
        service.wait_lanes(worker, "running", "running")
        assert service.count(OUTBOX, "retry_count > 0") == 0
        sent = {properties.message_id for _, properties, _ in vhost.take("probe")}
        assert sent == set(names)
        assert '"published"' in postbus.run("status", "--json").stdout
        worker.stop()
