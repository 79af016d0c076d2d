# SPDX-License-Identifier: MIT
"""Two services, two workers each; everything is killed while they talk."""

import random
from collections import Counter

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, event

KEYS = 10
WINDOW = 256


class Side:
    """A service that sends to the other one, and its workers."""

    def __init__(self, service, other):
        self.service = service
        self.topic = f"event.{service.name}.{other}.told"
        self.workers = [service.start(), service.start(relay="standby")]
        self.written = 0

    def write(self, number):
        """Every other row has one of the keys."""
        self.service.insert(
            *[
                event(
                    topic=self.topic,
                    message_id=f"{self.service.name}-{i}",
                    ordering_key=f"key-{i % KEYS}" if i % 2 else None,
                )
                for i in range(self.written, self.written + number)
            ]
        )
        self.written += number

    def published(self):
        return self.service.count(OUTBOX, "published")

    def kill_worker(self, chance):
        self.workers.pop(chance.randrange(2)).kill()
        self.workers.append(self.service.postbus.worker())

    def names(self):
        return {f"{self.service.name}-{i}" for i in range(self.written)}


def ends(server, number):
    """Restarts and crashes of a server, in turn, as many as asked for."""
    for i in range(number):
        yield (server.stop, server.kill)[i % 2], server.start


def plan(kills, servers):
    """What is ended each time: None is a worker; a server's turn comes once in
    ten, and twice at least: a restart and a crash."""
    order = [None] * kills
    each = max(2, kills // 10)
    total = each * len(servers)
    sources = [ends(server, each) for server in servers]
    for i in range(total):
        order[kills * (i + 1) // (total + 1)] = next(sources[i % len(servers)])
    return order


def end_something(what, sides, chance):
    if what is None:
        chance.choice(sides).kill_worker(chance)
        return
    end, start = what
    end()
    start()


def wait_traffic(sides, part):
    """Until both have moved on, and neither has finished."""
    goals = [side.published() + part for side in sides]
    wait_until(
        lambda: all(
            side.published() >= min(goal, side.written)
            for side, goal in zip(sides, goals)
        ),
        90,
        lambda: "\n".join(side.service.situation() for side in sides),
    )


def judge_wire(wire, side):
    """First deliveries of each key are in the order that they were written."""
    seen = {key: [] for key in range(KEYS)}
    for name in dict.fromkeys(wire):
        source, number = name.rsplit("-", 1)
        if source == side.service.name and int(number) % 2:
            seen[int(number) % KEYS].append(int(number))
    for numbers in seen.values():
        assert numbers == sorted(numbers)
    assert sum(map(len, seen.values())) == side.written // 2


def judge_inbox(receiver, sender):
    arrived = Counter(row["message_id"] for row in receiver.service.inbox())
    assert set(arrived) == sender.names()
    assert set(arrived.values()) == {1}
    assert receiver.service.rejected() == []


@pytest.mark.parametrize(
    ("store", "messages", "kills"),
    [
        ("postgresql", 3000, 8),
        pytest.param("postgresql", 20000, 40, marks=pytest.mark.slow),
        pytest.param("sqlite", 20000, 40, marks=pytest.mark.slow),
    ],
)
def test_storm_loses_nothing_repeats_nothing_and_keeps_the_order_of_keys(
    request, new_service, vhost, rabbitmq, store, messages, kills
):
    vhost.declare_queue("probe", "event.#")
    settings = {"window": WINDOW, "prefetch_count": WINDOW}
    names = ("left", "right")
    services = [
        new_service(name, binding_keys=[f"event.{other}.{name}.#"], **settings)
        for name, other in zip(names, reversed(names))
    ]
    sides = [Side(service, other) for service, other in zip(services, reversed(names))]
    servers = [rabbitmq]
    if store == "postgresql":
        servers.append(request.getfixturevalue("postgresql"))
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")  # of the workers chosen, for a failure's report

    part = messages // 2 // kills
    for side in sides:
        side.write(part)
    for number, what in enumerate(plan(kills, servers)):
        for side in sides:
            side.write(part if number < kills - 1 else messages // 2 - kills * part)
        wait_traffic(sides, chance.randrange(part))
        end_something(what, sides, chance)

    for side in sides:
        side.service.wait_count(OUTBOX, messages // 2, "published", timeout=120)
    for receiver, sender in (sides, list(reversed(sides))):
        receiver.service.wait_count(INBOX, sender.written, timeout=120)
    wire = [properties.message_id for _, properties, _ in vhost.take("probe")]
    assert len(wire) - messages <= 2 * kills * WINDOW
    for receiver, sender in (sides, list(reversed(sides))):
        judge_inbox(receiver, sender)
        judge_wire(wire, sender)
    for side in sides:
        assert side.service.count(OUTBOX, "status <> 'published'") == 0
        for worker in side.workers:
            worker.stop()
