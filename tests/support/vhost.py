# SPDX-License-Identifier: MIT
"""One test's share of a RabbitMQ server, seen through pika."""

import contextlib

from support.servers import HOST


class Vhost:
    def __init__(self, server, name):
        self.server = server
        self.name = name

    def settings(self, **others):
        """Columns for Postbus.configure that lead here."""
        return {
            "broker_type": "rabbitmq",
            "host": HOST,
            "port": self.server.port,
            "username": self.server.username,
            "password": "env:POSTBUS_TEST_PASSWORD",
            "virtual_host": self.name,
            **others,
        }

    @contextlib.contextmanager
    def channel(self, **options):
        """A pika channel on a connection of its own."""
        connection = self.server.connect(self.name, **options)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def declare_queue(self, name, *binding_keys, exchange="interservice"):
        """A durable queue bound to postbus's exchange, as another service's."""
        with self.channel() as channel:
            channel.exchange_declare(exchange, "topic", durable=True)
            channel.queue_declare(name, durable=True)
            for key in binding_keys:
                channel.queue_bind(name, exchange, key)

    def count(self, queue):
        with self.channel() as channel:
            return channel.queue_declare(queue, passive=True).method.message_count

    def take(self, queue):
        """Takes what is ready: (method, properties, body) of each message."""
        messages = []
        with self.channel() as channel:
            while (message := channel.basic_get(queue, auto_ack=True))[0]:
                messages.append(message)
        return messages
