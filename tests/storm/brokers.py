# SPDX-License-Identifier: MIT
"""The brokers of the storm, each with a witness of all that crosses it.

The witness is a queue of its own, beside the receivers', that nobody reads
before the storm is over. One that was read meanwhile would be given again,
after a crash, what it has acknowledged; that would look like a duplicate.
"""

import json
import time

from support.mqtt import Hub, Peer
from support.process import wait_until
from support.servers import Mosquitto, RabbitMQ
from support.vhost import Vhost

WITNESS = "witness"
RECEIVERS = ("left", "right")
END = "event/end"  # what comes after all else
CHUNK = 10000  # messages; no more than AMQP lets a consumer have


class OverRabbitMQ:
    """Through quorum queues, with heartbeats of two seconds."""

    standby = ("standby", "running")  # of two workers the second one's lanes
    tells_unroutable = True
    crashes = True  # may be killed, and has then what it has confirmed
    silence = 2 * 2  # seconds after which a half-open link is noticed

    def __init__(self):
        self.server = RabbitMQ()
        self.place = Vhost(self.server, "/")

    def watch(self, topic="event.#"):
        """The witness sees from now on what is sent there."""
        self.place.declare_queue(WITNESS, topic)

    def settings(self, name, sender, window):
        """Of the service of that name, which receives from the sender."""
        return {
            "binding_keys": [f"event.{sender}.#"],
            "prefetch_count": window,
            "heartbeat_seconds": self.silence // 2,
        }

    def troubles(self):
        """What it may do to workers, besides going away."""
        return {
            "broker blocked": self._block,
            "connections closed": self._close_connections,
            "junk delivered": self._deliver_junk,
        }

    def _block(self):
        with self.server.alarm():
            time.sleep(0.5)

    def _close_connections(self):
        self.server.eval(
            'rabbit_networking:close_connections(rabbit_networking:connections(), "soak")'
        )

    def _deliver_junk(self):
        """Past the witness, straight into the queues."""
        junk = [(b"junk", queue, {}) for queue in RECEIVERS for _ in range(20)]
        self.place.publish_all(junk, exchange="")

    def wire(self):
        """The message ids that crossed it, in order, repeats included."""
        names = []
        while left := self.place.count(WITNESS):
            messages = self.place.receive(WITNESS, min(left, CHUNK))
            names += [properties.message_id for _, properties, _ in messages]
        return names


class OverMosquitto:
    """At QoS 1, with sessions that are kept. It loses what it has acknowledged
    when it is killed, so it is only stopped."""

    standby = ("standby", "standby")
    tells_unroutable = False
    crashes = False
    silence = 2 * 2

    def __init__(self):
        self.server = Mosquitto()
        self.place = Hub(self.server)

    def watch(self):
        with self._witness():
            pass

    def _witness(self):
        return Peer(self.server.port, "event/#", client_id=WITNESS, version=4, keep=True)

    def settings(self, name, sender, window):
        return {
            "client_id": name,
            "subscribe_topics": [f"event/{sender}/#"],
            "receive_maximum": window,
            "keepalive_seconds": self.silence // 2,
        }

    def troubles(self):
        return {}

    def wire(self):
        """The broker says when it may be repeating itself."""
        with self._witness() as peer:
            peer.publish(END, b"")
            wait_until(lambda: any(m.topic == END for m in peer.messages), 120, END)
        names, seen = [], set()
        for message in peer.messages[:-1]:
            name = json.loads(message.payload)["message_id"]
            if not (message.dup and name in seen):
                names.append(name)
            seen.add(name)
        return names


BROKERS = {"rabbitmq": OverRabbitMQ, "mqtt": OverMosquitto}
