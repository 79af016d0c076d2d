# SPDX-License-Identifier: MIT
"""Rows that are for later, rows that come too late, rows that must not overtake."""

import pytest

from support.process import wait_until
from support.service import OUTBOX, event, request

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"])


def set_time(service, column, seconds, where):
    """From the database's own now."""
    service.database.execute(
        f"UPDATE {OUTBOX} SET {column} = {service.database.later.format(seconds)}"
        f" WHERE {where}"
    )


def ids(messages):
    return [properties.message_id for _, properties, _ in messages]


def test_scheduled_row_waits_for_its_time(service, vhost):
    vhost.declare_queue("probe", "#")
    later, at_once = service.insert(event(message_id="later"), event(message_id="now"))
    set_time(service, "next_retry_at", 3, f"seq = {later}")
    service.start()
    assert ids(vhost.receive("probe", 2)) == ["now", "later"]
    later, at_once = service.settled(later, at_once)
    assert later["published_at"] > at_once["published_at"]
    assert later["retry_count"] == 0


def test_row_scheduled_far_ahead_stays_where_it_is(service, vhost):
    vhost.declare_queue("probe", "#")
    far, near = service.insert(event(), event())
    set_time(service, "next_retry_at", 3600, f"seq = {far}")
    worker = service.start()
    service.settled(near)
    worker.stop()
    assert service.outbox(f"seq = {far}")[0]["status"] == "pending"
    assert vhost.count("probe") == 1


def test_row_past_its_expiry_is_not_sent(service, vhost):
    vhost.declare_queue("probe", "#")
    late, early = service.insert(event(message_id="late"), event(message_id="early"))
    set_time(service, "expires_at", -1, f"seq = {late}")
    set_time(service, "expires_at", 3600, f"seq = {early}")
    service.start()
    late, early = service.settled(late, early)
    assert (late["status"], late["last_error"]) == ("error", "expired")
    assert (late["retry_count"], late["published"]) == (0, 0)
    assert early["status"] == "published"
    assert ids(vhost.take("probe")) == ["early"]


def test_row_that_expires_while_it_is_retried_ends_as_expired(new_service):
    service = new_service("orders", retry_base_seconds=0.1, retry_max_seconds=0.2)
    service.postbus.configure(max_retry_count=10000)
    [seq] = service.insert(request("billing"))
    service.start()
    wait_until(lambda: service.outbox("retry_count > 0"))
    set_time(service, "expires_at", 1, f"seq = {seq}")
    [row] = service.settled(seq)
    assert (row["status"], row["last_error"]) == ("error", "expired")
    assert row["retry_count"] > 0


def test_row_in_retry_holds_back_its_key_and_no_other(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", retry_base_seconds=0.3, retry_max_seconds=0.3)
    service.postbus.configure(max_retry_count=10000)
    keyed = service.insert(
        event(message_id="a1", ordering_key="a"),
        request("billing", message_id="a2", ordering_key="a"),
        event(message_id="a3", ordering_key="a"),
        event(message_id="b1", ordering_key="b"),
        event(message_id="free"),
        event(message_id="a4", ordering_key="a"),
    )
    service.start()
    assert sorted(ids(vhost.receive("probe", 3))) == ["a1", "b1", "free"]
    wait_until(lambda: service.outbox("message_id = 'a2' AND retry_count >= 3"))
    assert vhost.count("probe") == 0
    vhost.declare_queue("probe", "billing.#")
    assert ids(vhost.receive("probe", 3)) == ["a2", "a3", "a4"]
    assert {row["status"] for row in service.settled(*keyed)} == {"published"}


def test_row_that_parks_releases_its_key(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", retry_base_seconds=0.05, max_retry_count=3)
    rows = service.insert(
        event(ordering_key="a", message_id="a1", topic="bad topic"),
        request("billing", ordering_key="a", message_id="a2"),
        event(ordering_key="a", message_id="a3"),
    )
    service.start()
    states = [row["status"] for row in service.settled(*rows)]
    assert states == ["invalid", "error", "published"]
    assert ids(vhost.take("probe")) == ["a3"]


def test_scheduled_row_holds_back_its_key(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    first, second = service.insert(
        event(ordering_key="a", message_id="first"),
        event(ordering_key="a", message_id="second"),
    )
    set_time(service, "next_retry_at", 2, f"seq = {first}")
    service.start()
    assert ids(vhost.receive("probe", 2)) == ["first", "second"]


def test_keys_keep_their_order_while_others_fail_in_between(new_service, vhost):
    """Every seventh row of a key finds no queue for a while."""
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", retry_base_seconds=0.1, retry_max_seconds=0.2)
    service.postbus.configure(max_retry_count=10000, window=64)
    expected = {f"key-{k}": [] for k in range(4)}
    rows = []
    for n in range(400):
        key = f"key-{n % 4}"
        expected[key].append(f"{key} {n}")
        make = request if n % 7 == 6 else event
        rows.append(make(message_id=f"{key} {n}", ordering_key=key))
    service.insert(*rows)
    service.start()
    wait_until(lambda: service.count(OUTBOX, "retry_count > 0") == 4)
    vhost.declare_queue("probe", "billing.#")
    seen = {key: [] for key in expected}
    for name in ids(vhost.receive("probe", 400)):
        seen[name.split()[0]].append(name)
    assert seen == expected
