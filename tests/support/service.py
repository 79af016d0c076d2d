# SPDX-License-Identifier: MIT
"""A service on the bus, seen as its own programmers see it: SQL and nothing else."""

import json
import uuid

from support.process import wait_until

OUTBOX = "event_bus_outbound_event"
INBOX = "event_bus_inbound_event"
REJECTED = "event_bus_rejected_message"


class Service:
    """Its database, the tables in it, and the worker beside it.

    Unless told otherwise its queue takes what is sent to it by name, and the
    events of `elsewhere`; its own go to whoever has bound a queue.
    """

    def __init__(self, postbus, vhost, name, **settings):
        self.postbus = postbus
        self.database = postbus.database
        self.vhost = vhost
        self.name = name
        self.postbus.configure(
            **vhost.settings(
                **{
                    "source_service": name,
                    "binding_keys": [f"{name}.#", "event.elsewhere.#"],
                    "retry_interval_seconds": 0.5,
                    "heartbeat_interval_seconds": 0.2,
                    **settings,
                }
            )
        )

    def insert(self, *rows):
        """Plain INSERTs in one transaction; their seqs."""
        return self.database.insert(OUTBOX, rows, "seq")

    def outbox(self, where="true"):
        return self.database.rows(f"SELECT * FROM {OUTBOX} WHERE {where} ORDER BY seq")

    def inbox(self, where="true"):
        return self.database.rows(f"SELECT * FROM {INBOX} WHERE {where} ORDER BY id")

    def rejected(self):
        return self.database.rows(f"SELECT * FROM {REJECTED} ORDER BY id")

    def count(self, table, where="true"):
        query = f"SELECT count(*) AS n FROM {table} WHERE {where}"
        return self.database.rows(query)[0]["n"]

    def wait_count(self, table, number, where="true", timeout=60):
        """Until that many rows are there, and then no more than that."""
        wait_until(
            lambda: self.count(table, where) >= number,
            timeout,
            lambda: f"{number} rows in {table} where {where}: {self.situation()}",
        )
        assert self.count(table, where) == number

    def settled(self, *seqs, timeout=30):
        """Those rows of the outbox once none is pending, in the order given."""
        where = f"seq IN ({', '.join(map(str, seqs))})"
        wait_until(
            lambda: self.count(OUTBOX, f"{where} AND status = 'pending'") == 0,
            timeout,
            lambda: f"rows {seqs} settled: {self.situation()}",
        )
        rows = {row["seq"]: row for row in self.outbox(where)}
        return [rows[seq] for seq in seqs]

    def start(self, relay="running", intake="running", **environment):
        """A worker, once its lanes are in those states; None: no such lane."""
        worker = self.postbus.worker(**environment)
        self.wait_lanes(worker, relay, intake)
        return worker

    def wait_lanes(self, worker, relay, intake, timeout=30):
        wait_until(
            lambda: self.lanes(worker) == (relay, intake),
            timeout,
            lambda: f"relay {relay}, intake {intake}: {self.situation()}",
        )

    def beat(self, worker):
        """The worker's own row, or None."""
        query = f"SELECT * FROM event_bus_worker WHERE pid = {worker.pid}"
        return next(iter(self.database.rows(query)), None)

    def lanes(self, worker):
        """What it says that relay and intake are; None before it says anything."""
        row = self.beat(worker) or {"relay_state": None, "intake_state": None}
        return row["relay_state"], row["intake_state"]

    def wait_error(self, worker, *words, timeout=30):
        """Until the worker's row gives a reason with all those words; it."""

        def reason():
            row = self.beat(worker)
            text = row and row["last_error"]
            return text if text and all(word in text for word in words) else None

        return wait_until(
            reason, timeout, lambda: f"an error with {words}: {self.situation()}"
        )

    def situation(self):
        """For the message of a failed test."""
        counts = self.database.rows(
            f"SELECT 'outbox' AS t, status, count(*) AS n FROM {OUTBOX} GROUP BY 2"
            f" UNION ALL SELECT 'inbox', status, count(*) FROM {INBOX} GROUP BY 2"
            f" UNION ALL SELECT 'rejected', '', count(*) FROM {REJECTED}"
        )
        logs = "\n".join(worker.tail(15) for worker in self.postbus.workers)
        return f"{counts}\n{logs}"


def event(**columns):
    """An outbox row; what it leaves out is the database's to fill."""
    return {
        "topic": "event.orders.thing.happened",
        "event_type": "thing.happened",
        **columns,
    }


def request(target="billing", source="orders", **columns):
    return {
        "topic": f"{target}.request.invoice.create",
        "message_type": "request",
        "request_id": str(uuid.uuid4()),
        "reply_to": f"{source}.response.invoice.create",
        **columns,
    }


def envelope(**fields):
    """A complete event as another service sends it; None leaves a field out."""
    whole = {
        "schema": "interservice.envelope.v1",
        "message_id": str(uuid.uuid4()),
        "message_type": "event",
        "topic": "event.elsewhere.thing.happened",
        "source_service": "elsewhere",
        "event_type": "thing.happened",
        "payload": {},
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def encode(fields):
    return json.dumps(fields).encode()


def message(**fields):
    """An envelope as Vhost.publish_all takes it: body, routing key, properties."""
    whole = envelope(**fields)
    return encode(whole), whole["topic"], {}
