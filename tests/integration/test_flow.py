# SPDX-License-Identifier: MIT
"""A row becomes a message and a message a row, and nothing of it is changed."""

import calendar
import json
import sqlite3
import time
from contextlib import closing

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, encode, envelope, event, request

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

PAYLOADS = {
    "numbers": '{"id":123456789012345678901234567890,"big":1e400,"x":-0.10,"y":1E+2}',
    "blanks": '{ "a" :\t[ 1 ,2\n] }',
    "unicode": '{"ключ":"€ 😀","escaped":"\\u00e9\\ud83d\\ude00\\/\\n"}',
    "order": '{"b":1,"a":{"z":[],"y":{}},"":null}',
    "string": '"only text"',
    "number": "0.000",
    "list": "[null,true,false]",
    "large": '{"text":"' + "x" * 900_000 + '"}',
}


def seconds(text):
    """A time as the tables have it, since 1970."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%d %H:%M:%S"))


def test_row_with_every_column_arrives_with_every_property(service, vhost):
    vhost.declare_queue("probe", "#")
    row = {
        "topic": "billing.request.invoice.create",
        "message_type": "request",
        "message_id": "order 4711, äöü",
        "request_id": "req-1",
        "parent_request_id": "req-0",
        "reply_to": "orders.response.invoice.create",
        "source_service": "orders-web",
        "chain_depth": 2,
        "payload": '{"total":12.50}',
        "headers": json.dumps({"traceparent": TRACE, "tenant": "acme"}),
    }
    [seq] = service.insert(row)
    service.start()
    [settled] = service.settled(seq)
    [(method, properties, body)] = vhost.receive("probe", 1)

    assert (method.exchange, method.routing_key) == ("interservice", row["topic"])
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    assert properties.message_id == row["message_id"]
    assert properties.correlation_id == row["request_id"]
    assert properties.reply_to == row["reply_to"]
    assert properties.type == "request"
    assert properties.app_id == "orders-web"
    assert properties.timestamp == seconds(settled["created_at"])
    assert properties.user_id is None
    assert properties.headers == {"traceparent": TRACE, "tenant": "acme"}
    assert json.loads(body) == {
        "schema": "interservice.envelope.v1",
        "message_id": row["message_id"],
        "message_type": "request",
        "topic": row["topic"],
        "source_service": "orders-web",
        "request_id": "req-1",
        "parent_request_id": "req-0",
        "chain_depth": 2,
        "reply_to": row["reply_to"],
        "payload": {"total": 12.5},
    }
    assert settled["status"] == "published" and settled["published"] == 1
    assert settled["published_at"] >= settled["created_at"]
    assert (settled["retry_count"], settled["last_error"]) == (0, None)


def test_row_that_leaves_all_it_can_to_postbus_is_a_whole_event(service, vhost):
    vhost.declare_queue("probe", "#")
    [seq] = service.insert(event())
    service.start()
    [settled] = service.settled(seq)
    [(_, properties, body)] = vhost.receive("probe", 1)
    assert json.loads(body) == {
        "schema": "interservice.envelope.v1",
        "message_id": settled["id"],
        "message_type": "event",
        "topic": "event.orders.thing.happened",
        "source_service": "orders",
        "chain_depth": 0,
        "event_type": "thing.happened",
        "payload": {},
    }
    assert properties.message_id == settled["id"]
    assert (properties.type, properties.app_id) == ("event", "orders")
    assert properties.correlation_id is None and properties.reply_to is None


def test_response_carries_its_status_and_the_request_it_answers(service, vhost):
    vhost.declare_queue("probe", "#")
    service.insert(
        {
            "topic": "shop.response.invoice.create",
            "message_type": "response",
            "message_status": "error",
            "request_id": "req-9",
        }
    )
    service.start()
    [(_, properties, body)] = vhost.receive("probe", 1)
    assert (properties.type, properties.correlation_id) == ("response", "req-9")
    assert json.loads(body)["status"] == "error"
    assert "reply_to" not in json.loads(body)


def test_payload_that_is_an_envelope_fills_what_the_row_leaves_empty(service, vhost):
    vhost.declare_queue("probe", "#")
    inner = envelope(message_id="inner", source_service="far", payload={"n": 1})
    service.insert(event(payload=json.dumps(inner), topic="event.the.row.wins"))
    service.start()
    [(method, _, body)] = vhost.receive("probe", 1)
    assert method.routing_key == "event.the.row.wins"
    assert json.loads(body) == {
        **inner,
        "topic": "event.the.row.wins",
        "chain_depth": 0,
        "event_type": "thing.happened",
    }


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_bytes_of_a_payload_are_the_same_on_the_wire_and_in_the_inbox(
    service, vhost, payload
):
    vhost.declare_queue("probe", "#")
    service.insert(event(topic="event.elsewhere.thing.happened", payload=payload))
    service.start()
    [(_, _, body)] = vhost.receive("probe", 1)
    assert payload.encode() in body
    service.wait_count(INBOX, 1)
    assert service.inbox()[0]["payload"] == payload


def test_envelope_of_another_program_becomes_a_row_with_every_column(service, vhost):
    service.start()
    sent = envelope(
        message_id="m-1",
        message_type="request",
        topic="orders.request.stock.reserve.now",
        source_service="shop",
        request_id="req-1",
        parent_request_id="req-0",
        chain_depth=3,
        reply_to="shop.response.stock.reserve.now",
        event_type=None,
        payload={"sku": "A1"},
        colour="blue",
    )
    vhost.publish(encode(sent), sent["topic"], headers={"traceparent": TRACE})
    service.wait_count(INBOX, 1)
    [row] = service.inbox()
    assert json.loads(row.pop("headers")) == {"traceparent": TRACE, "colour": "blue"}
    assert json.loads(row.pop("payload")) == {"sku": "A1"}
    assert len(row.pop("received_at")) == len("2026-01-01 00:00:00.000000")
    assert row == {
        "id": row["id"],
        "message_id": "m-1",
        "config_key": "default",
        "broker_type": "rabbitmq",
        "topic": sent["topic"],
        "event_type": None,
        "message_type": "request",
        "message_status": None,
        "request_id": "req-1",
        "parent_request_id": "req-0",
        "chain_depth": 3,
        "reply_to": sent["reply_to"],
        "source_service": "shop",
        "ordering_key": None,
        "status": "pending",
        "processed": 0,
        "processed_at": None,
        "retry_count": 0,
        "next_retry_at": None,
        "last_error": None,
    }


def test_properties_fill_what_the_envelope_leaves_out(service, vhost):
    service.start()
    vhost.publish(
        b'{"payload":[1]}',
        "orders.request.stock.reserve",
        message_id="m-2",
        type="request",
        app_id="shop",
        correlation_id="req-2",
        reply_to="shop.response.stock.reserve",
    )
    service.wait_count(INBOX, 1)
    [row] = service.inbox()
    assert {
        name: row[name]
        for name in ("message_id", "message_type", "topic", "source_service")
    } == {
        "message_id": "m-2",
        "message_type": "request",
        "topic": "orders.request.stock.reserve",
        "source_service": "shop",
    }
    assert row["request_id"] == "req-2"
    assert row["reply_to"] == "shop.response.stock.reserve"
    assert row["payload"] == "[1]"


def test_envelope_wins_over_the_properties(service, vhost):
    service.start()
    sent = envelope(
        message_id="inside",
        message_type="response",
        topic="orders.response.a.b",
        source_service="inside",
        request_id="inside",
        status="success",
        event_type=None,
    )
    vhost.publish(
        encode(sent),
        "orders.response.other.key",
        message_id="outside",
        type="event",
        app_id="outside",
        correlation_id="outside",
        reply_to="not a topic, not used",
    )
    service.wait_count(INBOX, 1)
    [row] = service.inbox()
    assert row["message_id"] == row["source_service"] == row["request_id"] == "inside"
    assert (row["message_type"], row["message_status"]) == ("response", "success")
    assert row["topic"] == "orders.response.a.b"


def test_rows_go_out_in_the_order_of_seq(service, vhost):
    vhost.declare_queue("probe", "#")
    service.insert(*[event(message_id=str(i)) for i in range(3000)])
    service.start()
    messages = vhost.receive("probe", 3000)
    assert [p.message_id for _, p, _ in messages] == [str(i) for i in range(3000)]


def test_rolled_back_rows_are_never_sent(service, vhost):
    vhost.declare_queue("probe", "#")
    service.start()
    with closing(service.database.connect()) as connection:
        connection.execute("BEGIN")
        connection.execute(
            f"INSERT INTO {OUTBOX} (topic, event_type, message_id)"
            " VALUES ('event.orders.it.done', 'it', 'undone')"
        )
        connection.execute("ROLLBACK")
    service.insert(event(message_id="done"))
    [(_, properties, _)] = vhost.receive("probe", 1)
    assert properties.message_id == "done"


def test_rows_of_another_config_key_are_left_to_its_worker(service, vhost):
    vhost.declare_queue("probe", "#")
    other, own = service.insert(event(config_key="other"), event())
    service.start()
    service.settled(own)
    assert service.outbox(f"seq = {other}")[0]["status"] == "pending"
    assert vhost.count("probe") == 1


def answer_one_request(path):
    """A service's own loop, with nothing but sqlite3: whether it found one."""
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN IMMEDIATE")
        ask = database.execute(
            f"SELECT * FROM {INBOX} WHERE status = 'pending' ORDER BY id LIMIT 1"
        ).fetchone()
        if ask is None:
            return False
        total = sum(json.loads(ask["payload"])["prices"])
        database.execute(
            f"INSERT INTO {OUTBOX} (topic, message_type, message_status, request_id,"
            " parent_request_id, chain_depth, payload)"
            " VALUES (?, 'response', 'success', ?, ?, ?, ?)",
            (
                ask["reply_to"],
                ask["request_id"],
                ask["parent_request_id"],
                ask["chain_depth"] + 1,
                json.dumps({"total": total}),
            ),
        )
        database.execute(
            f"UPDATE {INBOX} SET status = 'processed', processed = true,"
            " processed_at = datetime() WHERE id = ?",
            (ask["id"],),
        )
        return True


def test_two_services_ask_and_answer_with_nothing_but_sql(new_service):
    orders, billing = new_service("orders"), new_service("billing")
    billing.start()
    orders.start()
    asked = request("billing", "orders", payload='{"prices":[1, 2, 39]}')
    orders.insert(asked)
    wait_until(lambda: answer_one_request(billing.database.path))
    orders.wait_count(INBOX, 1)
    [response] = orders.inbox()
    assert response["request_id"] == asked["request_id"]
    assert response["topic"] == asked["reply_to"]
    assert (response["message_type"], response["message_status"]) == (
        "response",
        "success",
    )
    assert response["source_service"] == "billing"
    assert response["chain_depth"] == 1
    assert json.loads(response["payload"]) == {"total": 42}
    assert billing.count(INBOX, "status = 'processed'") == 1
