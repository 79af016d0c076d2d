# SPDX-License-Identifier: MIT
"""RabbitMQ's MQTT plugin as the broker: version 3.1.1, QoS 1 at most, AMQP beside it."""

import json

import pytest

from support.mqtt import Hub
from support.process import free_port, wait_until
from support.servers import HOST, RabbitMQ
from support.service import INBOX, encode, envelope, event


class PluginHub(Hub):
    """A RabbitMQ whose `port` is that of its MQTT plugin."""

    def __init__(self, rabbitmq, port):
        super().__init__(self)
        self.rabbitmq = rabbitmq
        self.port = port

    def settings(self, **others):
        login = {"username": "guest", "password": "env:POSTBUS_TEST_PASSWORD"}
        return super().settings(**{**login, **others})


@pytest.fixture(scope="module")
def hub():
    port = free_port()
    listener = f"mqtt.listeners.tcp.1 = {HOST}:{port}"
    with RabbitMQ(listener, plugins=["mqtt"]) as server:
        yield PluginHub(server, port)


@pytest.fixture
def new_mqtt(new_service, hub, request):
    def make(**settings):
        mine = {"client_id": request.node.name, **settings}
        return new_service("orders", vhost=hub, **mine)

    return make


def test_version_5_falls_back_and_rows_cross_both_ways(new_mqtt):
    service = new_mqtt(subscribe_topics=["event/orders/#"])
    service.start()
    seqs = service.insert(*(event(payload=str(i)) for i in range(100)))
    assert {row["status"] for row in service.settled(*seqs)} == {"published"}
    service.wait_count(INBOX, 100)
    rows = service.inbox()
    assert [row["payload"] for row in rows] == [str(i) for i in range(100)]
    assert {row["topic"] for row in rows} == {"event.orders.thing.happened"}


def test_amqp_services_read_and_are_read(new_mqtt, hub):
    service = new_mqtt()
    service.start()
    connection = hub.rabbitmq.connect("/")
    channel = connection.channel()
    channel.queue_declare("probe")
    channel.queue_bind("probe", "amq.topic", "event.orders.#")
    service.settled(*service.insert(event(payload='{"a": 1}')))
    found = wait_until(lambda: channel.basic_get("probe", auto_ack=True)[2], 30)
    body = encode(envelope(message_id="from-amqp"))
    channel.basic_publish("amq.topic", "event.elsewhere.thing.happened", body)
    connection.close()
    assert json.loads(found)["payload"] == {"a": 1}
    service.wait_count(INBOX, 1)
    assert service.inbox()[0]["message_id"] == "from-amqp"


def test_what_came_while_the_worker_was_gone_is_there_when_it_is_back(new_mqtt, hub):
    service = new_mqtt(relay_enabled=False)
    service.start(relay=None).kill()
    connection = hub.rabbitmq.connect("/")
    channel = connection.channel()
    for i in range(50):
        body = encode(envelope(message_id=f"late-{i}"))
        channel.basic_publish("amq.topic", "event.elsewhere.thing.happened", body)
    connection.close()
    service.start(relay=None)
    service.wait_count(INBOX, 50)


def test_qos_2_is_lowered_and_that_is_told(new_mqtt):
    service = new_mqtt(qos=2, relay_enabled=False)
    worker = service.postbus.worker()
    service.wait_error(worker, "only QoS 1", "set qos=1")
