# SPDX-License-Identifier: MIT
"""MQTT brokers that Mosquitto is not: old, lowering, refusing, silent."""

import re
import struct

import pytest

from support import clocks
from support.listeners import Listener, WebServer
from support.mqtt import Hub
from support.process import wait_until
from support.scripted import (
    CONNACK,
    CONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    ScriptedMQTT,
    confirm,
    grant,
    hang_up,
    packet,
    resumed,
    silence,
    welcome,
)
from support.service import INBOX, event


def only_version_3(version, body):
    """What a broker of 3.1.1 says to a protocol level that it does not know."""
    return packet(CONNACK, b"\0\1") if version == 5 else welcome(version, body)


def says_84(version, body):
    return packet(CONNACK, b"\0\x84\0") if version == 5 else welcome(version, body)


def hangs_up(version, body):
    return None if version == 5 else welcome(version, body)


@pytest.fixture
def on(new_service):
    """Makes a service whose broker is that listener."""

    def make(listener, **settings):
        settings = {"subscribe_topics": ["a/b"], "max_retry_count": 1, **settings}
        return new_service("orders", vhost=Hub(listener), **settings)

    return make


@pytest.mark.parametrize(
    ("refusal", "versions"),
    [(only_version_3, [5, 4]), (says_84, [5, 4]), (hangs_up, [5, 5, 4])],
)
def test_a_broker_without_version_5_is_asked_with_3_at_once(on, refusal, versions):
    with ScriptedMQTT({CONNECT: refusal}) as broker:
        service = on(broker, intake_enabled=False, retry_interval_seconds=600)
        service.start(intake=None)
        assert broker.versions == versions
        (row,) = service.settled(*service.insert(event()))
        assert row["status"] == "published"


def test_a_login_that_is_cut_does_not_cost_version_5(on):
    with ScriptedMQTT(first=[{CONNECT: hang_up}]) as broker:
        on(broker, intake_enabled=False, retry_interval_seconds=600).start(intake=None)
        assert broker.versions == [5, 5]


def test_a_lower_qos_is_an_error_that_says_what_to_set(on):
    with ScriptedMQTT({SUBSCRIBE: grant(b"\0")}) as broker:
        service = on(broker, relay_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "gives a/b only QoS 0", "set qos=0")


@pytest.mark.parametrize(
    ("code", "words"), [(b"\x80", "no reason"), (b"\x87", "not authorised")]
)
def test_a_refused_subscription_is_an_error_with_its_reason(on, code, words):
    with ScriptedMQTT({SUBSCRIBE: grant(code)}) as broker:
        service = on(broker, relay_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "refuses the subscription to a/b", words)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("connect", [welcome, resumed])
def test_silence_instead_of_an_answer_to_subscribe_is_told(on, version, connect):
    with ScriptedMQTT({CONNECT: connect, SUBSCRIBE: silence}) as broker:
        patience = {"connect_timeout": 0.5, "retry_interval_seconds": 0.1}
        service = on(broker, relay_enabled=False, protocol_version=version, **patience)
        worker = service.postbus.worker()
        service.wait_error(worker, "no answer to SUBSCRIBE in time")
        wait_until(lambda: broker.connections >= 2)


def test_a_subscription_that_cannot_be_ended_is_an_error_with_its_reason(on):
    def refuse(_, body):
        return packet(UNSUBACK, body[:2] + b"\0\x11\x87")

    with ScriptedMQTT({CONNECT: resumed, UNSUBSCRIBE: refuse}) as broker:
        service = on(broker, relay_enabled=False, former_topics=["gone", "old"])
        worker = service.postbus.worker()
        service.wait_error(worker, "end the subscription to old", "not authorised")


@pytest.mark.parametrize(
    ("reason", "words"), [(b"\x87", "not authorised"), (b"\x97", "quota")]
)
def test_a_refused_message_is_a_failed_attempt_with_its_reason(on, reason, words):
    with ScriptedMQTT({PUBLISH: confirm(reason)}) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        (row,) = service.settled(*service.insert(event()))
    assert (row["status"], row["retry_count"]) == ("error", 1)
    assert words in row["last_error"]


def test_a_broker_that_takes_less_than_the_config_wants_is_told(on):
    at_most_0 = packet(CONNACK, b"\0\0\2\x24\0")
    with ScriptedMQTT({CONNECT: lambda *_: at_most_0}) as broker:
        service = on(broker, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "QoS 0 at most", "set qos=0")


def test_wrong_credentials_are_named(on):
    refused = packet(CONNACK, b"\0\x86\0")
    with ScriptedMQTT({CONNECT: lambda *_: refused}) as broker:
        service = on(broker, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "wrong username or password")


def test_a_password_reaches_the_broker_and_nothing_else(on):
    canary = "Kn0blauchbaguette-23"
    heard = []

    def refuse(_, body):
        heard.append(body)
        return packet(CONNACK, b"\0\x86\0")

    with ScriptedMQTT({CONNECT: refuse}) as broker:
        service = on(broker, intake_enabled=False, username="u", password="env:CANARY")
        worker = service.postbus.worker(CANARY=canary)
        service.wait_error(worker, "wrong username or password")
        commands = [["status", "--json"], ["config", "show", "default"], ["status"]]
        shown = [service.postbus.run(*command).stdout for command in commands]
        shown += [worker.output(), str(service.beat(worker))]
    assert canary.encode() in heard[0]
    assert not any(canary in text for text in shown)


def test_a_window_of_one_lets_every_row_through(on):
    """The broker's receive maximum is 1."""
    narrow = packet(CONNACK, b"\0\0\3\x21\0\1")
    with ScriptedMQTT({CONNECT: lambda *_: narrow}) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        rows = service.settled(*service.insert(*(event() for _ in range(50))))
    assert {row["status"] for row in rows} == {"published"}


def test_a_row_beyond_the_brokers_packet_size_is_invalid(on):
    small = packet(CONNACK, b"\0\0\5\x27\0\0\x08\0")
    with ScriptedMQTT({CONNECT: lambda *_: small}) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        rows = [event(payload=f'"{"x" * 4000}"'), event()]
        large, other = service.settled(*service.insert(*rows))
    assert large["status"] == "invalid"
    assert other["status"] == "published"


def test_silence_instead_of_an_answer_to_connect_is_told(on):
    with Listener() as listener:
        service = on(listener, connect_timeout=0.5, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "no answer to CONNECT in time")


def test_a_web_server_on_the_port_is_told(on):
    with WebServer() as listener:
        service = on(listener, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "relay away")
        assert service.count(INBOX) == 0


# ---- brokers that lose, and brokers that say what is no MQTT ----


def message_ids(broker):
    return [re.search(rb'"message_id":"([^"]+)"', body)[1] for *_, body in broker.published]


def test_a_message_whose_confirm_was_lost_goes_again(on):
    """The relay's session begins anew: a new packet, the same message_id."""
    with ScriptedMQTT(first=[{PUBLISH: hang_up}]) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        (row,) = service.settled(*service.insert(event(message_id="m")))
        assert (row["status"], row["retry_count"]) == ("published", 0)
    assert message_ids(broker) == [b"m", b"m"]


@pytest.mark.release
def test_a_confirm_that_never_comes_is_given_up(on):
    """The broker lives and answers pings, but one confirm is lost."""
    with ScriptedMQTT(first=[{PUBLISH: silence}]) as broker:
        service = on(broker, intake_enabled=False)
        rows = service.insert(event(message_id="m"))
        worker = service.postbus.worker(**clocks.fast(30))
        worker.wait_for_line("relay", "away", "did not confirm")
        (row,) = service.settled(*rows)
        assert (row["status"], row["retry_count"]) == ("published", 0)
    assert message_ids(broker) == [b"m", b"m"]


# Short connections look like a quarrel over the client id, with growing pauses.
AT_ONCE = {
    "retry_interval_seconds": 0.05,
    "retry_base_seconds": 0.05,
    "retry_max_seconds": 0.1,
}

GARBAGE = [
    packet(0, b"x"),
    packet(CONNACK, b"\0\0\0"),
    packet(PUBACK, b"\0"),
    packet(PUBACK, b"\0\0"),
    packet(PUBACK, b"\0\1\0\x05\x1f\0\xff\xff\xff"),
    packet(15, b"\x18\0"),
    packet(SUBACK, b"\0\1\0\1"),
    b"\x40\xff\xff\xff\xff\x01",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    packet(14, b"\x8b\0"),  # the server shuts down
]


def test_garbage_ends_the_connection_and_costs_no_row(on):
    """It comes instead of the first confirm; what was sent goes again."""
    tables = [{PUBLISH: lambda *_, g=garbage: g} for garbage in GARBAGE]
    with ScriptedMQTT(first=tables) as broker:
        service = on(broker, intake_enabled=False, **AT_ONCE)
        service.postbus.worker()
        rows = service.settled(*service.insert(event(message_id="a"), event()))
        assert broker.connections == len(GARBAGE) + 1
    assert {row["status"] for row in rows} == {"published"}
    assert {row["retry_count"] for row in rows} == {0}


def delivery(topic, body=b"{}", flags=2):
    """A PUBLISH of QoS 1 with packet id 1 and no properties."""
    size = struct.pack(">H", len(topic))
    return packet(PUBLISH, size + topic + b"\0\1\0" + body, flags)


DELIVERIES = [
    delivery(b"a/\0"),
    delivery(b"a/\xff"),
    delivery(b"a/\xed\xa0\x80"),
    delivery(b"a/+"),
    delivery(b"a/b", flags=6),  # QoS 3
    packet(PUBLISH, b"\xff\xffa", 2),
    packet(PUBLISH, b"\0\3a/b\0\0\0{}", 2),  # packet id 0
    packet(PUBLISH, b"\0\3a/b\0\1\x05\x23\0\7\0\0{}", 2),  # an alias nobody allowed
    packet(PUBLISH, b"\0\3a/b\0\1\x7f{}", 2),  # properties cut off
]


def test_broken_deliveries_end_the_connection_and_are_not_acknowledged(on):
    def granted(more):
        return {SUBSCRIBE: lambda *said: grant(b"\1")(*said) + more}

    acknowledged = []
    good = granted(delivery(b"a/b"))
    good[PUBACK] = lambda _, body: acknowledged.append(body) or b""
    with ScriptedMQTT(good, first=[granted(bad) for bad in DELIVERIES]) as broker:
        service = on(broker, relay_enabled=False, **AT_ONCE)
        worker = service.postbus.worker()
        service.wait_count(INBOX, 1)
        wait_until(lambda: acknowledged)
        worker.stop()
        assert broker.connections == len(DELIVERIES) + 1
    assert len(acknowledged) == 1
    assert service.rejected() == []
