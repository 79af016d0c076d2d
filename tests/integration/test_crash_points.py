# SPDX-License-Identifier: MIT
"""kill -9 at every named point of a worker's life, between every store and broker.

A dry run counts the points that a life passes, then a life ends at each.
"""

import json
import os
import random
import re
import signal
from collections import Counter

import pytest

from support.mqtt import Hub
from support.postbus import Postbus
from support.process import wait_until
from support.service import INBOX, OUTBOX, encode, envelope, event, message

pytestmark = pytest.mark.testing

ROUND = 8  # messages each way in each life
KEYS = 2
WINDOW = 16
PAYLOAD = 3000  # more than SQLite has memory for without asking for it
PASSED = re.compile(r"^crash-point (\S+) (\d+)$", re.M)


class RabbitMQWire:
    """What others send, and what they see of us."""

    def __init__(self, vhost):
        self.hub = vhost
        self._seen = []
        vhost.declare_queue("probe", "event.orders.#")

    def send(self, names):
        self.hub.publish_all(message(message_id=name) for name in names)

    def seen(self):
        """The message ids of all that was ever published, repeats included."""
        taken = self.hub.take("probe")
        self._seen += [properties.message_id for _, properties, _ in taken]
        return self._seen

    def close(self):
        pass


class MosquittoWire:
    def __init__(self, server):
        self.hub = Hub(server)
        self._peer = self.hub.peer("event/orders/#")

    def send(self, names):
        for name in names:
            body = encode(envelope(message_id=name))
            self._peer.publish("event/elsewhere/thing/happened", body)

    def seen(self):
        messages = list(self._peer.messages)
        return [re.search(rb'"message_id":"([^"]+)"', m.payload)[1].decode() for m in messages]

    def close(self):
        self._peer.__exit__()


@pytest.fixture(params=["rabbitmq", "mosquitto"])
def wire(request):
    if request.param == "rabbitmq":
        wire = RabbitMQWire(request.getfixturevalue("vhost"))
    else:
        wire = MosquittoWire(request.getfixturevalue("mosquitto"))
    yield wire
    wire.close()


class Life:
    """A service whose workers die; `out` and `sent` are what has to arrive."""

    def __init__(self, service, wire):
        self.service = service
        self.wire = wire
        self.out = []
        self.sent = []
        self.kills = 0

    def add(self):
        names = [f"out-{len(self.out) + i}" for i in range(ROUND)]
        self.service.insert(
            *(
                event(
                    message_id=name,
                    ordering_key=f"key-{i % KEYS}" if i % 2 else None,
                    payload=json.dumps("x" * PAYLOAD),
                )
                for i, name in enumerate(names)
            )
        )
        self.out += names
        names = [f"in-{len(self.sent) + i}" for i in range(ROUND)]
        self.wire.send(names)
        self.sent += names

    def done(self):
        pending = f"SELECT count(*) FROM {OUTBOX} WHERE status = 'pending'"
        rows = self.service.database.rows(
            f"SELECT ({pending}) AS pending, (SELECT count(*) FROM {INBOX}) AS arrived"
        )
        return rows == [{"pending": 0, "arrived": len(self.sent)}]

    def live(self, crash):
        """A worker's whole life with new messages; how it ended, and what it said."""
        self.add()
        worker = self.service.postbus.worker(POSTBUS_CRASH=crash)
        wait_until(
            lambda: not worker.running() or self.done() and self.service.beat(worker),
            60,
            lambda: f"{crash}: {self.service.situation()}",
        )
        if worker.running():
            os.kill(worker.pid, signal.SIGTERM)
        return worker.wait(), worker.output()

    def die(self, point, nth):
        code, output = self.live(f"{point}:{nth}")
        self.kills += 1
        assert code == -signal.SIGKILL, f"{point}:{nth} was not passed\n{output}"
        self.judge_marks(f"{point}:{nth}")

    def judge_marks(self, where):
        """Nothing is claimed that has not happened."""
        marked = {row["message_id"] for row in self.service.outbox("status = 'published'")}
        wait_until(lambda: marked <= set(self.wire.seen()), 10, f"{where}: what is marked")
        assert self.service.count(OUTBOX, "status NOT IN ('pending', 'published')") == 0

    def judge(self):
        """A worker that is let live finishes it all."""
        worker = self.service.start()
        wait_until(self.done, 60, self.service.situation)
        worker.stop()
        arrived = Counter(row["message_id"] for row in self.service.inbox())
        assert arrived == Counter(self.sent)
        assert self.service.rejected() == []
        self.judge_marks("the end")
        self.judge_wire(self.wire.seen())

    def judge_wire(self, seen):
        assert set(seen) == set(self.out)
        assert len(seen) - len(self.out) <= self.kills * WINDOW
        first = list(dict.fromkeys(seen))
        for key in range(KEYS):
            mine = {n for i, n in enumerate(self.out) if i % 2 and i % ROUND % KEYS == key}
            in_order = [name for name in self.out if name in mine]
            assert [name for name in first if name in mine] == in_order


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request):
    return request.param


@pytest.fixture
def life(new_service, wire):
    service = new_service(
        "orders", vhost=wire.hub, window=WINDOW, retry_interval_seconds=0.1
    )
    service.start().stop()  # the queue, or the session, is there from now on
    return Life(service, wire)


def passes(life):
    """How often a whole life passes each point."""
    code, output = life.live("count")
    counts = {name: int(number) for name, number in PASSED.findall(output)}
    assert code == 0 and counts, output
    return {name: number for name, number in counts.items() if number > 0}


EVERYWHERE = {
    *("configured", "connect", "opened", "up", "locked", "heartbeat"),
    *("claim", "claimed", "publish", "relay-flushed", "confirmed", "settle", "settled"),
    *("delivered", "accept", "accepted", "acknowledged"),
    *("intake-flushed", "drain", "relay-goodbye", "intake-goodbye", "farewell"),
}


def test_worker_that_dies_at_any_point_loses_and_repeats_nothing(life):
    counts = passes(life)
    assert EVERYWHERE <= set(counts)
    for point in counts:
        life.die(point, 1)
    life.judge()


@pytest.mark.slow
def test_worker_that_dies_at_later_passes_loses_and_repeats_nothing(life):
    """What a life passes often it dies at three times; each life comes into what
    the one before has left."""
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    for point, number in passes(life).items():
        # How often depends on how things fall into batches: half is safe.
        for nth in {1, 2, 1 + chance.randrange(max(1, number // 2))}:
            if nth <= max(1, number // 2):
                life.die(point, nth)
    life.judge()


@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def test_worker_killed_again_while_it_recovers_loses_and_repeats_nothing(life):
    for first in "publish", "accepted":
        for second in "claimed", "confirmed", "delivered":
            life.die(first, 1)
            life.die(second, 1)
    life.judge()


def test_migrating_that_dies_half_way_is_finished_by_the_next(database, tmp_path):
    with Postbus(database, tmp_path) as postbus:
        crashes = ["migrated:1", "migrated:1"]
        if database.url.startswith("postgresql"):
            crashes.append("migrated:2")  # SQLite has one so far
        for crash in crashes:
            result = postbus.run("migrate", check=False, POSTBUS_CRASH=crash)
            assert result.returncode == -signal.SIGKILL
            assert postbus.run("migrate", "--check", check=False).returncode == 1
        postbus.run("migrate")
        postbus.run("migrate", "--check")
        assert database.rows("SELECT count(*) AS n FROM event_bus_outbound_event")[0]["n"] == 0
