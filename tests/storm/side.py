# SPDX-License-Identifier: MIT
"""A service in the storm, its two workers, and what it has committed."""

from collections import namedtuple

from support.process import wait_until
from support.service import INBOX, OUTBOX, event, request

KEYS = 20
PAST = "2000-01-01 00:00:00"

# How a committed row must end, by which key it is ordered, and whether the
# other side must receive it.
Row = namedtuple("Row", "status key received")

# Rows not yet tried, rows published, rows received.
Progress = namedtuple("Progress", "pending published received")

# Of a hundred rows one is of each of these kinds, and none of them goes out.
INVALID, EXPIRED, UNROUTABLE = 50, 96, 98


class Side:
    """It sends events to the other side. `ledger` has the Row of each message id
    that is committed, in the order of writing."""

    def __init__(self, service, other, broker):
        self.service = service
        self.name = service.name
        self.other = other
        self.broker = broker
        self.workers = []
        self.ledger = {}
        self._next = 0

    def start(self):
        """Two workers, the first of which relays; whether the second one stands by
        is for the judge to say."""
        self.workers.append(self.service.start())
        second = self.service.postbus.worker()
        self.workers.append(second)
        wait_until(
            lambda: set(self.service.lanes(second) or ["none"]) <= {"running", "standby"},
            60,
            self.service.situation,
        )

    # ---- rows ----

    def write(self, number):
        """Commits so many rows, and rolls back one that nobody may ever see."""
        numbers = range(self._next, self._next + number)
        self._next += number
        ghost = f"'event.{self.name}.{self.other}.told', 'told', '{self.name}-ghost'"
        self.service.database.execute(
            f"BEGIN; INSERT INTO {OUTBOX} (topic, event_type, message_id)"
            f" VALUES ({ghost}); ROLLBACK"
        )
        self.service.insert(*[self._row(i) for i in numbers])
        for i in numbers:
            self.enter(self._name(i), self._status(i), self._key(i))

    def _name(self, i):
        return f"{self.name}-{i}"

    def _key(self, i):
        """Every other row has one; those that never go out have none."""
        return f"key-{i % KEYS}" if i % 2 else None

    def _status(self, i):
        """How it must end."""
        if i % 100 == INVALID:
            return "invalid"
        if i % 100 == EXPIRED or self._is_unroutable(i):
            return "error"
        return "published"

    def _is_unroutable(self, i):
        return i % 100 == UNROUTABLE and self.broker.tells_unroutable

    def _row(self, i):
        row = self.event(self._name(i), self._key(i))
        if i % 100 == INVALID:
            return {**row, "topic": "nowhere"}
        if i % 100 == EXPIRED:
            return {**row, "expires_at": PAST}
        return self.request_to("nobody", self._name(i)) if self._is_unroutable(i) else row

    def enter(self, name, status="published", key=None, received=True):
        """Into the ledger: it is committed."""
        received = received and status == "published"
        self.ledger[name] = Row(status, key, received)

    def event(self, name, key=None):
        return event(
            topic=f"event.{self.name}.{self.other}.told",
            message_id=name,
            ordering_key=key,
            payload=f'{{"id": "{name}"}}',
        )

    def request_to(self, service, name, key=None):
        return request(service, self.name, message_id=name, ordering_key=key)

    # ---- how far it is ----

    def progress(self):
        query = (
            f"SELECT (SELECT count(*) FROM {OUTBOX} WHERE status = 'pending'"
            " AND retry_count = 0) AS pending,"
            f" (SELECT count(*) FROM {OUTBOX} WHERE published) AS published,"
            f" (SELECT count(*) FROM {INBOX}) AS received"
        )
        [row] = self.service.database.rows(query)
        return Progress(**row)

    def complete(self, received):
        """Whether it has nothing left to send, and the other so many of it."""
        due = sum(row.received for row in self.ledger.values())
        return received >= due and self.service.count(OUTBOX, "status = 'pending'") == 0

    # ---- its workers ----

    def relaying(self):
        """The live workers that say that they relay."""
        states = "SELECT pid FROM event_bus_worker WHERE relay_state = 'running'"
        pids = {row["pid"] for row in self.service.database.rows(states)}
        return [worker for worker in self.workers if worker.pid in pids]

    def settled_down(self):
        """Whether each lane runs in one of the workers, and in the other stands by
        if it must."""
        lanes = [self.service.lanes(worker) for worker in self.workers]
        if None in lanes:
            return False
        relays, intakes = (sorted(map(str, states)) for states in zip(*lanes))
        relay, intake = self.broker.standby
        return relays == ["running", relay] and intakes == ["running", intake]

    def replace(self, worker):
        """Kills it; another starts."""
        assert worker.running(), f"a worker has ended by itself\n{worker.tail()}"
        worker.kill()
        self.workers.remove(worker)
        self.workers.append(self.service.postbus.worker())
