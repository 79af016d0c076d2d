# SPDX-License-Identifier: MIT
"""Exchanges and queues that postbus makes, or leaves to others."""

import pika
import pytest

from support.process import free_port
from support.service import INBOX, encode, envelope, event, message
from support.servers import HOST


def exists(vhost, what, name):
    """Whether there is such a queue or exchange."""
    try:
        with vhost.channel() as channel:
            getattr(channel, f"{what}_declare")(name, passive=True)
        return True
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 404
        return False


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_declared_queue_is_of_its_type_and_drops_dead_letters_nowhere(
    new_service, vhost, queue_type
):
    service = new_service("orders", queue_type=queue_type, intake_enabled=False)
    service.start(intake=None)
    with vhost.channel() as channel:
        # Declaring again is refused unless everything is the same.
        channel.exchange_declare("interservice", "topic", durable=True)
        channel.queue_declare(
            "orders",
            durable=True,
            arguments={
                "x-queue-type": queue_type,
                "x-dead-letter-exchange": "orders.dlx",
            },
        )
    vhost.publish(b"dead", "orders.request.a.b")
    with vhost.channel() as channel:
        method, _, _ = channel.basic_get("orders")
        channel.basic_nack(method.delivery_tag, requeue=False)
    [(_, properties, body)] = vhost.receive("orders.dlq", 1)
    assert body == b"dead"
    assert properties.headers["x-death"][0]["queue"] == "orders"
    assert exists(vhost, "exchange", "orders.dlx")


def test_dead_letter_exchange_may_have_another_name(new_service, vhost):
    service = new_service(
        "orders", dead_letter_exchange="graveyard", intake_enabled=False
    )
    service.start(intake=None)
    assert exists(vhost, "exchange", "graveyard")
    assert not exists(vhost, "exchange", "orders.dlx")
    vhost.publish(b"dead", "orders.request.a.b")
    with vhost.channel() as channel:
        method, _, _ = channel.basic_get("orders")
        channel.basic_nack(method.delivery_tag, requeue=False)
    assert vhost.receive("orders.dlq", 1)[0][2] == b"dead"


def test_queue_takes_its_own_requests_and_responses_if_nothing_else_is_said(
    new_service, vhost
):
    service = new_service("orders", binding_keys="", intake_enabled=False)
    service.start(intake=None)
    for key in ("orders.request.a.b", "orders.response.a.b.c"):
        vhost.publish(b"x", key)
    for key in ("billing.request.a.b", "event.a.b.c", "orders.other.a.b"):
        with pytest.raises(pika.exceptions.UnroutableError):
            vhost.publish(b"x", key)
    assert vhost.count("orders") == 2


def test_queue_that_the_worker_is_told_to_use_has_that_name(new_service, vhost):
    service = new_service("orders", queue="inbox of orders", exchange="other")
    service.start()
    assert exists(vhost, "queue", "inbox of orders")
    assert not exists(vhost, "queue", "orders")
    assert not exists(vhost, "exchange", "interservice")
    vhost.publish_all([message()], exchange="other")
    service.wait_count(INBOX, 1)


@pytest.mark.parametrize("topology", ["verify", "none"])
def test_existing_topology_of_others_is_used_as_it_is(new_service, vhost, topology):
    vhost.declare_queue("orders", "event.elsewhere.#")
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", topology=topology)
    service.start()
    [seq] = service.insert(event())
    vhost.publish(encode(envelope()))
    assert service.settled(seq)[0]["status"] == "published"
    service.wait_count(INBOX, 1)
    assert not exists(vhost, "exchange", "orders.dlx")
    assert not exists(vhost, "queue", "orders.dlq")


def test_each_source_publishes_to_its_own_exchange_where_that_is_asked_for(
    new_service, vhost
):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", exchange_per_source=True)
    rows = service.insert(event(), event(source_service="shop"))
    service.start()
    assert {row["status"] for row in service.settled(*rows)} == {"published"}
    exchanges = [method.exchange for method, _, _ in vhost.receive("probe", 2)]
    assert exchanges == ["orders_exchange", "shop_exchange"]


def test_hosts_are_tried_in_turn_until_one_answers(new_service, rabbitmq, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service(
        "orders",
        host=f"{HOST}:{free_port()},no-such-host.invalid,{rabbitmq.address}",
        retry_interval_seconds=0.1,
    )
    worker = service.start()
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["status"] == "published"
    worker.stop()
