# SPDX-License-Identifier: MIT
"""What is wrong is said in one sentence that names it; what may pass is waited for."""

import socket

import pytest

from support.listeners import Listener, WebServer
from support.postbus import Postbus, SQLiteDatabase
from support.process import free_port, wait_until
from support.service import INBOX, encode, envelope, event
from support.servers import HOST

CANARY = "Zw1ebelkuchen"


def complaint(result):
    """The one sentence of a command that failed."""
    assert result.returncode == 1, result.stdout + result.stderr
    [sentence] = result.stderr.splitlines()
    assert sentence.startswith("postbus: ")
    return sentence


def told(service, *words, **environment):
    """`config test` says it and fails; a worker says it and goes on trying."""
    result = service.postbus.run(
        "config", "test", "default", check=False, **environment
    )
    sentence = complaint(result)
    for word in words:
        assert word in sentence
    worker = service.postbus.worker(**environment)
    worker.wait_for_line("relay", "away", *words)
    worker.wait_for_line("intake", "away", *words)
    service.wait_lanes(worker, "away", "away")
    assert worker.running()
    return worker


def test_wrong_password_is_told_and_a_right_one_is_taken_up(new_service, tmp_path):
    secret = tmp_path / "password"
    secret.write_text(CANARY)
    service = new_service("orders", password=f"file:{secret}")
    worker = told(service, "guest", "password")
    assert CANARY not in worker.output()
    secret.write_text("guest\n")
    service.wait_lanes(worker, "running", "running")


def test_missing_password_file_is_named(new_service, tmp_path):
    service = new_service("orders", password=f"file:{tmp_path}/nowhere")
    told(service, f"{tmp_path}/nowhere")


def test_missing_vhost_is_named_and_waited_for(new_service, rabbitmq, vhost):
    name = f"{vhost.name}-later"
    service = new_service("orders", virtual_host=name)
    worker = told(service, name)
    rabbitmq.add_vhost(name)
    service.wait_lanes(worker, "running", "running")
    worker.stop()
    rabbitmq.delete_vhost(name)


def test_vhost_without_permission_is_named(new_service, rabbitmq, vhost):
    rabbitmq.eval(
        f'rabbit_auth_backend_internal:clear_permissions(<<"guest">>,'
        f' <<"{vhost.name}">>, <<"test">>)'
    )
    told(new_service("orders"), vhost.name, "guest")


def test_refused_connection_names_the_address(new_service):
    port = free_port()
    told(new_service("orders", port=port), f"{HOST}:{port}", "refused")


def test_unknown_host_is_named(new_service):
    told(new_service("orders", host="no-such-host.invalid"), "no-such-host.invalid")


def test_web_server_on_the_port_is_recognised(new_service):
    with WebServer() as server:
        told(new_service("orders", port=server.port), f"{HOST}:{server.port}", "HTTP")


def test_silent_listener_is_given_up_after_connect_timeout(new_service):
    with Listener() as listener:
        service = new_service("orders", port=listener.port, connect_timeout=1)
        told(service, f"{HOST}:{listener.port}")
        # One after the other: the next is served once the one before has gone.
        wait_until(lambda: listener.connections > 3)


def test_port_that_swallows_connections_is_given_up_after_connect_timeout(new_service):
    """A backlog that is full: the kernel answers no further connection."""
    with socket.create_server((HOST, 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        with socket.create_connection((HOST, port)):
            told(new_service("orders", port=port, connect_timeout=1), f"{HOST}:{port}")


def declare(vhost, queue, **arguments):
    with vhost.channel() as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments or None)


def test_queue_with_other_arguments_is_told_with_the_difference(new_service, vhost):
    declare(vhost, "orders", **{"x-dead-letter-exchange": "elsewhere"})
    service = new_service("orders", queue_type="classic")
    told(service, "orders", "x-dead-letter-exchange", "elsewhere", "orders.dlx")


def test_queue_of_another_type_is_told_and_taken_once_it_fits(new_service, vhost):
    dead_letters = {"x-dead-letter-exchange": "orders.dlx"}
    declare(vhost, "orders", **{"x-queue-type": "classic", **dead_letters})
    service = new_service("orders")
    worker = told(service, "orders", "x-queue-type", "classic", "quorum")
    with vhost.channel() as channel:
        channel.queue_delete("orders")
    service.wait_lanes(worker, "running", "running")


def test_exchange_of_another_type_is_told_with_the_difference(new_service, vhost):
    with vhost.channel() as channel:
        channel.exchange_declare("interservice", "fanout", durable=True)
    told(new_service("orders"), "interservice", "fanout", "topic")


def test_queue_that_is_missing_is_named_where_nothing_is_declared(new_service, vhost):
    service = new_service("orders", topology="verify")
    with vhost.channel() as channel:
        channel.exchange_declare("interservice", "topic", durable=True)
    worker = told(service, "orders", vhost.name)
    vhost.declare_queue("orders", "orders.#", "event.elsewhere.#")
    service.wait_lanes(worker, "running", "running")
    vhost.publish(encode(envelope()))
    service.wait_count(INBOX, 1)


def test_worker_whose_lanes_fail_alike_logs_each_reason_once(new_service):
    service = new_service("orders", port=free_port(), retry_interval_seconds=0.05)
    worker = service.postbus.worker()
    service.wait_lanes(worker, "away", "away")
    beat = service.beat(worker)["heartbeat_at"]
    wait_until(lambda: service.beat(worker)["heartbeat_at"] > beat)
    reasons = [line for line in worker.output().splitlines() if "refused" in line]
    assert len(reasons) == 2, worker.output()


@pytest.fixture
def unprepared(tmp_path):
    """A command line on a database that nobody has made."""
    with Postbus(SQLiteDatabase(tmp_path / "bus.db"), tmp_path) as postbus:
        yield postbus


def worker_ends(postbus):
    worker = postbus.worker()
    assert worker.wait() == 1, worker.tail()
    [sentence] = worker.output().splitlines()
    assert sentence.startswith("postbus: ")
    return sentence


def test_missing_database_is_named_with_the_way_to_make_it(unprepared):
    sentence = worker_ends(unprepared)
    assert str(unprepared.database.path) in sentence
    assert "postbus migrate" in sentence
    assert not unprepared.database.path.exists()


def test_database_without_tables_is_told_how_to_get_them(unprepared):
    unprepared.database.execute("CREATE TABLE mine (n)")
    assert "postbus migrate" in worker_ends(unprepared)


def test_file_that_is_no_database_is_named(unprepared):
    unprepared.database.path.write_text("Dear diary, " * 1000)
    assert str(unprepared.database.path) in worker_ends(unprepared)


def test_directory_in_place_of_the_database_is_named(unprepared):
    unprepared.database.path.mkdir()
    worker = unprepared.worker()
    worker.wait_for_line(str(unprepared.database.path), "directory")


def test_table_that_vanishes_under_the_worker_is_named_and_waited_for(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    service.database.execute(
        "ALTER TABLE event_bus_outbound_event RENAME TO hidden"
    )
    worker.wait_for_line("relay", "stalled", "event_bus_outbound_event")
    service.database.execute(
        "ALTER TABLE hidden RENAME TO event_bus_outbound_event"
    )
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["status"] == "published"


def test_database_from_a_newer_postbus_is_left_alone(service):
    service.database.execute(
        "INSERT INTO event_bus_schema_version (version) VALUES (9999)"
    )
    worker = service.postbus.worker()
    assert worker.wait() == 1
    assert "newer" in worker.output()
