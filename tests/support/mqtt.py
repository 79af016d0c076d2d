# SPDX-License-Identifier: MIT
"""An MQTT broker as postbus's config names it, and paho as an independent peer."""

import threading
import uuid

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.process import wait_until
from support.servers import HOST

RABBITMQ_ONLY = {"binding_keys"}


class Hub:
    """A Mosquitto, given to a Service where others are given a vhost."""

    def __init__(self, server):
        self.server = server

    def settings(self, **others):
        """Columns for Postbus.configure that lead here."""
        mine = {k: v for k, v in others.items() if k not in RABBITMQ_ONLY}
        return {
            "broker_type": "mqtt",
            "host": HOST,
            "port": self.server.port,
            "subscribe_topics": ["event/elsewhere/#", "edgex/#"],
            **mine,
        }

    def peer(self, *filters, **options):
        return Peer(self.server.port, *filters, **options)


class Peer:
    """A paho client; `messages` is what it has received. Its session is clean, or
    with version 4 it may be kept."""

    def __init__(self, port, *filters, version=5, client_id=None, qos=1, keep=False):
        self.messages = []
        self._granted = threading.Event()
        self._filters = [(name, qos) for name in filters]
        self.client = paho.Client(
            client_id or f"peer-{uuid.uuid4().hex}",
            clean_session=None if version == 5 else not keep,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
        )
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._granted.set()
        self.client.on_message = lambda _client, _data, m: self.messages.append(m)
        self.client.connect(HOST, port)
        self.client.loop_start()
        assert self._granted.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client, *_):
        if self._filters:
            client.subscribe(self._filters)
        else:
            self._granted.set()

    def wait(self, number):
        """The first messages, once so many have come."""
        wait_until(lambda: len(self.messages) >= number, 30, f"{number} messages")
        return self.messages[:number]

    def publish(self, topic, body, qos=1, retain=False, **properties):
        """Returns once the broker has confirmed it."""
        made = None
        if properties:
            made = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(made, name, value)
        info = self.client.publish(topic, body, qos, retain, properties=made)
        info.wait_for_publish(30)
        assert info.is_published()
