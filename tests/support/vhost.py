# SPDX-License-Identifier: MIT
"""One test's share of a RabbitMQ server, seen through pika."""

import contextlib
import re

import pika

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
        """Its messages that nobody has been given."""
        with self.channel() as channel:
            return channel.queue_declare(queue, passive=True).method.message_count

    def consumers(self, queue):
        with self.channel() as channel:
            return channel.queue_declare(queue, passive=True).method.consumer_count

    def take(self, queue):
        """Takes what is ready: (method, properties, body) of each message."""
        messages = []
        with self.channel() as channel:
            while (message := channel.basic_get(queue, auto_ack=True))[0]:
                messages.append(message)
        return messages

    def connections(self):
        """The names of those that are open: the ports at both ends."""
        names = self.server.eval(
            "[binary_to_list(N) || [{vhost, V}, {name, N}] <-"
            " rabbit_networking:connection_info_all([vhost, name]),"
            f' V == <<"{self.name}">>]'
        )
        return set(re.findall(r'"([^"]+)"', names))

    def close_connections(self):
        """As an administrator does."""
        self.server.ctl("close_all_connections", "--vhost", self.name, "maintenance")

    def publish(self, body, routing_key="event.elsewhere.thing.happened", **properties):
        self.publish_all([(body, routing_key, properties)])

    def publish_all(self, messages, exchange="interservice"):
        """Each (body, routing key, properties) is confirmed, and by a queue."""
        with self.channel() as channel:
            channel.confirm_delivery()
            for body, routing_key, properties in messages:
                persistent = pika.BasicProperties(delivery_mode=2, **properties)
                channel.basic_publish(
                    exchange, routing_key, body, persistent, mandatory=True
                )

    def load(self, messages):
        """Many at once, in one transaction: a quorum queue may lose what its
        publisher does not wait for."""
        with self.channel() as channel:
            channel.tx_select()
            for body, routing_key, properties in messages:
                persistent = pika.BasicProperties(delivery_mode=2, **properties)
                channel.basic_publish("interservice", routing_key, body, persistent)
            channel.tx_commit()

    def receive(self, queue, count, timeout=30):
        """Consumes that many: (method, properties, body) of each, in order."""
        with self.channel() as channel:
            messages = self._consume(channel, queue, count, timeout)
            if messages:
                channel.basic_ack(messages[-1][0].delivery_tag, multiple=True)
        return messages

    def peek(self, queue, count, timeout=30):
        """The same, and gives them back."""
        with self.channel() as channel:
            return self._consume(channel, queue, count, timeout)

    @staticmethod
    def _consume(channel, queue, count, timeout):
        messages = []
        channel.basic_qos(prefetch_count=count)
        deliveries = channel.consume(queue, inactivity_timeout=timeout)
        while len(messages) < count:
            message = next(deliveries)
            if message[0] is None:
                raise AssertionError(f"{queue}: {len(messages)} of {count} came")
            messages.append(message)
        return messages
