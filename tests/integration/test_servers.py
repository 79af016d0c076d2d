# SPDX-License-Identifier: MIT
"""The servers that every other test stands on do what they promise."""

import os
import signal
import subprocess
import sys

import pika
import pytest

from support.process import Process, alive, tree, wait_until
from support.servers import Mosquitto, PostgreSQL, RabbitMQ

STARTS_ONE_AND_IS_KILLED = """
import os, signal, sys
from support import servers
server = getattr(servers, sys.argv[1])()
server.__enter__()
from support.process import tree
print(server.directory, *tree(os.getpid())[1:], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def publish(vhost, queue, body):
    with vhost.channel() as channel:
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", queue, body, persistent)


def bodies(vhost, queue):
    return [body for _, _, body in vhost.take(queue)]


def test_durable_message_survives_kill_of_rabbitmq(rabbitmq, vhost):
    publish(vhost, "kept", b"still here")
    rabbitmq.kill()
    rabbitmq.start()
    assert bodies(vhost, "kept") == [b"still here"]


def test_durable_message_survives_restart_of_rabbitmq(rabbitmq, vhost):
    publish(vhost, "kept", b"still here")
    rabbitmq.stop()
    rabbitmq.start()
    assert bodies(vhost, "kept") == [b"still here"]


def test_vhosts_do_not_see_each_other(rabbitmq, vhost):
    publish(vhost, "mine", b"x")
    rabbitmq.add_vhost("other")
    try:
        with rabbitmq.connect("other") as connection:
            with pytest.raises(pika.exceptions.ChannelClosedByBroker):
                connection.channel().queue_declare("mine", passive=True)
    finally:
        rabbitmq.delete_vhost("other")


def test_alarm_blocks_publishers_until_it_ends(rabbitmq, vhost):
    connection = rabbitmq.connect(vhost.name)
    heard = []
    connection.add_on_connection_blocked_callback(lambda *_: heard.append("blocked"))
    connection.add_on_connection_unblocked_callback(lambda *_: heard.append("unblocked"))

    def hears(word):
        connection.process_data_events(0)
        return word in heard

    with rabbitmq.alarm():
        connection.channel().basic_publish("", "nowhere", b"x")
        wait_until(lambda: hears("blocked"))
        assert "unblocked" not in heard
    wait_until(lambda: hears("unblocked"))
    connection.close()


def test_frozen_rabbitmq_answers_nobody_until_thawed(rabbitmq):
    rabbitmq.freeze()
    assert not rabbitmq.ready()
    rabbitmq.thaw()
    wait_until(rabbitmq.ready)


def test_rabbitmqctl_reaches_the_node(rabbitmq, vhost):
    assert vhost.name in rabbitmq.ctl("list_vhosts").split()


def test_retained_message_survives_restart_of_mosquitto(mosquitto):
    where = ["-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", "t"]
    subprocess.run(["mosquitto_pub", *where, "-q", "1", "-r", "-m", "kept"], check=True)
    mosquitto.stop()
    mosquitto.start()
    heard = subprocess.run(
        ["mosquitto_sub", *where, "-C", "1"], capture_output=True, check=True
    )
    assert heard.stdout == b"kept\n"


def test_committed_row_survives_kill_of_postgresql(postgresql, postgresql_database):
    postgresql_database.execute("CREATE TABLE t AS SELECT 'kept' AS word, 1 AS n")
    postgresql.kill()
    postgresql.start()
    assert postgresql_database.rows("SELECT * FROM t") == [{"word": "kept", "n": 1}]


def test_failing_statement_is_reported_not_ignored(postgresql_database):
    with pytest.raises(RuntimeError, match="nowhere"):
        postgresql_database.execute("SELECT * FROM nowhere")


@pytest.mark.parametrize("kind", [RabbitMQ, Mosquitto, PostgreSQL])
def test_closed_server_leaves_no_process_and_no_file(kind):
    before = set(tree(os.getpid()))
    with kind() as server:
        members = set(tree(os.getpid())) - before
        directory = server.directory
        assert server.process.pid in members and directory.is_dir()
    assert not any(map(alive, members))
    assert not directory.exists()


@pytest.mark.parametrize("kind", ["rabbitmq", "mosquitto", "postgresql"])
def test_every_port_is_on_loopback(kind, request):
    server = request.getfixturevalue(kind)
    owners = [f"pid={pid}," for pid in tree(os.getpid())]
    listening = subprocess.run(
        ["ss", "-Hltnp"], capture_output=True, text=True, check=True
    ).stdout
    addresses = [
        line.split()[3]
        for line in listening.splitlines()
        if any(owner in line for owner in owners)
    ]
    assert server.address in addresses
    assert all(a.startswith(("127.0.0.1:", "[::1]:")) for a in addresses)


@pytest.mark.parametrize("kind", ["RabbitMQ", "Mosquitto", "PostgreSQL"])
def test_servers_end_with_a_killed_test_run(kind, tmp_path):
    starter = subprocess.run(
        [sys.executable, "-c", STARTS_ONE_AND_IS_KILLED, kind],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    directory, *members = starter.stdout.split()
    assert members
    wait_until(lambda: not any(alive(int(pid)) for pid in members))
    subprocess.run(["rm", "-r", directory], check=True)


def test_server_that_cannot_start_says_why(tmp_path):
    server = Mosquitto(config="no_such_option yes")
    with pytest.raises(AssertionError, match="no_such_option"):
        server.__enter__()
    assert not server.directory.exists()


def test_log_of_a_process_is_waited_for(tmp_path):
    with Process(["sh", "-c", "echo one; sleep 60"], tmp_path / "log") as process:
        process.wait_for_output("one")
    with Process(["sh", "-c", "echo one"], tmp_path / "log2") as process:
        with pytest.raises(AssertionError, match="ended without 'two'"):
            process.wait_for_output("two")
