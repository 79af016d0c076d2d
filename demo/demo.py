#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two services talk over postbus, and every message is shown as it moves.

ebmr runs batches, edgenexus knows the machines. Each has a database of its own
and a `postbus worker` beside it. Neither has heard of RabbitMQ, or MQTT: a service
writes what it says into its outbox and reads what others say from its inbox,
in plain SQL and in the same transaction as its own data. That is all of the
code below; how the scene is set and lit is in stage.py.
"""

import json
import sys
import uuid

from stage import Failure, Stage

BURST = 10_000

MACHINE_READ = """\
INSERT INTO event_bus_outbound_event
       (message_type, topic, request_id, reply_to, payload)
VALUES ('request', 'edgenexus.request.machine.read', 'req-100',
        'ebmr.response.machine.read', '{"machine_id":"M1"}')"""

DEVICE_EVENT = {
    "apiVersion": "v3",
    "id": "d5471d59-2810-419a-8744-18eb8fa03465",
    "deviceName": "M1",
    "profileName": "machine",
    "sourceName": "Temperature",
    "origin": 1602168089665565200,
    "readings": [
        {"resourceName": "Temperature", "valueType": "Float64", "value": "71.50", "units": "C"}
    ],
}


def main():
    with Stage() as stage:
        stage.chapter("Two services, two databases, two workers, one RabbitMQ")
        ebmr = stage.service("ebmr", "ebmr.response.#", "event.operational.#")
        edgenexus = stage.service("edgenexus", "edgenexus.request.#", "event.batch.#")
        install_own_tables(ebmr.database, edgenexus.database)
        stage.wait_for_workers()

        stage.chapter("ebmr asks how machine M1 is: it inserts one row")
        stage.sql(MACHINE_READ)
        ask_for_machine(ebmr.database)
        stage.follow(ebmr, edgenexus)

        stage.chapter("edgenexus answers, and tells everybody")
        serve_requests(edgenexus.database)
        stage.follow(edgenexus, ebmr)

        stage.chapter("The machine is running, so ebmr starts a batch: a chained request")
        start_batch_if_running(ebmr.database)
        stage.follow(ebmr, edgenexus)
        serve_requests(edgenexus.database)
        stage.follow(edgenexus, ebmr)
        read_answers(ebmr.database)

        stage.chapter("A device reports in EdgeX's own words over MQTT")
        edgenexus.listen_to_devices("edgex/events/#")
        stage.device_speaks("edgex/events/device/device-plc/machine/M1/Temperature", DEVICE_EVENT)
        stage.show_arrival(edgenexus, DEVICE_EVENT["id"])
        stage.say(f"edgenexus notes {note_temperatures(edgenexus.database)} °C for machine M1.")

        stage.chapter("A shell script can speak for ebmr too")
        ebmr.postbus(
            *("publish", "--source", "ebmr", "--type", "event"),
            *("--topic", "event.batch.step.released"),
            *("--event-type", "step.released", "--payload", '{"batch_id":"B7"}'),
        )
        stage.follow(ebmr, edgenexus)
        serve_requests(edgenexus.database)

        stage.chapter("What `postbus status` says on either side")
        ebmr.postbus("status")
        edgenexus.postbus("status")

        stage.chapter(f"A burst: {BURST:,} events from ebmr to edgenexus")
        sent = burst(ebmr.database)
        stage.watch_arrival(edgenexus, BURST)
        check_everything_arrived(sent, edgenexus.database)
        stage.say(f"All {BURST:,} arrived, each of them once.")


# ---- what ebmr does ----


def ask_for_machine(database):
    """The question and the note that it was asked: both happen, or neither."""
    with database:
        database.execute("INSERT INTO asked (request_id) VALUES ('req-100')")
        database.execute(MACHINE_READ)


def start_batch_if_running(database):
    for message in pending(database):
        machine = json.loads(message["payload"])
        with database:
            if message["message_type"] == "response" and machine["state"] == "running":
                database.execute(
                    """
                    INSERT INTO event_bus_outbound_event
                           (message_type, topic, request_id, parent_request_id,
                            chain_depth, reply_to, payload)
                    VALUES ('request', 'edgenexus.request.batch.start', 'req-200', ?,
                            ?, 'ebmr.response.batch.start', '{"batch_id":"B7"}')""",
                    (message["request_id"], message["chain_depth"] + 1),
                )
            mark_processed(database, message)


def read_answers(database):
    for message in pending(database):
        with database:
            mark_processed(database, message)


def burst(database):
    """In one transaction; ebmr chooses the message ids, to compare them later."""
    ids = [str(uuid.uuid4()) for _ in range(BURST)]
    with database:
        database.executemany(
            """
            INSERT INTO event_bus_outbound_event (topic, event_type, message_id, payload)
            VALUES ('event.batch.step.completed', 'step.completed', ?, ?)""",
            ((id, json.dumps({"batch_id": "B7", "step": n})) for n, id in enumerate(ids)),
        )
    return ids


# ---- what edgenexus does ----


def serve_requests(database):
    """The change, the answer, the event and the mark are one transaction."""
    for message in pending(database):
        with database:
            if message["topic"] == "edgenexus.request.machine.read":
                answer_machine_read(database, message)
            elif message["topic"] == "edgenexus.request.batch.start":
                answer_batch_start(database, message)
            mark_processed(database, message)


def note_temperatures(database):
    """A device's event is a row like any other; its id keeps it from coming twice."""
    for message in pending(database):
        with database:
            if message["event_type"] == "edgex.device.event":
                database.execute(
                    """UPDATE machine SET temperature =
                              json_extract(?, '$.readings[0].value')
                       WHERE machine_id = json_extract(?, '$.deviceName')""",
                    (message["payload"], message["payload"]),
                )
            mark_processed(database, message)
    return database.execute("SELECT temperature FROM machine").fetchone()[0]


def answer_machine_read(database, request):
    machine_id = json.loads(request["payload"])["machine_id"]
    database.execute("UPDATE machine SET reads = reads + 1 WHERE machine_id = ?", (machine_id,))
    payload = database.execute(
        """SELECT json_object('machine_id', machine_id, 'state', state)
           FROM machine WHERE machine_id = ?""",
        (machine_id,),
    ).fetchone()[0]
    respond(database, request, payload)
    database.execute(
        """
        INSERT INTO event_bus_outbound_event (message_type, topic, event_type, payload)
        VALUES ('event', 'event.operational.machine.status.changed',
                'machine.status.changed', ?)""",
        (payload,),
    )


def answer_batch_start(database, request):
    batch_id = json.loads(request["payload"])["batch_id"]
    database.execute("UPDATE machine SET batch_id = ? WHERE machine_id = 'M1'", (batch_id,))
    respond(database, request, json.dumps({"batch_id": batch_id, "state": "started"}))


def respond(database, request, payload):
    database.execute(
        """
        INSERT INTO event_bus_outbound_event
               (message_type, topic, request_id, parent_request_id, chain_depth,
                message_status, payload)
        VALUES ('response', ?, ?, ?, ?, 'success', ?)""",
        (
            request["reply_to"],
            request["request_id"],
            request["parent_request_id"],
            request["chain_depth"],
            payload,
        ),
    )


# ---- what both do ----


def install_own_tables(ebmr, edgenexus):
    ebmr.execute("CREATE TABLE asked (request_id text PRIMARY KEY)")
    edgenexus.executescript(
        """
        CREATE TABLE machine (machine_id text PRIMARY KEY, state text, batch_id text,
                              temperature text, reads integer DEFAULT 0);
        INSERT INTO machine (machine_id, state) VALUES ('M1', 'running');"""
    )


def pending(database):
    """What nobody has handled yet, in order of arrival."""
    return database.execute(
        "SELECT * FROM event_bus_inbound_event WHERE status = 'pending' ORDER BY id"
    ).fetchall()


def mark_processed(database, message):
    database.execute(
        """UPDATE event_bus_inbound_event SET status = 'processed', processed = 1,
                  processed_at = strftime('%Y-%m-%d %H:%M:%f000', 'now')
           WHERE id = ?""",
        (message["id"],),
    )


def check_everything_arrived(sent, database):
    received = [
        row["message_id"]
        for row in database.execute(
            """SELECT message_id FROM event_bus_inbound_event
               WHERE topic = 'event.batch.step.completed'"""
        )
    ]
    missing = set(sent) - set(received)
    if missing:
        raise Failure(f"{len(missing)} of {len(sent)} events are not in edgenexus's inbox")
    if len(received) != len(sent):
        raise Failure(f"{len(received) - len(sent)} events are in the inbox twice")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"demo: {failure}")
