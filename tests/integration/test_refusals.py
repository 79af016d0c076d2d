# SPDX-License-Identifier: MIT
"""What RabbitMQ refuses by its own rules parks or goes again; others flow."""

from contextlib import contextmanager

import pytest

from support.process import wait_until
from support.service import event


DEFAULT_SIZE = 128 << 20


@contextmanager
def message_size(rabbitmq, most):
    """What the server takes on channels that are opened meanwhile."""
    rabbitmq.eval(f"application:set_env(rabbit, max_message_size, {most})")
    try:
        yield
    finally:
        rabbitmq.eval(f"application:set_env(rabbit, max_message_size, {DEFAULT_SIZE})")


def test_message_over_the_brokers_limit_fails_alone(rabbitmq, new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    with message_size(rabbitmq, 20000):
        service = new_service("orders", max_retry_count=2, retry_base_seconds=0.1)
        worker = service.start()
        rows = [event(message_id=f"m-{i}") for i in range(20)]
        rows[7]["payload"] = f'"{"x" * 30000}"'
        rows = service.settled(*service.insert(*rows))
        large = rows.pop(7)
        assert (large["status"], large["retry_count"]) == ("error", 2)
        assert "size" in large["last_error"]
        assert {row["status"] for row in rows} == {"published"}
        assert {row["retry_count"] for row in rows} == {0}
        service.wait_lanes(worker, "running", "running")
        worker.stop()
    assert {p.message_id for _, p, _ in vhost.take("probe")} == {
        row["message_id"] for row in rows
    }


@pytest.fixture
def narrow_user(rabbitmq, vhost):
    """May publish with no routing key but those of things that happen."""
    name, acting = f"narrow-{vhost.name}", '<<"test">>'
    where = f'<<"{vhost.name}">>'
    user = f'<<"{name}">>'
    everything = '<<".*">>, <<".*">>, <<".*">>'
    topics = '<<"interservice">>, <<"^event.*happened$">>, <<".*">>'
    rabbit = "rabbit_auth_backend_internal"
    rabbitmq.eval(
        f'{rabbit}:add_user({user}, <<"guest">>, {acting}),'
        f"{rabbit}:set_permissions({user}, {where}, {everything}, {acting}),"
        f"{rabbit}:set_topic_permissions({user}, {where}, {topics}, {acting})"
    )
    yield name
    rabbitmq.eval(f"{rabbit}:delete_user({user}, {acting})")


def test_topic_that_may_not_be_written_fails_alone(new_service, vhost, narrow_user):
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service(
        "orders", username=narrow_user, max_retry_count=2, retry_base_seconds=0.1
    )
    worker = service.start()
    rows = [event() for _ in range(10)]
    rows[4]["topic"] = "event.orders.thing.forbidden"
    rows = service.settled(*service.insert(*rows))
    forbidden = rows.pop(4)
    assert (forbidden["status"], forbidden["retry_count"]) == ("error", 2)
    assert "ACCESS_REFUSED" in forbidden["last_error"]
    assert {row["status"] for row in rows} == {"published"}
    assert {row["retry_count"] for row in rows} == {0}
    service.wait_lanes(worker, "running", "running")


def test_full_queue_that_refuses_is_tried_again_until_there_is_room(
    new_service, vhost
):
    """A real nack: the queue takes one message at a time."""
    service = new_service("orders", retry_base_seconds=0.2, retry_max_seconds=0.5)
    service.start()
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with vhost.channel() as channel:
        channel.queue_declare("probe", durable=True, arguments=arguments)
        channel.queue_bind("probe", "interservice", "event.orders.#")
    first, second = service.insert(event(message_id="1"), event(message_id="2"))
    wait_until(lambda: service.outbox("retry_count > 0"))
    [waiting] = service.outbox("retry_count > 0")
    assert "nack" in waiting["last_error"]
    assert vhost.count("probe") == 1
    taken = vhost.take("probe")
    rows = service.settled(first, second)
    assert {row["status"] for row in rows} == {"published"}
    taken += vhost.take("probe")
    assert sorted(p.message_id for _, p, _ in taken) == ["1", "2"]
