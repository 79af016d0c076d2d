# SPDX-License-Identifier: MIT
"""MQTT brokers that Mosquitto is not: old, lowering, refusing, silent."""

import contextlib
import struct

import pytest

from support.listeners import Listener, WebServer
from support.mqtt import Hub
from support.process import wait_until
from support.service import INBOX, event

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK = 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


class ScriptedBroker(Listener):
    """Answers packets by the table `answers`: type -> (version, body) -> bytes."""

    def __init__(self, **answers):
        super().__init__()
        self.answers = answers
        self.versions = []

    def serve(self, peer):
        version = 5
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, body = self.read_packet(peer)
                if kind == CONNECT:
                    version = body[6]
                    self.versions.append(version)
                answer = self.answer(kind, version, body)
                if answer is None:
                    return
                peer.sendall(answer)

    def answer(self, kind, version, body):
        names = {
            **{CONNECT: "connect", PUBLISH: "publish"},
            **{SUBSCRIBE: "subscribe", UNSUBSCRIBE: "unsubscribe"},
        }
        if kind == PINGREQ:
            return packet(PINGRESP)
        if kind == DISCONNECT:
            return None
        return self.answers.get(names.get(kind), DEFAULTS[kind])(version, body)

    def read_packet(self, peer):
        kind = self.read_bytes(peer, 1)[0] >> 4
        size = shift = 0
        while True:
            byte = self.read_bytes(peer, 1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, self.read_bytes(peer, size)

    def read_bytes(self, peer, size):
        data = b""
        while len(data) < size:
            more = None
            with contextlib.suppress(TimeoutError):
                more = peer.recv(size - len(data))
            if more == b"" or self._ended.is_set():
                raise EOFError
            data += more or b""
        return data


def packet(kind, body=b""):
    assert len(body) < 128
    return bytes([kind << 4, len(body)]) + body


def welcome(version, _):
    return packet(CONNACK, b"\0\0\0" if version == 5 else b"\0\0")


def grant(code):
    def answer(version, body):
        return packet(SUBACK, body[:2] + (b"\0" if version == 5 else b"") + code)

    return answer


def confirm(reason):
    def answer(_, body):
        size = struct.unpack(">H", body[:2])[0]
        return packet(PUBACK, body[2 + size : 4 + size] + reason)

    return answer


def end_subscription(version, body):
    return packet(UNSUBACK, body[:2] + (b"\0\0" if version == 5 else b""))


DEFAULTS = {
    **{CONNECT: welcome, PUBLISH: confirm(b"")},
    **{SUBSCRIBE: grant(b"\1"), UNSUBSCRIBE: end_subscription},
}


def resumed(version, _):
    return packet(CONNACK, b"\1\0\0" if version == 5 else b"\1\0")


def silence(*_):
    return b""


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


@pytest.mark.parametrize("refusal", [only_version_3, says_84, hangs_up])
def test_a_broker_without_version_5_is_asked_with_3_at_once(on, refusal):
    with ScriptedBroker(connect=refusal) as broker:
        service = on(broker, intake_enabled=False, retry_interval_seconds=600)
        service.start(intake=None)
        assert broker.versions == [5, 4]
        (row,) = service.settled(*service.insert(event()))
        assert row["status"] == "published"


def test_a_lower_qos_is_an_error_that_says_what_to_set(on):
    with ScriptedBroker(subscribe=grant(b"\0")) as broker:
        service = on(broker, relay_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "gives a/b only QoS 0", "set qos=0")


@pytest.mark.parametrize(
    ("code", "words"), [(b"\x80", "no reason"), (b"\x87", "not authorised")]
)
def test_a_refused_subscription_is_an_error_with_its_reason(on, code, words):
    with ScriptedBroker(subscribe=grant(code)) as broker:
        service = on(broker, relay_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "refuses the subscription to a/b", words)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("connect", [welcome, resumed])
def test_silence_instead_of_an_answer_to_subscribe_is_told(on, version, connect):
    with ScriptedBroker(connect=connect, subscribe=silence) as broker:
        patience = {"connect_timeout": 0.5, "retry_interval_seconds": 0.1}
        service = on(broker, relay_enabled=False, protocol_version=version, **patience)
        worker = service.postbus.worker()
        service.wait_error(worker, "no answer to SUBSCRIBE in time")
        wait_until(lambda: broker.connections >= 2)


def test_a_subscription_that_cannot_be_ended_is_an_error_with_its_reason(on):
    def refuse(_, body):
        return packet(UNSUBACK, body[:2] + b"\0\x11\x87")

    with ScriptedBroker(connect=resumed, unsubscribe=refuse) as broker:
        service = on(broker, relay_enabled=False, former_topics=["gone", "old"])
        worker = service.postbus.worker()
        service.wait_error(worker, "end the subscription to old", "not authorised")


@pytest.mark.parametrize(
    ("reason", "words"), [(b"\x87", "not authorised"), (b"\x97", "quota")]
)
def test_a_refused_message_is_a_failed_attempt_with_its_reason(on, reason, words):
    with ScriptedBroker(publish=confirm(reason)) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        (row,) = service.settled(*service.insert(event()))
    assert (row["status"], row["retry_count"]) == ("error", 1)
    assert words in row["last_error"]


def test_a_broker_that_takes_less_than_the_config_wants_is_told(on):
    at_most_0 = packet(CONNACK, b"\0\0\2\x24\0")
    with ScriptedBroker(connect=lambda *_: at_most_0) as broker:
        service = on(broker, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "QoS 0 at most", "set qos=0")


def test_wrong_credentials_are_named(on):
    refused = packet(CONNACK, b"\0\x86\0")
    with ScriptedBroker(connect=lambda *_: refused) as broker:
        service = on(broker, intake_enabled=False)
        worker = service.postbus.worker()
        service.wait_error(worker, "wrong username or password")


def test_a_window_of_one_lets_every_row_through(on):
    """The broker's receive maximum is 1."""
    narrow = packet(CONNACK, b"\0\0\3\x21\0\1")
    with ScriptedBroker(connect=lambda *_: narrow) as broker:
        service = on(broker, intake_enabled=False)
        service.start(intake=None)
        rows = service.settled(*service.insert(*(event() for _ in range(50))))
    assert {row["status"] for row in rows} == {"published"}


def test_a_row_beyond_the_brokers_packet_size_is_invalid(on):
    small = packet(CONNACK, b"\0\0\5\x27\0\0\x08\0")
    with ScriptedBroker(connect=lambda *_: small) as broker:
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
