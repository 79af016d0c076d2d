# SPDX-License-Identifier: MIT
"""What can never be a message parks with its reason, and holds nothing up."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, REJECTED, encode, envelope, event, message

MEBIBYTE = 1 << 20  # what is kept of a body
CASES = Path(__file__).parent.parent / "data" / "envelope-cases.json"

# Told in other words than the rules' own: by the intake, which looks for a
# message_id first, and by the store, which cannot tell -2 from nothing.
REASONS = {
    "an empty object": "message_id",
    "no message_id anywhere": "message_id",
    "a row with a negative chain_depth": "chain_depth",
}
# Every message that a broker delivers has a routing key.
IMPOSSIBLE = {"no topic"}

PROPERTIES = {
    "message_id": "message_id",
    "message_type": "type",
    "source_service": "app_id",
    "request_id": "correlation_id",
    "reply_to": "reply_to",
}


def bad_cases(direction):
    """Those that the default limits refuse."""
    return [
        case
        for case in json.loads(CASES.read_text())
        if case["direction"] == direction
        and case["verdict"] == "invalid"
        and "limits" not in case
        and case["name"] not in IMPOSSIBLE
    ]


def content(value):
    """The bytes that a value of the table stands for."""
    if isinstance(value, str):
        return value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return "".join(text * times for text, times in value["repeat"]).encode()


def as_message(case):
    fallback = dict(case.get("fallback", {}))
    routing_key = fallback.pop("topic", "event.elsewhere.thing.happened")
    properties = {PROPERTIES[name]: value for name, value in fallback.items()}
    return content(case["body"]), routing_key, properties


def test_every_bad_body_is_kept_with_its_reason_and_good_ones_pass(service, vhost):
    service.postbus.configure(binding_keys=["#"])
    service.start().stop()  # the queue is there from now on
    cases = bad_cases("inbound")
    assert len(cases) > 50
    messages = []
    for number, case in enumerate(cases):
        messages.append(as_message(case))
        messages.append(message(message_id=f"good-{number}"))
    vhost.publish_all(messages)

    worker = service.start()
    service.wait_count(REJECTED, len(cases))
    service.wait_count(INBOX, len(cases))
    for case, row in zip(cases, service.rejected()):
        assert row["body"] == content(case["body"])[:MEBIBYTE], case["name"]
        expected = REASONS.get(case["name"], case["error"])
        assert expected in row["reason"], case["name"]
        assert row["topic"] == as_message(case)[1]
        assert row["config_key"] == "default"
        assert row["broker_type"] == "rabbitmq"
        assert row["received_at"]
    good = [row["message_id"] for row in service.inbox()]
    assert good == [f"good-{number}" for number in range(len(cases))]
    worker.stop()
    assert vhost.count("orders") == 0


def test_every_bad_row_ends_invalid_with_its_reason_and_good_ones_pass(service, vhost):
    vhost.declare_queue("probe", "#")
    cases = bad_cases("outbound")
    assert len(cases) > 10
    bad, good = [], []
    for case in cases:
        bad.append(insert_case(service.database, case))
        good += service.insert(event(message_id=f"good {len(good)}"))
    service.start()
    assert {row["status"] for row in service.settled(*good)} == {"published"}
    for case, row in zip(cases, service.settled(*bad)):
        assert row["status"] == "invalid", case["name"]
        expected = REASONS.get(case["name"], case["error"])
        assert expected in row["last_error"], case["name"]
        assert row["retry_count"] == 0
    assert len(vhost.take("probe")) == len(good)


def insert_case(database, case):
    """SQLite takes any bytes as text; an application may have written them."""
    values = dict(case["row"])
    if "status" in values:
        values["message_status"] = values.pop("status")
    if "payload" in case:
        values["payload"] = case["payload"]
    marks, bound = [], []
    for value in values.values():
        marks.append("?" if isinstance(value, int) else "CAST(? AS TEXT)")
        bound.append(value if isinstance(value, int) else content(value))
    statement = (
        f"INSERT INTO {OUTBOX} ({', '.join(values)}) VALUES ({', '.join(marks)})"
    )
    with closing(database.connect()) as connection:
        return connection.execute(statement, bound).lastrowid


@pytest.mark.parametrize(
    "columns, words",
    [
        ({"payload": b"\x00\x01"}, "payload"),
        ({"topic": b"event.a.b.c"}, "topic"),
        ({"chain_depth": "deep"}, "chain_depth"),
        ({"headers": "[1]"}, "headers"),
        ({"headers": '{"n": 1}'}, "n"),
        ({"headers": '{"a": "b'}, "headers"),
        ({"message_type": "telegram"}, "telegram"),
        ({"chain_depth": 33}, "max_chain_depth"),
    ],
    ids=str,
)
def test_row_of_the_wrong_kind_parks_alone(service, vhost, columns, words):
    vhost.declare_queue("probe", "#")
    bad, good = service.insert(event(**columns), event())
    service.start()
    bad, good = service.settled(bad, good)
    assert (bad["status"], good["status"]) == ("invalid", "published")
    assert words in bad["last_error"]
    assert vhost.count("probe") == 1


def test_chain_depth_is_limited_as_configured_both_ways(new_service, vhost):
    service = new_service("orders", max_chain_depth=2)
    vhost.declare_queue("probe", "event.orders.#")
    service.start()
    fits, too_deep = service.insert(event(chain_depth=2), event(chain_depth=3))
    fits, too_deep = service.settled(fits, too_deep)
    assert (fits["status"], too_deep["status"]) == ("published", "invalid")
    assert "chain_depth" in too_deep["last_error"]
    for depth in (2, 3):
        vhost.publish(encode(envelope(chain_depth=depth)))
    service.wait_count(REJECTED, 1)
    assert "chain_depth" in service.rejected()[0]["reason"]
    assert [row["chain_depth"] for row in service.inbox()] == [2]


def test_message_over_the_limit_is_refused_on_either_side(new_service, vhost):
    service = new_service("orders", max_message_bytes=1000)
    vhost.declare_queue("probe", "event.orders.#")
    service.start()
    large = json.dumps("x" * 1000)
    [seq] = service.insert(event(payload=large))
    [row] = service.settled(seq)
    assert row["status"] == "invalid"
    assert "max_message_bytes" in row["last_error"]
    vhost.publish(encode(envelope(payload=large)))
    service.wait_count(REJECTED, 1)
    assert "max_message_bytes" in service.rejected()[0]["reason"]


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_message_far_over_the_limit_is_rejected_and_others_flow(service, vhost, store):
    """More than a database takes in the time that it is given."""
    worker = service.start()
    large = encode(envelope(message_id="large", payload="x" * (50 << 20)))
    vhost.publish(large)
    vhost.publish(encode(envelope(message_id="good")))
    service.wait_count(INBOX, 1)
    [row] = service.database.rows(
        f"SELECT length(body) AS kept, reason, message_id FROM {REJECTED}"
    )
    assert row["kept"] == 1 << 20
    assert f"found {len(large)} bytes" in row["reason"]
    wait_until(lambda: vhost.count("orders") == 0)
    worker.stop()


def test_same_message_again_is_ignored(service, vhost):
    service.start()
    vhost.publish_all([message(message_id="once")] * 5)
    vhost.publish_all([message(message_id="last")])
    service.wait_count(INBOX, 2)
    assert [row["message_id"] for row in service.inbox()] == ["once", "last"]
    assert service.rejected() == []
    wait_until(lambda: vhost.count("orders") == 0)


def test_message_id_used_again_for_another_payload_is_rejected(service, vhost):
    service.start()
    vhost.publish(encode(envelope(message_id="m-1", payload={"n": 1})))
    second = encode(envelope(message_id="m-1", payload={"n": 2}))
    vhost.publish(second)
    service.wait_count(REJECTED, 1)
    [row] = service.rejected()
    assert row["body"] == second
    assert row["message_id"] == "m-1"
    assert "another payload" in row["reason"]
    assert [json.loads(r["payload"]) for r in service.inbox()] == [{"n": 1}]


def test_request_in_hostile_properties_is_judged_by_its_body(service, vhost):
    """Tables, arrays and empty names in the headers are somebody else's."""
    service.start()
    sent = envelope(
        message_id="m-1",
        message_type="request",
        topic="orders.request.a.b",
        request_id="r",
        reply_to="shop.response.a.b",
        event_type=None,
    )
    vhost.publish(
        encode(sent),
        sent["topic"],
        headers={"x-death": [{"count": 3, "queue": "q"}], "n": -1, "t": True, "e": None},
        content_type="text/html",
        expiration="60000",
        priority=9,
    )
    service.wait_count(INBOX, 1)
    headers = json.loads(service.inbox()[0]["headers"])
    assert all(isinstance(value, str) for value in headers.values())
    assert json.loads(headers["x-death"]) == [{"count": 3, "queue": "q"}]
    assert headers["n"] == "-1"
