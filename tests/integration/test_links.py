# SPDX-License-Identifier: MIT
"""The network between a worker and its servers: slow, cut, half dead."""

import pytest

from support.mqtt import Hub
from support.process import wait_until
from support.proxy import Proxy
from support.service import INBOX, OUTBOX, event, message

WINDOW = 16
AT_ONCE = {
    "retry_interval_seconds": 0.05,
    "retry_base_seconds": 0.05,
    "retry_max_seconds": 0.1,
}
SLACK = 10  # of a busy machine


class Broker:
    """What sends and hears on the far side, and a service that a proxy leads to."""

    def __init__(self, port, settings, send, sent):
        self.port = port
        self.settings = settings
        self.send = send  # [(message_id, ...)] to the service
        self.sent = sent  # the ids that came from it


@pytest.fixture
def rabbitmq_broker(vhost):
    vhost.declare_queue("probe", "event.orders.#")
    heard = []

    def sent():
        heard.extend(p.message_id for _, p, _ in vhost.take("probe"))
        return heard

    def send(names):
        vhost.publish_all(message(message_id=name) for name in names)

    return Broker(vhost.server.port, vhost.settings(heartbeat_seconds=1), send, sent)


@pytest.fixture
def mqtt_broker(mosquitto):
    hub = Hub(mosquitto)
    settings = hub.settings(keepalive_seconds=2)
    with hub.peer("event/orders/#") as peer:

        def sent():
            return [dict(m.properties.UserProperty)["message_id"] for m in peer.messages]

        def send(names):
            for name in names:
                body, topic, _ = message(message_id=name)
                peer.publish(topic.replace(".", "/"), body)

        yield Broker(mosquitto.port, settings, send, sent)


@pytest.fixture(params=["rabbitmq", "mqtt"])
def broker(request):
    return request.getfixturevalue(f"{request.param}_broker")


@pytest.fixture
def behind(new_service, broker):
    """Makes a service behind a proxy."""

    def make(proxy, **settings):
        settings = {**broker.settings, "port": proxy.port, "window": WINDOW, **settings}
        return new_service("orders", **settings)

    return make


def names(prefix, number):
    return [f"{prefix}-{i}" for i in range(number)]


def cross(service, broker, prefix, number):
    """So many messages each way."""
    out, into = names(f"{prefix}-out", number), names(f"{prefix}-in", number)
    service.insert(*(event(message_id=name) for name in out))
    broker.send(into)
    return set(out), set(into)


def arrived(service, broker, out, into):
    service.wait_count(OUTBOX, len(out), "status = 'published'")
    service.wait_count(INBOX, len(into))
    wait_until(lambda: set(broker.sent()) >= out, what="all that was published")
    assert set(broker.sent()) == out
    assert {row["message_id"] for row in service.inbox()} == into
    assert service.count(OUTBOX, "retry_count > 0") == 0
    assert service.rejected() == []


def test_half_open_link_is_noticed_within_two_heartbeats(behind, broker):
    """A second or two by the settings; nobody is told that the other has gone."""
    with Proxy(broker.port) as proxy:
        service = behind(proxy)
        worker = service.start()
        before = cross(service, broker, "before", 3)
        arrived(service, broker, *before)
        proxy.half_open()
        after = cross(service, broker, "after", 3)
        worker.wait_for_line("relay", "state=away", timeout=2 * 2 + SLACK)
        worker.wait_for_line("intake", "state=away", timeout=2 * 2 + SLACK)
        arrived(service, broker, before[0] | after[0], before[1] | after[1])
        service.wait_lanes(worker, "running", "running")
        worker.stop()


def test_bytes_that_come_one_by_one_are_as_good_as_others(behind, broker):
    with Proxy(broker.port) as proxy:
        proxy.dribble = True
        service = behind(proxy)
        worker = service.start()
        arrived(service, broker, *cross(service, broker, "m", 10))
        assert "away" not in worker.output()
        worker.stop()
        assert len(broker.sent()) == 10


def test_slow_link_delays_and_repeats_nothing(behind, broker):
    with Proxy(broker.port) as proxy:
        proxy.delay = 0.2
        service = behind(proxy)
        worker = service.start()
        arrived(service, broker, *cross(service, broker, "m", 50))
        assert "away" not in worker.output()
        worker.stop()
        assert len(broker.sent()) == 50


@pytest.mark.parametrize("seed", [1, 2])
def test_link_that_is_cut_again_and_again_loses_nothing(behind, broker, seed):
    """Wherever in a frame that is; what was in flight may be on the wire twice."""
    with Proxy(broker.port, seed) as proxy:
        service = behind(proxy, **AT_ONCE)
        service.start()
        proxy.cut_between = (500, 12000)
        proxy.cut()
        crossing = cross(service, broker, "m", 100)
        wait_until(lambda: proxy.cuts >= 10, 60, service.situation)
        proxy.cut_between = None
        arrived(service, broker, *crossing)
    assert len(broker.sent()) <= 100 + proxy.cuts * WINDOW
