# SPDX-License-Identifier: MIT
"""Brokers that say what a test tells them to, for what no real one says on demand.

A case is a table: what the client said -> what is answered. An answer is a
function of the client's words that gives bytes, or None to hang up; what a
table leaves out is answered as a good broker would. `first` are tables for the
first connections, one each: whatever comes after them finds a good broker.
"""

import contextlib
import struct

from pika import frame, spec

from support.listeners import Listener


class ScriptedBroker(Listener):
    """Serves one connection after the other: give it one lane."""

    good = {}  # what a good broker answers

    def __init__(self, answers=None, first=()):
        super().__init__()
        self._answers = {**self.good, **(answers or {})}
        self._first = [{**self._answers, **table} for table in first]

    def serve(self, peer):
        self.begin()
        answers = self._answers
        if self.connections <= len(self._first):
            answers = self._first[self.connections - 1]
        with contextlib.suppress(EOFError, OSError):
            while (answer := self.converse(peer, answers)) is not None:
                peer.sendall(answer)

    def begin(self):
        """A new connection: what is counted for each begins anew."""

    def converse(self, peer, answers):
        """Reads what comes next; the answer to it, None to hang up."""
        raise NotImplementedError

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


def silence(*_):
    """An answer: none."""
    return b""


def hang_up(*_):
    """An answer: the end."""
    return None


# ---- AMQP: (broker, method) -> bytes; a publish is asked for once it is whole ----


class ScriptedAMQP(ScriptedBroker):
    """Keeps what was `published`, (tag, message_id) of each connection, and what
    was `acknowledged`. Answers are found by a method's name."""

    def __init__(self, answers=None, first=()):
        super().__init__(answers, first)
        self.published = []
        self.acknowledged = []

    def begin(self):
        self.tag = 0
        self._message_id = None

    def converse(self, peer, answers):
        said = self._read(peer)
        if isinstance(said, frame.Heartbeat):
            return frame.Heartbeat().marshal()
        if isinstance(said, frame.ProtocolHeader):
            return self._answer(answers, spec.Connection.Start, None)
        if isinstance(said, frame.Header):
            self._message_id = said.properties.message_id
            return self._receive(answers, said.body_size)
        if isinstance(said, frame.Body):
            return self._receive(answers, -len(said.fragment))
        if isinstance(said.method, spec.Basic.Publish):
            self._left = 0
            return b""
        if isinstance(said.method, spec.Basic.Ack):
            self.acknowledged.append(said.method.delivery_tag)
        return self._answer(answers, said.method, said.method)

    def _read(self, peer):
        start = self.read_bytes(peer, 7)
        size = 1 if start.startswith(b"AMQP") else struct.unpack(">L", start[3:])[0] + 1
        return frame.decode_frame(start + self.read_bytes(peer, size))[1]

    def _receive(self, answers, more):
        """Part of a message; its answer once nothing is missing."""
        self._left += more
        if self._left > 0:
            return b""
        self.tag += 1
        self.published.append((self.tag, self._message_id))
        return self._answer(answers, spec.Basic.Publish, None)

    def _answer(self, answers, what, method):
        return answers[what.NAME](self, method)


def method(said, channel=1):
    """The frame of one of pika's methods."""
    return frame.Method(channel, said).marshal()


def raw(kind, payload=b"", channel=1, size=None, end=b"\xce"):
    """Any frame, a wrong one too."""
    size = len(payload) if size is None else size
    return struct.pack(">BHL", kind, channel, size) + payload + end


def say(said, channel=1):
    """An answer: always this method."""
    return lambda *_: method(said, channel)


def ack(broker, _):
    return method(spec.Basic.Ack(broker.tag))


def close_channel(code, text, culprit=spec.Basic.Publish):
    """An answer: the channel's end, as RabbitMQ words it."""
    number = culprit.INDEX
    return say(spec.Channel.Close(code, text, number >> 16, number & 0xFFFF))


def deliver(tag, body, announced=None, properties=b"\0\0"):
    """A message to consumer `postbus`; its size may be announced wrongly."""
    announced = len(body) if announced is None else announced
    header = struct.pack(">HHQ", 60, 0, announced) + properties
    where = spec.Basic.Deliver("postbus", tag, False, "x", "event.elsewhere.a.b")
    return method(where) + raw(2, header) + raw(3, body)


ScriptedAMQP.good = {
    "Connection.Start": say(spec.Connection.Start(0, 9, {}, "PLAIN", "en_US"), 0),
    "Connection.StartOk": say(spec.Connection.Tune(2047, 131072, 60), 0),
    "Connection.TuneOk": silence,
    "Connection.Open": say(spec.Connection.OpenOk(), 0),
    "Connection.Close": say(spec.Connection.CloseOk(), 0),
    "Connection.CloseOk": hang_up,
    "Channel.Open": say(spec.Channel.OpenOk()),
    "Channel.Close": say(spec.Channel.CloseOk()),
    "Channel.CloseOk": silence,
    "Exchange.Declare": say(spec.Exchange.DeclareOk()),
    "Queue.Declare": say(spec.Queue.DeclareOk("orders", 0, 0)),
    "Queue.Bind": say(spec.Queue.BindOk()),
    "Confirm.Select": say(spec.Confirm.SelectOk()),
    "Basic.Qos": say(spec.Basic.QosOk()),
    "Basic.Consume": say(spec.Basic.ConsumeOk("postbus")),
    "Basic.Cancel": say(spec.Basic.CancelOk("postbus")),
    "Basic.Publish": ack,
    "Basic.Ack": silence,
}


# ---- MQTT: (version, body) -> bytes ----

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK = 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


class ScriptedMQTT(ScriptedBroker):
    """Answers are found by a packet's type; `versions` is what clients asked for,
    `published` the packet ids, DUP and bodies of what they published."""

    def __init__(self, answers=None, first=()):
        super().__init__(answers, first)
        self.versions = []
        self.published = []

    def begin(self):
        self._version = 5

    def converse(self, peer, answers):
        kind, flags, body = self._read_packet(peer)
        if kind == CONNECT:
            self._version = body[6]
            self.versions.append(self._version)
        if kind == PUBLISH:
            self.published.append((packet_id(body), bool(flags & 8), body))
        return answers[kind](self._version, body)

    def _read_packet(self, peer):
        first = self.read_bytes(peer, 1)[0]
        size = shift = 0
        while True:
            byte = self.read_bytes(peer, 1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first >> 4, first & 15, self.read_bytes(peer, size)


def packet(kind, body=b"", flags=0):
    assert len(body) < 128
    return bytes([kind << 4 | flags, len(body)]) + body


def packet_id(publish):
    size = struct.unpack(">H", publish[:2])[0]
    return publish[2 + size : 4 + size]


def welcome(version, _):
    return packet(CONNACK, b"\0\0\0" if version == 5 else b"\0\0")


def resumed(version, _):
    """A welcome to a session that was kept."""
    return packet(CONNACK, b"\1\0\0" if version == 5 else b"\1\0")


def end_subscription(version, body):
    return packet(UNSUBACK, body[:2] + (b"\0\0" if version == 5 else b""))


def grant(code):
    def answer(version, body):
        return packet(SUBACK, body[:2] + (b"\0" if version == 5 else b"") + code)

    return answer


def confirm(reason):
    def answer(_, body):
        return packet(PUBACK, packet_id(body) + reason)

    return answer


ScriptedMQTT.good = {
    CONNECT: welcome,
    SUBSCRIBE: grant(b"\1"),
    UNSUBSCRIBE: end_subscription,
    PUBLISH: confirm(b""),
    PUBACK: silence,
    PINGREQ: lambda *_: packet(PINGRESP),
    DISCONNECT: hang_up,
}
