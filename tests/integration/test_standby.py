# SPDX-License-Identifier: MIT
"""Several workers on one config key: one relay, and intakes that compete."""

from collections import Counter

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, event, message

BOTH_STORES = pytest.mark.parametrize("store", ["sqlite", "postgresql"])

TAKEN_OVER = 5  # seconds, the promise
SLACK = 5  # of a machine that has other things to do


def roles(service, *workers):
    return sorted(service.lanes(worker)[0] for worker in workers)


@BOTH_STORES
def test_one_relay_holds_the_key_and_both_intakes_work(service, vhost):
    first = service.start()
    second = service.start(relay="standby")
    assert vhost.consumers("orders") == 2
    vhost.publish_all(message(message_id=str(i)) for i in range(200))
    service.wait_count(INBOX, 200)
    wait_until(lambda: vhost.count("orders") == 0)
    assert len({row["message_id"] for row in service.inbox()}) == 200
    assert roles(service, first, second) == ["running", "standby"]
    assert [service.beat(worker)["last_error"] for worker in (first, second)] == [None] * 2
    assert "warning" not in second.output()
    first.stop()
    second.stop()


@BOTH_STORES
def test_standby_takes_over_from_a_killed_relay(new_service, vhost):
    vhost.declare_queue("probe", "#")
    service = new_service("orders", window=64)
    holder = service.start()
    standby = service.start(relay="standby")
    service.insert(*[event(message_id=f"m-{i}") for i in range(3000)])
    wait_until(lambda: service.count(OUTBOX, "published") > 100)
    holder.kill()
    left = service.count(OUTBOX, "status = 'pending'")
    assert left > 0, "the worker was too quick to be killed"
    wait_until(
        lambda: service.count(OUTBOX, "status = 'pending'") < left,
        TAKEN_OVER + SLACK,
        service.situation,
    )
    service.wait_count(OUTBOX, 3000, "status = 'published'")
    service.wait_lanes(standby, "running", "running")
    sent = [properties.message_id for _, properties, _ in vhost.take("probe")]
    assert list(dict.fromkeys(sent)) == [f"m-{i}" for i in range(3000)]
    assert len(sent) - 3000 <= 64


@BOTH_STORES
def test_standby_takes_over_from_a_relay_that_ends_without_a_repeat(service, vhost):
    vhost.declare_queue("probe", "#")
    holder = service.start()
    standby = service.start(relay="standby")
    service.insert(*[event(message_id=f"m-{i}") for i in range(3000)])
    wait_until(lambda: service.count(OUTBOX, "published") > 100)
    holder.stop()
    service.wait_count(OUTBOX, 3000, "status = 'published'")
    service.wait_lanes(standby, "running", "running")
    sent = Counter(p.message_id for _, p, _ in vhost.take("probe"))
    assert len(sent) == 3000 and set(sent.values()) == {1}


def test_frozen_holder_that_thaws_is_no_second_relay(new_service, vhost):
    """On SQLite a frozen process keeps its lock: the standby waits for it."""
    vhost.declare_queue("probe", "#")
    service = new_service("orders", heartbeat_seconds=1)
    holder = service.start()
    standby = service.start(relay="standby")
    holder.freeze()
    rows = service.insert(*[event(message_id=f"m-{i}") for i in range(100)])
    vhost.close_connections()
    service.wait_lanes(standby, "standby", "running")
    holder.thaw()
    service.settled(*rows)
    wait_until(lambda: roles(service, holder, standby) == ["running", "standby"])
    sent = Counter(p.message_id for _, p, _ in vhost.take("probe"))
    assert len(sent) == 100 and set(sent.values()) == {1}


@BOTH_STORES
def test_workers_of_different_keys_share_a_database(service, vhost):
    vhost.declare_queue("probe", "#")
    service.postbus.configure(
        "other", **vhost.settings(source_service="other", heartbeat_interval_seconds=0.2)
    )
    first = service.start()
    second = service.postbus.worker("other")
    service.wait_lanes(second, "running", "running")
    rows = service.insert(event(config_key="other"), event())
    other, own = service.settled(*rows)
    assert other["status"] == own["status"] == "published"
    sources = {properties.app_id for _, properties, _ in vhost.receive("probe", 2)}
    assert sources == {"orders", "other"}
    assert service.lanes(first) == ("running", "running")
