# SPDX-License-Identifier: MIT
"""AMQP brokers that RabbitMQ is not: hostile, confused, forgetful."""

import struct

import pytest
from pika import spec

from support import clocks
from support.process import wait_until
from support.scripted import (
    ScriptedAMQP,
    ack,
    close_channel,
    deliver,
    hang_up,
    method,
    raw,
    say,
    silence,
)
from support.service import INBOX, REJECTED, encode, envelope, event, request
from support.vhost import Vhost


@pytest.fixture
def relay(new_service):
    """Makes a service that only sends, and to that broker."""

    def make(broker, **settings):
        broker.username = broker.password = "guest"
        vhost = Vhost(broker, "/")
        return new_service("orders", vhost=vhost, intake_enabled=False, **settings)

    return make


@pytest.fixture
def intake(new_service):
    """Makes a service that only listens, and to that broker."""

    def make(broker, **settings):
        broker.username = broker.password = "guest"
        vhost = Vhost(broker, "/")
        return new_service("orders", vhost=vhost, relay_enabled=False, **settings)

    return make


def published_later(service, *rows):
    """The rows once they are out, whatever the first connection was like; and
    that it cost none of them an attempt."""
    rows = service.settled(*rows)
    assert {row["status"] for row in rows} == {"published"}
    assert {row["retry_count"] for row in rows} == {0}
    return rows


def ids(broker):
    return [message_id for _, message_id in broker.published]


# ---- a handshake that is none ----

CLASS_10 = struct.pack(">HH", 10, 30)  # tune


def tune(channel_max, frame_max, heartbeat):
    return say(spec.Connection.Tune(channel_max, frame_max, heartbeat), 0)


HANDSHAKES = [
    ({"Connection.StartOk": tune(0, 1, 0)}, "frames"),
    ({"Connection.StartOk": tune(1, 4095, 60)}, "frames"),
    ({"Connection.StartOk": lambda *_: raw(1, CLASS_10, 0)}, "malformed"),
    ({"Connection.StartOk": lambda *_: raw(1, CLASS_10 + b"\0", 0)}, "malformed"),
    ({"Connection.StartOk": lambda *_: raw(1, b"", 0)}, ""),
    ({"Connection.StartOk": say(spec.Connection.OpenOk(), 0)}, ""),
    ({"Connection.StartOk": lambda *_: raw(8, b"", 0) * 3 + raw(3, b"x", 0)}, ""),
    ({"Connection.Start": lambda *_: raw(1, b"\0\x0a\0\x0a\0\x09" + b"\xff" * 40)}, ""),
    ({"Connection.Start": lambda *_: raw(1, b"", 0, size=0xFFFFFFFF)}, "bytes"),
    ({"Connection.Start": lambda *_: b"\x16\x03\x01\0\x05hello"}, "TLS"),
    ({"Connection.Start": lambda *_: b"AMQP\1\1\0\x09"}, "AMQP 0-9-1"),
    ({"Connection.Start": lambda *_: b"220 mail.example ESMTP\r\n"}, "220"),
    ({"Connection.TuneOk": say(spec.Connection.Secure("x"), 0)}, ""),
    ({"Connection.Open": hang_up}, ""),
    ({"Channel.Open": say(spec.Channel.Close(504, "CHANNEL_ERROR", 0, 0))}, "CHANNEL"),
    ({"Confirm.Select": silence}, "in time"),
]


def test_broken_handshakes_are_told_and_the_next_good_one_is_used(relay):
    """One connection after the other is broken in its own way."""
    with ScriptedAMQP(first=[table for table, _ in HANDSHAKES]) as broker:
        service = relay(broker, connect_timeout=2, retry_interval_seconds=0.05)
        [seq] = service.insert(event())
        worker = service.postbus.worker()
        published_later(service, seq)
        assert broker.connections == len(HANDSHAKES) + 1
        for _, words in HANDSHAKES:
            worker.wait_for_line("relay", "away", words)


def test_any_tune_that_amqp_allows_is_agreed_to(relay):
    """The largest numbers, and the smallest frames."""
    for limits in [(0xFFFF, 0xFFFFFFFF, 0xFFFF), (0, 0, 0), (1, 4096, 1)]:
        with ScriptedAMQP({"Connection.StartOk": tune(*limits)}) as broker:
            service = relay(broker) if limits[0] == 0xFFFF else service
            service.postbus.configure(port=broker.port)
            worker = service.postbus.worker()
            rows = service.insert(event(payload=f'"{"x" * 20000}"'), event())
            published_later(service, *rows)
            worker.stop()


# ---- frames that are none, and methods that nobody waits for ----

NOBODY = b"\0\x3c\0\x63"  # class 60 has no method 99

GARBAGE = [
    (raw(1, NOBODY), ""),
    (raw(1, b"\0\x3c\0\x50"), "malformed"),  # an ack without a tag
    (raw(1, b""), ""),
    (raw(1, b"\0\x3c"), ""),
    (raw(9, b"x"), "not AMQP"),
    (raw(3, b"a body of nothing"), ""),
    (raw(2, struct.pack(">HHQ", 60, 0, 5) + b"\0\0"), ""),
    (raw(1, b"\0" * 8, size=0xFFFFFFFF), "bytes"),
    (raw(1, NOBODY, end=b"\0"), "end mark"),
    (method(spec.Basic.Ack(77)), "never sent"),
    (method(spec.Basic.Nack(77, True)), "never sent"),
    (method(spec.Basic.Ack(0)), ""),
    (method(spec.Basic.Return(312, "NO_ROUTE", "x", "a"))
     + raw(2, struct.pack(">HHQ", 60, 0, 0) + b"\0\0"), "not in flight"),
    (method(spec.Confirm.SelectOk()), "nobody asked"),
    (method(spec.Connection.CloseOk(), 0), ""),
    (method(spec.Connection.Close(541, "INTERNAL_ERROR", 0, 0), 0), "INTERNAL_ERROR"),
    (method(spec.Connection.Close(320, "x" * 255, 0, 0), 0), ""),
    (method(spec.Basic.Ack(1), 7), ""),
]  # fmt: skip


def test_garbage_ends_the_connection_and_costs_no_row(relay):
    """It comes instead of the first confirm; what was sent goes again."""
    tables = [{"Basic.Publish": lambda *_, g=garbage: g} for garbage, _ in GARBAGE]
    with ScriptedAMQP(first=tables) as broker:
        service = relay(broker, retry_interval_seconds=0.05)
        rows = service.insert(event(message_id="a"), event(message_id="b"))
        worker = service.postbus.worker()
        published_later(service, *rows)
        assert broker.connections == len(GARBAGE) + 1
        for _, words in GARBAGE:
            worker.wait_for_line("relay", "away", words)
    assert set(ids(broker)) == {"a", "b"}


@pytest.mark.release
def test_endless_garbage_takes_no_memory(relay):
    """Four million bytes that are one frame too large, again and again."""
    flood = raw(1, bytes(4_000_000))
    with ScriptedAMQP({"Basic.Publish": lambda *_: flood}) as broker:
        service = relay(broker, retry_interval_seconds=0.05)
        service.insert(event())
        worker = service.postbus.worker()
        wait_until(lambda: broker.connections > 10)
        assert worker.memory() < 8 * 1024


# ---- what becomes of a publish ----


def test_confirms_out_of_order_and_for_many_find_their_rows(relay):
    """The last first, then all up to the ninth, then what is left; a confirm
    that is repeated confirms nothing more."""

    def answer(broker, _):
        if broker.tag < 10:
            return b""
        acks = [(10, False), (10, False), (3, False), (9, True), (9, True)]
        return b"".join(method(spec.Basic.Ack(*each)) for each in acks)

    with ScriptedAMQP({"Basic.Publish": answer}) as broker:
        service = relay(broker)
        rows = service.insert(*(event(message_id=f"m-{i}") for i in range(10)))
        worker = service.postbus.worker()
        published_later(service, *rows)
        assert ids(broker) == [f"m-{i}" for i in range(10)]
        assert worker.output().count("away") == 0


def test_a_row_is_published_only_by_its_own_confirm(relay):
    def answer(broker, _):
        return ack(broker, _) if broker.tag % 2 == 0 else b""

    with ScriptedAMQP({"Basic.Publish": answer}) as broker:
        service = relay(broker)
        service.insert(*(event(message_id=f"m-{i}") for i in range(6)))
        service.postbus.worker()
        service.wait_count("event_bus_outbound_event", 3, "status = 'published'")
        names = [row["message_id"] for row in service.outbox("published")]
        assert names == ["m-1", "m-3", "m-5"]


def test_a_refused_message_is_a_failed_attempt(relay):
    nack = {"Basic.Publish": lambda broker, _: method(spec.Basic.Nack(broker.tag))}
    with ScriptedAMQP(nack) as broker:
        service = relay(broker, max_retry_count=2, retry_base_seconds=0.05)
        service.postbus.worker()
        [row] = service.settled(*service.insert(event(message_id="m")))
    assert (row["status"], row["retry_count"]) == ("error", 2)
    assert "nack" in row["last_error"]
    assert ids(broker) == ["m", "m"]


def test_a_refusal_of_many_fails_each_of_them(relay):
    def answer(broker, _):
        if broker.tag < 3:
            return b""
        return method(spec.Basic.Nack(3, multiple=True))

    with ScriptedAMQP({"Basic.Publish": answer}) as broker:
        service = relay(broker, max_retry_count=1)
        service.postbus.worker()
        rows = service.settled(*service.insert(event(), event(), event()))
    assert [(row["status"], row["retry_count"]) for row in rows] == [("error", 1)] * 3


def test_a_request_that_comes_back_before_its_confirm_has_failed(relay):
    def answer(broker, _):
        properties = spec.BasicProperties(message_id="r").encode()
        header = struct.pack(">HHQ", 60, 0, 0) + b"".join(properties)
        topic = "billing.request.invoice.create"
        returned = spec.Basic.Return(312, "NO_ROUTE", "interservice", topic)
        return method(returned) + raw(2, header) + ack(broker, None)

    with ScriptedAMQP({"Basic.Publish": answer}) as broker:
        service = relay(broker, max_retry_count=1)
        service.postbus.worker()
        [row] = service.settled(*service.insert(request(message_id="r")))
    assert (row["status"], row["retry_count"]) == ("error", 1)
    assert "unroutable" in row["last_error"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (406, "PRECONDITION_FAILED - message size 9 is larger than max size 8"),
        (403, "ACCESS_REFUSED - access to topic 'x' in exchange 'y' refused"),
        (404, "NOT_FOUND - no exchange 'interservice' in vhost '/'"),
    ],
)
def test_a_message_that_closes_the_channel_fails_alone(relay, code, text):
    """The culprit is the third of five: the others go again, one by one."""

    def answer(broker, _):
        if broker.published[-1][1] == "bad":
            return close_channel(code, text)()
        return ack(broker, _)

    with ScriptedAMQP({"Basic.Publish": answer}) as broker:
        service = relay(broker, max_retry_count=2, retry_base_seconds=0.05)
        names = ["a", "b", "bad", "c", "d"]
        rows = service.insert(*(event(message_id=name) for name in names))
        service.postbus.worker()
        rows = service.settled(*rows)
    found = {row["message_id"]: (row["status"], row["retry_count"]) for row in rows}
    assert found.pop("bad") == ("error", 2)
    assert set(found.values()) == {("published", 0)}
    assert text.split(" - ")[1][:20] in rows[2]["last_error"]


@pytest.mark.release
def test_a_confirm_that_never_comes_is_given_up(relay):
    """The broker lives and answers heartbeats, but one confirm is lost."""

    def forget_the_second(broker, _):
        return b"" if broker.tag == 2 else ack(broker, _)

    with ScriptedAMQP(first=[{"Basic.Publish": forget_the_second}]) as broker:
        service = relay(broker)
        rows = service.insert(*(event(message_id=f"m-{i}") for i in range(4)))
        worker = service.postbus.worker(**clocks.fast(30))
        worker.wait_for_line("relay", "away", "did not confirm")
        published_later(service, *rows)
    assert ids(broker) == ["m-0", "m-1", "m-2", "m-3", "m-1"]


# ---- what is delivered ----


def first_message(body, **options):
    """An answer: the consumer is welcome, and this is its first message."""
    welcome = method(spec.Basic.ConsumeOk("postbus"))
    return lambda *_: welcome + deliver(1, body, **options)


TABLE_BOMB = (
    b"\x20\0"  # headers follow
    + struct.pack(">L", 6 * 400)
    + b"".join(b"\1aF" + struct.pack(">L", 6 * (399 - i))[1:] for i in range(400))
)

DELIVERIES = [
    (first_message(b"longer than told", announced=3), "longer"),
    (first_message(b"x", properties=b"\xff"), ""),
    (first_message(b"x", properties=b"\xff\xff\xff\xff\xff\xff"), ""),
    (first_message(b"x", properties=b"\x20\0\xff\xff\xff\xff"), ""),
    (first_message(b"x", properties=TABLE_BOMB), ""),
    (lambda *_: raw(1, b"\0\x3c\0\x3c") + raw(2, b"\0\x3c\0\0") + raw(3, b"x"), ""),
    (lambda *_: method(spec.Basic.ConsumeOk("postbus"))
     + method(spec.Basic.Cancel("postbus", True)), "cancelled"),
]  # fmt: skip


def test_broken_deliveries_end_the_connection_and_are_not_acknowledged(intake):
    tables = [{"Basic.Consume": answer} for answer, _ in DELIVERIES]
    good = {"Basic.Consume": first_message(encode(envelope(message_id="good")))}
    with ScriptedAMQP(good, first=tables) as broker:
        service = intake(broker, retry_interval_seconds=0.05)
        worker = service.postbus.worker()
        service.wait_count(INBOX, 1)
        wait_until(lambda: broker.acknowledged)
        for _, words in DELIVERIES:
            worker.wait_for_line("intake", "away", words)
        worker.stop()
        assert broker.connections == len(DELIVERIES) + 1
    assert broker.acknowledged == [1]
    assert service.count(REJECTED) == 0


def test_a_consumer_that_is_timed_out_comes_back_and_stores_the_message_once(intake):
    """Before it was stored, and when it was stored already."""
    late = say(
        spec.Channel.Close(
            406, "PRECONDITION_FAILED - delivery acknowledgement timed out", 0, 0
        )
    )
    consume = first_message(encode(envelope(message_id="m")))
    tables = [
        {"Basic.Consume": lambda *said: consume(*said) + late()},
        {"Basic.Ack": late},
    ]
    with ScriptedAMQP({"Basic.Consume": consume}, first=tables) as broker:
        service = intake(broker, retry_interval_seconds=0.05)
        worker = service.postbus.worker()
        worker.wait_for_line("intake", "away", "timed out")
        wait_until(lambda: len(broker.acknowledged) == 2)
        worker.stop()
        assert broker.connections == 3
    assert service.count(INBOX) == 1
    assert service.count(REJECTED) == 0


def test_the_same_delivery_again_and_again_is_one_row(intake):
    """A broker that forgets every acknowledgement, as one that is killed does."""
    body = encode(envelope(message_id="m"))
    table = {"Basic.Consume": first_message(body), "Basic.Ack": hang_up}
    with ScriptedAMQP(table) as broker:
        service = intake(broker, retry_interval_seconds=0.05)
        service.postbus.worker()
        wait_until(lambda: len(broker.acknowledged) > 5)
    assert service.count(INBOX) == 1
    assert service.count(REJECTED) == 0
