# SPDX-License-Identifier: MIT
"""Publishing from SQL: the functions of PostgreSQL, and writers that wake nobody."""

import json

import pytest

from support.process import wait_until
from support.service import OUTBOX, event


@pytest.fixture
def store():
    return "postgresql"


def value(service, expression):
    [row] = service.database.rows(f"SELECT {expression} AS value")
    return row["value"]


def test_event_is_written_by_a_call_and_sent(service, vhost):
    vhost.declare_queue("probe", "event.#")
    service.start()
    made = value(
        service,
        "event_bus_publish_event('event.shop.order.created', 'order.created',"
        """ '{"n": 12345678901234567890.10}', ordering_key => 'a',"""
        """ headers => '{"traceparent": "00-1"}')""",
    )
    [(method, properties, body)] = vhost.receive("probe", 1)
    assert method.routing_key == "event.shop.order.created"
    assert properties.message_id == made
    assert properties.app_id == "orders"
    assert properties.headers["traceparent"] == "00-1"
    assert b'{"n": 12345678901234567890.10}' in body
    wait_until(lambda: service.outbox("published"))
    [row] = service.outbox()
    assert (row["id"], row["ordering_key"], row["retry_count"]) == (made, "a", 0)


def test_request_and_its_response_are_written_by_calls(new_service, vhost):
    """Two services that know nothing of each other but a name."""
    orders, billing = new_service("orders"), new_service("billing")
    workers = [orders.start(), billing.start()]
    asked = value(
        orders,
        "event_bus_publish_request('billing.request.invoice.create',"
        """ 'orders.response.invoice.create', '{"order": 7}')""",
    )
    billing.wait_count("event_bus_inbound_event", 1)
    [request] = billing.inbox()
    assert request["request_id"] == asked
    assert request["payload"] == {"order": 7}
    value(
        billing,
        f"event_bus_publish_response('{request['request_id']}',"
        f""" '{request["reply_to"]}', 'success', '{{"invoice": 8}}')""",
    )
    orders.wait_count("event_bus_inbound_event", 1)
    [response] = orders.inbox()
    assert (response["request_id"], response["message_status"]) == (asked, "success")
    assert response["payload"] == {"invoice": 8}
    for worker in workers:
        worker.stop()


def test_call_is_part_of_its_transaction(service, vhost):
    vhost.declare_queue("probe", "#")
    service.start()
    call = "SELECT event_bus_publish_event('event.shop.order.created', '{}')"
    with service.database.session() as session:
        session.sql(f"BEGIN; {call.format('taken.back')}; ROLLBACK")
        session.sql(f"BEGIN; {call.format('kept')}; COMMIT")
    service.wait_count(OUTBOX, 1, "published")
    [(_, _, body)] = vhost.take("probe")
    assert json.loads(body)["event_type"] == "kept"


def test_delayed_call_is_sent_when_it_is_due(service, vhost):
    vhost.declare_queue("probe", "#")
    service.start()
    call = "event_bus_publish_event('event.shop.order.created', '{}', delay => '{}')"
    value(service, call.format("second", "2 seconds"))
    value(service, call.format("first", "0"))
    value(service, call.format("never", "1 hour"))
    sent = [json.loads(body)["event_type"] for _, _, body in vhost.receive("probe", 2)]
    assert sent == ["first", "second"]
    assert service.count(OUTBOX, "status = 'pending'") == 1


@pytest.mark.parametrize(
    ("call", "envelope"),
    [
        (
            "event_bus_publish_event('event.short', 'x')",
            {"message_type": "event", "topic": "event.short", "event_type": "x"},
        ),
        (
            "event_bus_publish_event('event.a.b.c', NULL)",
            {"message_type": "event", "topic": "event.a.b.c"},
        ),
        (
            "event_bus_publish_event('event.a.b.c d', 'x')",
            {"message_type": "event", "topic": "event.a.b.c d", "event_type": "x"},
        ),
        (
            "event_bus_publish_request('a.request.b.c', 'event.a.b.c', request_id => '1')",
            {
                "message_type": "request",
                "topic": "a.request.b.c",
                "reply_to": "event.a.b.c",
                "request_id": "1",
            },
        ),
        (
            "event_bus_publish_response('1', 'a.response.b.c', 'perhaps')",
            {
                "message_type": "response",
                "topic": "a.response.b.c",
                "request_id": "1",
                "status": "perhaps",
            },
        ),
        (
            f"event_bus_publish_event('event.a.b.c', '{'x' * 256}')",
            {"message_type": "event", "topic": "event.a.b.c", "event_type": "x" * 256},
        ),
    ],
)
def test_call_is_refused_with_the_validators_sentence(service, call, envelope):
    common = {"schema": "interservice.envelope.v1", "message_id": "1",
              "source_service": "orders"}
    judged = service.postbus.run(
        "validate", "-", stdin=json.dumps({**common, **envelope}), check=False
    )
    with pytest.raises(RuntimeError) as refusal:
        value(service, call)
    sentence = str(refusal.value).splitlines()[0].partition("ERROR:  ")[2]
    assert judged.returncode == 1
    assert sentence and sentence in judged.stdout + judged.stderr
    assert service.count(OUTBOX) == 0


def test_writers_may_wake_nobody(service, vhost):
    """As where NOTIFY would make many writers wait for each other."""
    vhost.declare_queue("probe", "#")
    service.database.execute(
        f"ALTER TABLE {OUTBOX} DISABLE TRIGGER event_bus_outbound_event_added"
    )
    service.postbus.environment["POSTBUS_DATABASE_URL"] += "?notify=off"
    service.start()
    for n in range(3):
        service.settled(*service.insert(event(message_id=str(n))))
    assert [p.message_id for _, p, _ in vhost.take("probe")] == ["0", "1", "2"]
