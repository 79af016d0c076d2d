# SPDX-License-Identifier: MIT
"""kill -9, again and again, while messages cross both ways."""

import random
from collections import Counter

from support.process import wait_until
from support.service import INBOX, OUTBOX, event, message

KILLS = 20
WINDOW = 64
ROUND = 200  # what is added each way before each kill
KEYS = 5


class Ledger:
    """What was handed over, and what the broker has seen of it."""

    def __init__(self, service, vhost):
        self.service = service
        self.vhost = vhost
        self.written = 0
        self.sent = []
        self.wire = []  # message ids as a consumer saw them, repeats included

    def add(self, number):
        """That many rows in the outbox, and messages in the queue."""
        rows = [
            event(
                message_id=f"out-{i}",
                ordering_key=f"key-{i % KEYS}" if i % 2 else None,
                payload=str(i),
            )
            for i in range(self.written, self.written + number)
        ]
        self.service.insert(*rows)
        self.written += number
        ids = [f"in-{len(self.sent) + i}" for i in range(number)]
        self.vhost.publish_all(
            message(message_id=name, payload={"id": name}) for name in ids
        )
        self.sent += ids

    def look_at_wire(self):
        for _, properties, body in self.vhost.take("probe"):
            number = properties.message_id.removeprefix("out-")
            assert body.endswith(f'"payload":{number}}}'.encode())
            self.wire.append(properties.message_id)

    def judge(self):
        """With no worker alive: nothing is claimed that has not happened."""
        self.look_at_wire()
        published = self.service.outbox("status = 'published'")
        assert {row["message_id"] for row in published} <= set(self.wire)
        assert not self.service.outbox("status NOT IN ('pending', 'published')")
        wait_until(lambda: self.vhost.consumers("orders") == 0)
        waiting = self.vhost.count("orders")
        accepted = self.service.count(INBOX)
        assert waiting + accepted >= len(self.sent)
        return len(published), accepted


def run_until_killed(service, chance, published, accepted):
    """A worker that dies somewhere after it has moved something, or before."""
    worker = service.postbus.worker()
    if chance.random() < 0.9:
        more = chance.randrange(ROUND // 2)
        wait_until(
            lambda: service.count(OUTBOX, "status = 'published'") > published + more
            or service.count(INBOX) > accepted + more
        )
    else:
        worker.wait_for_output("started")
    worker.kill()


def in_order(wire, chosen):
    """First deliveries of those rows are in the order that they were written."""
    numbers = [int(name.removeprefix("out-")) for name in dict.fromkeys(wire)]
    numbers = list(filter(chosen, numbers))
    assert len(numbers) > 1 and numbers == sorted(numbers)


def test_twenty_kills_lose_nothing_and_repeat_little(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", window=WINDOW, prefetch_count=WINDOW)
    service.start().stop()  # the queue is there from now on
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")  # of the moments chosen, for a failure's report
    ledger = Ledger(service, vhost)
    published = accepted = in_traffic = 0

    for kill in range(KILLS):
        ledger.add(2 * ROUND if kill == 0 else ROUND)
        run_until_killed(service, chance, published, accepted)
        published, accepted = ledger.judge()
        in_traffic += published < ledger.written and accepted < len(ledger.sent)
    assert in_traffic >= KILLS // 2, "the worker was too quick to be killed"

    worker = service.start()
    service.wait_count(OUTBOX, ledger.written, "status = 'published'")
    service.wait_count(INBOX, len(ledger.sent))
    worker.stop()
    ledger.judge()

    everything = [f"out-{i}" for i in range(ledger.written)]
    times = Counter(ledger.wire)
    assert set(times) == set(everything)
    assert len(ledger.wire) - len(everything) <= KILLS * WINDOW
    in_order(ledger.wire, lambda number: number % 2 == 0)
    for key in range(KEYS):
        in_order(ledger.wire, lambda number, key=key: number % 2 and number % KEYS == key)

    arrived = Counter(row["message_id"] for row in service.inbox())
    assert set(arrived) == set(ledger.sent)
    assert set(arrived.values()) == {1}
    assert all(f'"id": "{r["message_id"]}"' in r["payload"] for r in service.inbox())
    assert vhost.count("orders") == 0
    assert service.rejected() == []
