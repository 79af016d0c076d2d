# SPDX-License-Identifier: MIT
"""A message that reaches no queue: who minds, and what becomes of its row."""

import pytest

from support.process import wait_until
from support.service import event, request


def response():
    return {
        "topic": "billing.response.invoice.create",
        "message_type": "response",
        "message_status": "success",
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    "row", [request("billing"), response()], ids=["request", "response"]
)
def test_unroutable_command_is_tried_again_and_then_ends_as_error(new_service, row):
    service = new_service("orders", retry_base_seconds=0.05, max_retry_count=3)
    [seq] = service.insert(row)
    service.start()
    [settled] = service.settled(seq)
    assert settled["status"] == "error"
    assert settled["retry_count"] == 3
    assert (settled["published"], settled["published_at"]) == (0, None)
    assert row["topic"] in settled["last_error"]
    assert "interservice" in settled["last_error"]


def test_request_is_published_once_its_queue_is_there(new_service, vhost):
    service = new_service("orders", retry_base_seconds=0.2, retry_max_seconds=0.5)
    service.postbus.configure(max_retry_count=1000)
    [seq] = service.insert(request("billing"))
    service.start()
    wait_until(lambda: service.outbox("retry_count >= 2"))
    [waiting] = service.outbox()
    assert waiting["status"] == "pending"
    assert waiting["topic"] in waiting["last_error"]
    assert waiting["next_retry_at"] is not None
    vhost.declare_queue("billing", "billing.#")
    [settled] = service.settled(seq)
    assert (settled["status"], settled["last_error"]) == ("published", None)
    assert len(vhost.take("billing")) == 1


def test_unroutable_event_is_published_and_noted(service):
    [seq] = service.insert(event())
    service.start()
    [row] = service.settled(seq)
    assert (row["status"], row["retry_count"]) == ("published", 0)
    assert "unroutable" in row["last_error"]


def test_unroutable_event_fails_where_all_is_mandatory(new_service):
    service = new_service(
        "orders", mandatory="all", retry_base_seconds=0.05, max_retry_count=2
    )
    [seq] = service.insert(event())
    service.start()
    [row] = service.settled(seq)
    assert (row["status"], row["retry_count"]) == ("error", 2)
    assert row["topic"] in row["last_error"]


def test_unroutable_request_is_published_and_noted_where_nothing_is_mandatory(
    new_service,
):
    service = new_service("orders", mandatory="none")
    [seq] = service.insert(request("billing"))
    service.start()
    [row] = service.settled(seq)
    assert (row["status"], row["retry_count"]) == ("published", 0)
    assert "unroutable" in row["last_error"]


def test_row_that_fails_delays_no_other(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", retry_base_seconds=60, retry_max_seconds=60)
    stuck, *others = service.insert(
        request("billing"), *[event() for _ in range(2000)]
    )
    service.start()
    assert {row["status"] for row in service.settled(*others)} == {"published"}
    assert service.outbox(f"seq = {stuck}")[0]["status"] == "pending"


def test_exchange_that_vanishes_under_the_relay_costs_no_row(new_service, vhost):
    """Until it is back each publish would make the broker close the channel."""
    vhost.declare_queue("orders", "orders.#")
    service = new_service("orders", topology="verify", retry_base_seconds=0.1)
    worker = service.start()
    with vhost.channel() as channel:
        channel.exchange_delete("interservice")
    rows = service.insert(event(message_id="a"), event(message_id="b"))
    worker.wait_for_line("relay", "away", "interservice")
    vhost.declare_queue("probe", "event.orders.#")
    assert {row["status"] for row in service.settled(*rows)} == {"published"}
    assert {p.message_id for _, p, _ in vhost.receive("probe", 2)} == {"a", "b"}
