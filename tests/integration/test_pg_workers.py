# SPDX-License-Identifier: MIT
"""Several workers on PostgreSQL: whoever dies or stands still is replaced."""

from collections import Counter

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, event, message

TAKEN_OVER = 5  # seconds, the promise
WINDOW = 64
SLACK = 5  # of a machine that has other things to do


@pytest.fixture
def store():
    return "postgresql"


def published(service):
    return service.count(OUTBOX, "status = 'published'")


def wait_progress(service, more=100, timeout=60):
    """Until so many rows more than now are published."""
    target = published(service) + more
    wait_until(lambda: published(service) >= target, timeout, service.situation)


def chain(number, first=0):
    """Rows of one key: each is sent when the one before it is confirmed."""
    return [
        event(message_id=f"m-{i}", ordering_key="chain")
        for i in range(first, first + number)
    ]


def sent_ids(vhost):
    return [properties.message_id for _, properties, _ in vhost.take("probe")]


def in_order(sent, number):
    return list(dict.fromkeys(sent)) == [f"m-{i}" for i in range(number)]


@pytest.mark.slow
def test_of_four_workers_one_relays_however_often_it_is_killed(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", window=WINDOW)
    holder = service.start()
    others = [service.start(relay="standby") for _ in range(3)]
    service.insert(*chain(2000))
    for kill in range(3):
        wait_progress(service)
        holder.kill()
        wait_progress(service, 1, TAKEN_OVER + SLACK)
        [holder] = wait_until(
            lambda: [w for w in others if service.lanes(w)[0] == "running"]
        )
        others.remove(holder)
        assert published(service) < 2000, f"no backlog at kill {kill}"
        assert {service.lanes(worker)[0] for worker in others} <= {"standby"}
    service.wait_count(OUTBOX, 2000, "status = 'published'")
    sent = sent_ids(vhost)
    assert in_order(sent, 2000)
    assert len(sent) - 2000 <= 3 * WINDOW


def test_frozen_relay_is_replaced_and_sends_nothing_when_it_wakes_soon(service, vhost):
    """It wakes with rows in hand, just when another has begun to send them."""
    vhost.declare_queue("probe", "event.orders.#")
    service.postbus.configure(heartbeat_interval_seconds=1)
    holder = service.start()
    standby = service.start(relay="standby")
    service.insert(*chain(1500))
    wait_progress(service)
    holder.freeze()
    sent = sent_ids(vhost) + sent_ids(vhost)  # the last was still on its way
    wait_progress(service, 1, TAKEN_OVER + SLACK)
    holder.thaw()
    service.wait_lanes(holder, "standby", "running")
    assert published(service) < 1500, "the standby was too quick"
    service.wait_lanes(standby, "running", "running")
    service.wait_count(OUTBOX, 1500, "status = 'published'")
    of_standby = sent_ids(vhost)
    assert in_order(sent + of_standby, 1500)
    assert len(set(of_standby)) == len(of_standby), "the woken one has sent, too"


def test_frozen_relay_is_replaced_and_sends_nothing_when_it_wakes_late(service, vhost):
    """All that it had in hand has been sent by another."""
    vhost.declare_queue("probe", "event.orders.#")
    holder = service.start()
    standby = service.start(relay="standby")
    service.insert(*chain(500))
    wait_progress(service)
    holder.freeze()
    service.wait_lanes(standby, "running", "running", TAKEN_OVER + SLACK)
    service.wait_count(OUTBOX, 500, "status = 'published'")
    assert in_order(sent_ids(vhost), 500)
    holder.thaw()
    service.wait_lanes(holder, "standby", "running")
    service.insert(*chain(10, 500))
    service.wait_count(OUTBOX, 510, "status = 'published'")
    assert sent_ids(vhost) == [f"m-{i}" for i in range(500, 510)]
    holder.stop()
    standby.stop()


def test_relay_that_was_frozen_for_a_moment_goes_on_and_repeats_nothing(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service.postbus.configure(heartbeat_interval_seconds=5)
    holder = service.start()
    service.start(relay="standby")
    service.insert(*chain(500))
    wait_progress(service)
    holder.freeze()
    frozen_at = published(service)
    service.insert(*chain(10, 500))
    assert published(service) == frozen_at
    holder.thaw()
    service.wait_count(OUTBOX, 510, "status = 'published'")
    assert sent_ids(vhost) == [f"m-{i}" for i in range(510)]
    service.wait_lanes(holder, "running", "running")


def test_what_a_frozen_intake_held_reaches_the_inbox_once(new_service, vhost):
    """The broker gives it to the other one when heartbeats stay out."""
    service = new_service("orders", heartbeat_seconds=1, prefetch_count=50)
    service.start().stop()
    frozen = service.start()
    frozen.freeze()
    vhost.load([message(message_id=f"m-{i}") for i in range(30)])
    other = service.postbus.worker()
    service.wait_count(INBOX, 30)
    frozen.thaw()
    vhost.publish_all(message(message_id=f"n-{i}") for i in range(30))
    service.wait_count(INBOX, 60)
    wait_until(lambda: service.lanes(frozen)[1] == "running")
    wait_until(lambda: service.lanes(other)[1] == "running")
    assert set(Counter(row["message_id"] for row in service.inbox()).values()) == {1}
    assert service.rejected() == []


def test_relay_whose_session_is_ended_repeats_what_was_in_flight_at_most(
    new_service, vhost
):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", window=WINDOW)
    workers = [service.start(), service.start(relay="standby")]
    service.insert(*chain(1500))
    for _ in range(3):
        wait_progress(service)
        assert service.database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND granted AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())"
        )
        assert published(service) < 1500, "the relay was too quick"
    service.wait_count(OUTBOX, 1500, "status = 'published'")
    sent = sent_ids(vhost)
    assert in_order(sent, 1500)
    assert len(sent) - 1500 <= 3 * WINDOW
    wait_until(
        lambda: sorted(service.lanes(worker)[0] for worker in workers)
        == ["running", "standby"]
    )
