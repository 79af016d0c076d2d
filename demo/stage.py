# SPDX-License-Identifier: MIT
"""The demo's scene and lights: brokers, databases, workers, and what is printed.

Everything started here ends with the `with` block, however that is left; what
the block cannot end itself (after SIGKILL) the kernel does.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.process import Process, require  # noqa: E402
from support.servers import HOST, Mosquitto, RabbitMQ  # noqa: E402

PROGRAM = Path(os.environ.get("POSTBUS", ROOT / "build" / "postbus")).absolute()
DEADLINE = 30
BOLD, DIM, RED, GREEN, YELLOW, BLUE, CYAN = "1", "2", "31", "32", "33", "34", "36"


class Failure(Exception):
    """Something did not happen; the sentence says what."""


class Service:
    """One service's surroundings: its database and the worker beside it."""

    def __init__(self, stage, name, colour):
        self.stage = stage
        self.name = name
        self.colour = colour
        self.path = stage.directory / f"{name}.db"
        self.database = None  # a sqlite3 connection, once the tables are there
        self.worker = None
        self.edge = None  # the worker that listens to devices
        self.followed = 0  # outbox rows up to this seq have been shown
        self.handled = 0  # inbox rows up to this id have been shown as processed

    def environment(self):
        rabbitmq = self.stage.rabbitmq
        return {
            **os.environ,
            "POSTBUS_DATABASE_URL": f"sqlite://{self.path}",
            "RABBITMQ_PASSWORD": rabbitmq.password,
        }

    def postbus(self, *arguments):
        """Runs a command that the audience sees, with what it prints."""
        self.stage.say(f"{self.name}$ postbus {shlex.join(arguments)}", DIM)
        sys.stdout.flush()
        command = [PROGRAM, *arguments]
        if subprocess.run(command, env=self.environment(), check=False).returncode:
            raise Failure(f"`postbus {arguments[0]}` of {self.name} has failed")

    def open(self, binding_keys):
        rabbitmq = self.stage.rabbitmq
        self.postbus("migrate")
        self.postbus(
            *("config", "set", "default", f"source_service={self.name}"),
            *(f"port={rabbitmq.port}", f"username={rabbitmq.username}"),
            *("password=env:RABBITMQ_PASSWORD", f"binding_keys={','.join(binding_keys)}"),
        )
        self.database = sqlite3.connect(self.path, timeout=DEADLINE)
        self.database.row_factory = sqlite3.Row
        self.worker = self.start_worker("default")

    def start_worker(self, key):
        self.stage.say(f"{self.name}$ postbus worker --config-key {key} &", DIM)
        return Process(
            [PROGRAM, "worker", "--config-key", key],
            self.stage.directory / f"{self.name}-{key}.log",
            env=self.environment(),
        )

    def listen_to_devices(self, *topics):
        """A second config key, whose broker is MQTT, and a worker for it."""
        self.postbus(
            *("config", "set", "edge", "broker_type=mqtt", "relay_enabled=false"),
            *(f"port={self.stage.mosquitto.port}", f"source_service={self.name}"),
            f"subscribe_topics={','.join(topics)}",
        )
        self.edge = self.start_worker("edge")
        self.stage.wait_until(
            lambda: "intake state=running" in self.edge.output(),
            f"the worker that listens for {self.name} is not running",
        )

    def workers(self):
        return [worker for worker in (self.worker, self.edge) if worker is not None]

    def close(self):
        for worker in self.workers():
            if worker.running():
                worker.terminate()
        if self.database is not None:
            self.database.close()

    def row(self, query, *values):
        return self.database.execute(query, values).fetchone()


class Stage:
    def __init__(self):
        self.began = time.monotonic()
        self.on_terminal = sys.stdout.isatty()
        self.colourful = self.on_terminal and "NO_COLOR" not in os.environ
        self.services = []
        self.chapters = 0
        self.directory = None
        self.rabbitmq = None
        self.mosquitto = None
        self.cleaning = contextlib.ExitStack()

    def __enter__(self):
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        end_well_on_signals()
        if shutil.which(PROGRAM) is None:
            raise Failure(f"{PROGRAM} is not there; `make` builds it")
        temporary = tempfile.TemporaryDirectory(prefix="postbus-demo-")
        self.directory = Path(self.cleaning.enter_context(temporary))
        self.say("Starting a private RabbitMQ and a private Mosquitto ...", DIM)
        try:
            self.mosquitto = self.cleaning.enter_context(Mosquitto())
            self.rabbitmq = self.cleaning.enter_context(RabbitMQ())
        except BaseException:
            self.cleaning.close()
            raise
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Failure):
            self.show_logs()
        self.cleaning.close()
        if error is None:
            self.say(f"Everything has been ended again, after {self.elapsed():.0f} s.", DIM)

    def service(self, name, *binding_keys):
        """A migrated, configured database and a worker that is starting on it."""
        service = Service(self, name, (CYAN, YELLOW)[len(self.services)])
        self.services.append(service)
        self.cleaning.callback(service.close)
        service.open(binding_keys)
        return service

    # ---- waiting ----

    def wait_until(self, true, otherwise):
        deadline = time.monotonic() + DEADLINE
        while not (value := true()):
            for service in self.services:
                if not all(worker.running() for worker in service.workers()):
                    raise Failure(f"a worker of {service.name} has ended")
            if time.monotonic() > deadline:
                raise Failure(f"{otherwise}, after {DEADLINE} s")
            time.sleep(0.005)
        return value

    def wait_for_workers(self):
        for service in self.services:
            self.wait_until(
                lambda service=service: service.row(
                    """SELECT 1 FROM event_bus_worker
                       WHERE relay_state = 'running' AND intake_state = 'running'"""
                ),
                f"the worker of {service.name} is not running",
            )
        self.say("Both workers are connected.")

    # ---- showing ----

    def elapsed(self):
        return time.monotonic() - self.began

    def paint(self, text, *codes):
        return f"\033[{';'.join(codes)}m{text}\033[0m" if self.colourful else text

    def say(self, text, *codes):
        print(self.paint(text, *codes) if codes else text)

    def chapter(self, title):
        self.chapters += 1
        print(f"\n{self.paint(f'{self.chapters}. {title}', BOLD)}")

    def sql(self, statement):
        for line in statement.splitlines():
            self.say(f"    {line}", GREEN)

    def moved(self, service, arrow, place, row, note=""):
        """One line: when, who, where to, what, and which."""
        parts = [
            self.paint(f"{self.elapsed():7.3f} s", DIM),
            self.paint(f"{service.name:<9}", service.colour),
            f"{arrow} {place:<8}",
            self.paint(f"{row['message_type']:<8}", BOLD),
            f"{row['topic']:<40}",
            _ids(row),
            self.paint(note, GREEN),
        ]
        print("  ".join(part for part in parts if part))

    def follow(self, sender, receiver):
        """Shows what the sender has handled and written, its confirms, its arrival."""
        for row in sender.database.execute(
            "SELECT * FROM event_bus_inbound_event WHERE processed AND id > ? ORDER BY id",
            (sender.handled,),
        ).fetchall():
            self.moved(sender, "✓", "inbox", row, "processed")
            sender.handled = row["id"]
        written = sender.database.execute(
            """SELECT *, coalesce(message_id, id) AS sent_id FROM event_bus_outbound_event
               WHERE seq > ? ORDER BY seq""",
            (sender.followed,),
        ).fetchall()
        for row in written:
            self.moved(sender, "+", "outbox", row, "written")
        for row in written:
            self.wait_for_confirm(sender, row)
        for row in written:
            self.wait_for_arrival(receiver, row)
            sender.followed = row["seq"]

    def wait_for_confirm(self, sender, row):
        self.wait_until(
            lambda: sender.row(
                "SELECT 1 FROM event_bus_outbound_event WHERE seq = ? AND published", row["seq"]
            ),
            f"the {row['message_type']} on {row['topic']} was not published",
        )
        self.moved(sender, "→", "RabbitMQ", row, "confirmed")

    def wait_for_arrival(self, receiver, row):
        received = self.wait_until(
            lambda: receiver.row(
                "SELECT * FROM event_bus_inbound_event WHERE message_id = ?", row["sent_id"]
            ),
            f"the {row['message_type']} on {row['topic']} has not reached {receiver.name}",
        )
        self.moved(receiver, "←", "inbox", received, received["payload"])

    def device_speaks(self, topic, event):
        """Any MQTT client will do: this is Mosquitto's own."""
        body = json.dumps(event)
        self.say(f"device$ mosquitto_pub -q 1 -t {topic} -m '{body}'", DIM)
        subprocess.run(
            [
                *(require("mosquitto_pub"), "-h", HOST, "-p", str(self.mosquitto.port)),
                *("-q", "1", "-t", topic, "-m", body),
            ],
            check=True,
        )

    def show_arrival(self, service, message_id):
        row = self.wait_until(
            lambda: service.row(
                "SELECT * FROM event_bus_inbound_event WHERE message_id = ?", message_id
            ),
            f"the device's event has not reached {service.name}",
        )
        note = f"{row['event_type']} from {row['source_service']}"
        self.moved(service, "←", "inbox", row, note)

    def watch_arrival(self, service, count):
        """A progress bar, or a line now and then, until `count` more are in."""
        query = """SELECT count(*) FROM event_bus_inbound_event
                   WHERE topic = 'event.batch.step.completed'"""
        began = shown = time.monotonic()

        def arrived():
            nonlocal shown
            have, now = service.row(query)[0], time.monotonic()
            if have >= count or now - shown > (0.1 if self.on_terminal else 0.25):
                shown = now
                self.progress(have, count, now - began)
            time.sleep(0.03)
            return have >= count

        self.wait_until(arrived, f"not all of {count:,} events have reached {service.name}")

    def progress(self, have, count, seconds):
        rate = f"{have:>6,} of {count:,}   {have / seconds:>7,.0f} messages/s"
        if not self.on_terminal:
            print(f"  {rate}")
            return
        filled = 40 * have // count
        bar = self.paint("█" * filled, GREEN) + self.paint("░" * (40 - filled), DIM)
        print(f"\r  {bar} {rate}", end="\n" if have >= count else "", flush=True)

    def show_logs(self):
        for service in self.services:
            for worker in service.workers():
                self.say(f"\nThe last words of {worker.log.stem}:", BOLD)
                print(worker.tail(10))


def end_well_on_signals():
    """The `with` blocks run, in the background too, where SIGINT starts out ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def _ids(row):
    depth = f" depth {row['chain_depth']}" if row["chain_depth"] else ""
    parent = f" parent {row['parent_request_id']}" if row["parent_request_id"] else ""
    if row["request_id"]:
        return f"{row['request_id']}{parent}{depth}"
    return f"id {(row['message_id'] or row['id'])[:8]}"
