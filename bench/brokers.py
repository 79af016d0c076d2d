# SPDX-License-Identifier: MIT
"""Where the messages of a run go: a corner of a broker that no other run sees.

Each says how a config leads there and what the bare loops are.
"""

import os
import uuid

from support.process import wait_until

RUNNING = "SELECT count(*) FROM event_bus_worker WHERE intake_state = 'running'"


class RabbitMQ:
    """A virtual host with one queue of that type."""

    def __init__(self, server, queue_type):
        self.server = server
        self.vhost = uuid.uuid4().hex[:8]
        self.server.add_vhost(self.vhost)
        self.settings = {
            "port": server.port,
            "username": server.username,
            "password": "env:RABBITMQ_PASSWORD",
            "virtual_host": self.vhost,
            "queue": "bench",
            "queue_type": queue_type,
            "binding_keys": "event.#",
        }
        os.environ["RABBITMQ_PASSWORD"] = server.password
        login = f"{server.username}:{server.password}"
        self.url = f"amqp://{login}@{server.address}/{self.vhost}"

    def raw(self, database, what, count):
        return database.run("bench/bench-raw", what, count, database.url)

    def expect(self, database):
        """The queue is there once anything was sent."""

    def close(self):
        self.server.delete_vhost(self.vhost)


class Mosquitto:
    """Topics and client ids that begin with a name of their own."""

    url = "-"  # for bench-latency: nobody listens

    def __init__(self, server):
        self.server = server
        self.name = uuid.uuid4().hex[:8]
        self.settings = {
            "broker_type": "mqtt",
            "port": server.port,
            "client_id": self.name,
            "topic_prefix": self.name,
            "subscribe_topics": f"{self.name}/event/#",
        }

    def raw(self, database, what, count):
        """A session has to be there before what it shall receive."""
        if what == "insert":
            return database.run("bench/bench-raw", what, count, database.url)
        if what == "publish":
            self._loop(database, "subscribe", count)
        return self._loop(database, what, count)

    def _loop(self, database, what, count):
        name = f"{self.name}-raw"
        return database.run("bench/bench-mosquitto", what, count, self.server.port, name)

    def expect(self, database):
        """Leaves the intake's session with the broker."""
        with database.worker() as worker:
            wait_until(lambda: database.number(RUNNING) == 1, 30, "the intake")
            worker.terminate()

    def close(self):
        """What is left hears nothing more."""
