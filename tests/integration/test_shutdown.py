# SPDX-License-Identifier: MIT
"""SIGTERM in the middle of everything: drained, and nothing done twice."""

import json
import os
import signal
from collections import Counter

import pytest

from support.process import free_port, wait_until
from support.service import INBOX, OUTBOX, event, message

MANY = 10_000
DRAINED = 5  # seconds, the promise
SLACK = 5  # of a machine that has other things to do


def drain(worker):
    code = worker.terminate(timeout=DRAINED + SLACK)
    assert code == 0, worker.tail()
    assert "Sanitizer" not in worker.output(), worker.output()


def on_the_wire(vhost):
    """How often each message came since the last look."""
    messages = vhost.receive("probe", vhost.count("probe"))
    return Counter(properties.message_id for _, properties, _ in messages)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_relay_told_to_end_has_marked_all_that_it_has_sent(service, vhost):
    vhost.declare_queue("probe", "#")
    service.insert(*[event(message_id=f"m-{i}") for i in range(MANY)])
    worker = service.postbus.worker()
    wait_until(lambda: service.count(OUTBOX, "published") > 0)
    drain(worker)

    sent = on_the_wire(vhost)
    marked = {row["message_id"] for row in service.outbox("published")}
    assert len(marked) < MANY, "the worker was too quick to be interrupted"
    assert set(sent) == marked
    assert set(sent.values()) == {1}

    worker = service.start()
    service.wait_count(OUTBOX, MANY, "status = 'published'")
    drain(worker)
    sent += on_the_wire(vhost)
    assert len(sent) == MANY
    assert set(sent.values()) == {1}


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_intake_told_to_end_has_acknowledged_all_that_it_has_stored(service, vhost):
    service.start().stop()
    vhost.load([message(message_id=f"m-{i}") for i in range(MANY)])
    worker = service.postbus.worker()
    wait_until(lambda: service.count(INBOX) > 0)
    drain(worker)

    stored = {row["message_id"] for row in service.inbox()}
    assert len(stored) < MANY, "the worker was too quick to be interrupted"
    left = vhost.peek("orders", MANY - len(stored))
    assert stored.isdisjoint(json.loads(body)["message_id"] for _, _, body in left)

    worker = service.start()
    service.wait_count(INBOX, MANY)
    drain(worker)
    assert len({row["message_id"] for row in service.inbox()}) == MANY


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_idle_worker_ends_well_and_takes_its_leave(service, how):
    worker = service.start()
    code = worker.terminate(how, timeout=DRAINED + SLACK)
    assert code == 0, worker.tail()
    assert service.beat(worker) is None
    [config] = service.database.rows("SELECT * FROM event_bus_runtime_config")
    assert config["worker_status"] == "stopped"


def test_worker_without_a_broker_ends_well(new_service):
    service = new_service("orders", port=free_port())
    service.insert(event())
    worker = service.postbus.worker()
    service.wait_lanes(worker, "away", "away")
    drain(worker)


def test_worker_in_front_of_a_frozen_broker_ends_well(rabbitmq, service, vhost):
    vhost.declare_queue("probe", "#")
    worker = service.start()
    rabbitmq.freeze()
    service.insert(*[event() for _ in range(10)])
    drain(worker)
    assert service.count(OUTBOX, "status = 'pending'") == 10
    rabbitmq.thaw()


def test_heart_of_a_worker_that_drains_beats_on(rabbitmq, service, vhost):
    """Or a standby would take it for dead, and end its session."""
    vhost.declare_queue("probe", "#")
    worker = service.start()
    rabbitmq.freeze()
    service.insert(*[event() for _ in range(10)])
    os.kill(worker.pid, signal.SIGTERM)
    beats = set()

    def twice():
        row = service.beat(worker)
        if row and row["relay_state"] == "draining":
            beats.add(row["heartbeat_at"])
        return len(beats) == 2

    wait_until(twice)
    rabbitmq.thaw()
    assert worker.wait() == 0


def test_worker_that_waits_for_its_config_ends_well(service):
    worker = service.postbus.worker("nobody")
    worker.wait_for_output("nobody")
    drain(worker)
