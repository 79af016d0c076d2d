# SPDX-License-Identifier: MIT
"""The MQTT intake is killed, and its database goes away, while messages come."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing

import pytest

from support.mqtt import Hub
from support.process import wait_until
from support.service import INBOX, encode, envelope

KILLS = 30
ROUND = 40


@pytest.fixture
def service(new_service, mosquitto):
    return new_service(
        "orders", vhost=Hub(mosquitto), qos=2, relay_enabled=False, keepalive_seconds=2
    )


def begin_to_send(peer, numbers):
    """Half of them at QoS 1, half at 2."""
    topic = "event/elsewhere/thing/happened"
    bodies = {n: envelope(message_id=f"m-{n}", payload={"n": n}) for n in numbers}
    return [
        peer.client.publish(topic, encode(body), 1 + number % 2)
        for number, body in bodies.items()
    ]


def wait_sent(infos):
    wait_until(lambda: all(info.is_published() for info in infos), 60, "confirms")


def send(peer, numbers):
    """Returns once the broker has them all."""
    wait_sent(begin_to_send(peer, numbers))


def assert_all_there_once(service, number):
    service.wait_count(INBOX, number)
    arrived = Counter(row["message_id"] for row in service.inbox())
    assert arrived == Counter(f"m-{n}" for n in range(number))
    assert service.rejected() == []


def test_thirty_kills_lose_nothing_and_repeat_nothing(service, mosquitto):
    service.start(relay=None).stop()  # the broker knows the session from now on
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    sent = 0
    with Hub(mosquitto).peer() as peer:
        for _ in range(KILLS):
            worker = service.postbus.worker()
            infos = begin_to_send(peer, range(sent, sent + ROUND))
            sent += ROUND
            more = service.count(INBOX) + chance.randrange(ROUND)
            wait_until(lambda: service.count(INBOX) >= more)
            worker.kill()
            wait_sent(infos)
        worker = service.start(relay=None)
        assert_all_there_once(service, sent)
        worker.stop()
        assert_all_there_once(service, sent)


def test_kills_between_deliveries_and_commits(service, mosquitto):
    """A database that is locked when the kill comes: nothing was acknowledged."""
    service.start(relay=None).stop()
    with Hub(mosquitto).peer() as peer:
        for number in range(5):
            with closing(sqlite3.connect(service.database.path)) as lock:
                worker = service.start(relay=None)
                lock.execute("BEGIN IMMEDIATE")
                send(peer, [number])
                service.postbus.workers[-1].wait_for_output("stalled")
                worker.kill()
    service.start(relay=None)
    assert_all_there_once(service, 5)


def test_a_database_away_for_two_keep_alives_costs_nothing(service, mosquitto):
    worker = service.start(relay=None)
    with Hub(mosquitto).peer() as peer:
        with closing(sqlite3.connect(service.database.path)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            send(peer, range(200))
            worker.wait_for_output("stalled")
            time.sleep(2 * 2 + 1)  # two keep-alives, and they are over
        assert_all_there_once(service, 200)
    assert "state=away" not in worker.output(), worker.output()
