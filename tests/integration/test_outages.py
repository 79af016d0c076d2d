# SPDX-License-Identifier: MIT
"""Broker and database go away, stand still or take nothing, and come back."""

from contextlib import closing

import contextlib
import subprocess
import time
from contextlib import closing

import pytest

from support.postbus import Postbus, SQLiteDatabase
from support.process import wait_until
from support.service import INBOX, OUTBOX, Service, event, message

RETRY = 0.5  # retry_interval_seconds
RESUMED = 2 + RETRY  # seconds, the promise
SLACK = 10  # of a broker that has just begun to listen, on a busy machine


def probe_ids(vhost):
    return {properties.message_id for _, properties, _ in vhost.take("probe")}


def test_restart_and_crash_of_the_broker_cost_no_message_and_no_attempt(
    rabbitmq, new_service, vhost
):
    """The restart comes first: a quorum queue of RabbitMQ 3.10 that is killed
    within a second of its making never finds its leader again."""
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", retry_interval_seconds=RETRY, window=64)
    worker = service.start()
    written, sent = [], []
    for number, end in enumerate([rabbitmq.stop, rabbitmq.kill]):
        written += [f"before-{number}-{i}" for i in range(2000)]
        service.insert(*[event(message_id=name) for name in written[-2000:]])
        sent += [f"in-{number}-{i}" for i in range(3)]
        vhost.publish_all(message(message_id=name) for name in sent[-3:-1])
        wait_until(lambda: service.count(OUTBOX, "published") > len(written) - 1900)

        end()
        service.wait_lanes(worker, "away", "away")
        written += [f"during-{number}-{i}" for i in range(100)]
        service.insert(*[event(message_id=name) for name in written[-100:]])
        rabbitmq.start()
        wait_until(
            lambda: service.lanes(worker) == ("running", "running"),
            RESUMED + SLACK,
            service.situation,
        )
        vhost.publish_all([message(message_id=sent[-1])])
        service.wait_count(OUTBOX, len(written), "status = 'published'")
        service.wait_count(INBOX, len(sent))

    assert {row["retry_count"] for row in service.outbox()} == {0}
    assert {row["last_error"] for row in service.outbox()} == {None}
    assert probe_ids(vhost) == set(written)
    assert {row["message_id"] for row in service.inbox()} == set(sent)
    assert service.beat(worker)["last_error"] is None
    assert "stood still" not in worker.output()
    worker.stop()


def test_broker_that_comes_after_the_worker_is_found(rabbitmq, service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    rabbitmq.stop()
    [seq] = service.insert(event())
    worker = service.postbus.worker()
    service.wait_error(worker, "relay", "intake", rabbitmq.address, "refused")
    rabbitmq.start()
    [row] = service.settled(seq)
    assert (row["status"], row["retry_count"]) == ("published", 0)
    service.wait_lanes(worker, "running", "running")


def test_frozen_broker_is_noticed_and_work_goes_on_once_it_thaws(
    rabbitmq, new_service, vhost
):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", heartbeat_seconds=1, connect_timeout=2)
    worker = service.start()
    rabbitmq.freeze()
    rows = service.insert(*[event(message_id=str(i)) for i in range(50)])
    service.wait_error(worker, "relay away", "intake away")
    assert service.count(OUTBOX, "status = 'pending'") == 50
    rabbitmq.thaw()
    assert {row["status"] for row in service.settled(*rows)} == {"published"}
    assert {row["retry_count"] for row in service.outbox()} == {0}
    assert probe_ids(vhost) == {str(i) for i in range(50)}
    service.wait_lanes(worker, "running", "running")
    vhost.publish_all([message()])
    service.wait_count(INBOX, 1)


def test_memory_alarm_pauses_the_relay_alone_and_says_so(rabbitmq, service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service.start().stop()
    vhost.publish_all(message() for _ in range(20))
    with rabbitmq.alarm("memory"):
        worker = service.start()
        [seq] = service.insert(event())
        service.wait_lanes(worker, "blocked", "running")
        [seen] = service.postbus.json("status")["workers"]
        assert seen["relay_state"] == "blocked"
        assert "memory" in seen["last_error"]
        service.wait_count(INBOX, 20)
        assert service.outbox(f"seq = {seq}")[0]["status"] == "pending"
    [row] = service.settled(seq)
    assert (row["status"], row["retry_count"]) == ("published", 0)
    service.wait_lanes(worker, "running", "running")
    assert probe_ids(vhost) == {row["message_id"] or row["id"]}
    worker.stop()


def test_worker_ends_well_while_the_broker_takes_nothing(rabbitmq, service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    with rabbitmq.alarm("disk"):
        [seq] = service.insert(event())
        service.wait_lanes(worker, "blocked", "running")
        worker.stop()
        assert service.outbox(f"seq = {seq}")[0]["status"] == "pending"
    service.start()
    service.settled(seq)


def test_queue_deleted_under_its_consumer_is_made_again(service, vhost):
    worker = service.start()
    with vhost.channel() as channel:
        channel.queue_delete("orders")
    worker.wait_for_line("intake", "away", "orders")
    wait_until(lambda: worker.output().count("intake state=running") == 2)
    vhost.publish_all([message()])
    service.wait_count(INBOX, 1)


def test_connection_closed_by_an_administrator_is_opened_again(rabbitmq, service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    vhost.close_connections()
    worker.wait_for_line("relay", "away", "maintenance")
    worker.wait_for_line("intake", "away", "maintenance")
    wait_until(lambda: worker.output().count("state=running") == 4)
    [seq] = service.insert(event())
    vhost.publish_all([message()])
    assert service.settled(seq)[0]["retry_count"] == 0
    service.wait_count(INBOX, 1)


def test_database_held_by_its_application_delays_and_loses_nothing(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    with closing(service.database.connect()) as application:
        application.execute("BEGIN IMMEDIATE")
        vhost.publish_all(message() for _ in range(50))
        worker.wait_for_line("intake", "stalled")
        assert service.count(INBOX) == 0
        application.execute(
            f"INSERT INTO {OUTBOX} (topic, event_type) VALUES ('event.a.b.c', 'b.c')"
        )
        application.execute("COMMIT")
    service.wait_count(INBOX, 50)
    service.wait_count(OUTBOX, 1, "status = 'published'")
    service.wait_lanes(worker, "running", "running")
    wait_until(lambda: vhost.count("orders") == 0)
    worker.stop()


def test_worker_killed_before_its_commit_has_acknowledged_nothing(service, vhost):
    worker = service.start()
    with closing(service.database.connect()) as application:
        application.execute("BEGIN IMMEDIATE")
        vhost.publish_all(message() for _ in range(20))
        worker.wait_for_line("intake", "stalled")
        worker.kill()
        wait_until(lambda: vhost.count("orders") == 20)
    service.start()
    service.wait_count(INBOX, 20)
    assert service.rejected() == []


def test_application_that_writes_all_the_time_slows_and_loses_nothing(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    connections = wait_until(lambda: len(c := vhost.connections()) == 2 and c)
    vhost.publish_all(message(message_id=f"in-{i}") for i in range(300))
    written = 0
    with closing(service.database.connect()) as connection:
        while written < 1000 or service.count(INBOX) < 300:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(10):
                connection.execute(
                    f"INSERT INTO {OUTBOX} (topic, event_type, message_id)"
                    " VALUES ('event.orders.thing.happened', 'x', ?)",
                    [f"out-{written}"],
                )
                written += 1
            time.sleep(0.05)  # what the application has to do in between
            connection.execute("COMMIT")
            assert written < 20000, service.situation()
    service.wait_count(OUTBOX, written, "status = 'published'")
    assert probe_ids(vhost) == {f"out-{i}" for i in range(written)}
    service.wait_count(INBOX, 300)
    service.wait_lanes(worker, "running", "running")
    assert vhost.connections() == connections
    worker.stop()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1M", "postbus", directory],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system")
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_full_disk_delays_and_loses_nothing(small_disk, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    database = SQLiteDatabase(small_disk / "postbus.db")
    with Postbus(database, small_disk.parent) as postbus:
        postbus.run("migrate")
        service = Service(postbus, vhost, "orders", retry_interval_seconds=RETRY)
        worker = service.start()
        rows = service.insert(*[event(message_id=f"m-{i}") for i in range(20)])
        service.settled(*rows)
        connections = wait_until(lambda: len(c := vhost.connections()) == 2 and c)
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
        names = {f"in-{i}" for i in range(100)}
        vhost.publish_all(
            message(message_id=name, payload="x" * 1000) for name in names
        )
        worker.wait_for_line("intake", "state=stalled", "full")
        assert worker.rests()
        assert service.count(INBOX) < 100
        ballast.unlink()
        service.wait_count(INBOX, 100)
        assert {row["message_id"] for row in service.inbox()} == names
        service.settled(*service.insert(event(message_id="last")))
        service.wait_lanes(worker, "running", "running")
        wait_until(lambda: vhost.count("orders") == 0)
        assert probe_ids(vhost) == {"last", *(f"m-{i}" for i in range(20))}
        assert vhost.connections() == connections
        worker.stop()
