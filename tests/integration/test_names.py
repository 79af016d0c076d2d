# SPDX-License-Identifier: MIT
"""Host names that do not resolve, or that nobody answers for."""

import contextlib
import socket
import subprocess

import pytest

from support.process import wait_until
from support.service import INBOX, event, message
from support.servers import HOST

ENDED = 6  # seconds: a drain, and what it takes to give up a call
SLACK = 5  # of a busy machine
DNS = "127.5.3.5"  # a loopback address of the tests' own


class MuteDNS:
    """A name server that never answers whoever runs behind `prefix`."""

    def __init__(self, directory):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0)
        self.socket.bind((DNS, 53))
        settings = directory / "resolv.conf"
        settings.write_text(f"nameserver {DNS}\noptions timeout:10 attempts:3\n")
        inside = f'mount --bind {settings} /etc/resolv.conf && exec "$0" "$@"'
        self.prefix = ["unshare", "--mount", "sh", "-c", inside]

    def asked(self, label):
        """Whether somebody has asked for a name with that label lately."""
        with contextlib.suppress(BlockingIOError):
            return label.encode() in self.socket.recv(4096)
        return False


@pytest.fixture
def mute_dns(tmp_path):
    try:
        dns = MuteDNS(tmp_path)
    except PermissionError:
        pytest.skip("may not listen on port 53")
    with dns.socket:
        if subprocess.run([*dns.prefix, "true"], check=False).returncode != 0:
            pytest.skip("may not mount a file")
        yield dns


def test_name_that_resolves_not_leaves_the_next_host_and_other_keys_alone(
    new_service, vhost, mute_dns
):
    """The lookup takes for ever; whoever needs none goes on."""
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders")
    elsewhere = vhost.settings(source_service="elsewhere", host="broker.example")
    service.postbus.configure("other", **elsewhere)
    service.postbus.prefix = mute_dns.prefix
    stuck = service.postbus.worker("other")
    wait_until(lambda: service.beat(stuck))
    worker = service.start()
    [seq] = service.insert(event())
    vhost.publish_all([message()])
    assert service.settled(seq)[0]["status"] == "published"
    service.wait_count(INBOX, 1)
    seen = service.beat(stuck)["heartbeat_at"]
    wait_until(lambda: service.beat(stuck)["heartbeat_at"] > seen)
    worker.stop()


def test_next_host_is_tried_where_a_name_does_not_resolve(new_service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    hosts = f"no-such-host.invalid,{HOST}:{vhost.server.port}"
    service = new_service("orders", host=hosts)
    service.start()
    assert service.settled(*service.insert(event()))[0]["retry_count"] == 0


def test_worker_ends_in_time_while_the_brokers_name_is_looked_up(new_service, mute_dns):
    service = new_service("orders", host="broker.example")
    service.postbus.prefix = mute_dns.prefix
    worker = service.postbus.worker()
    wait_until(lambda: service.beat(worker))
    assert worker.terminate(timeout=ENDED + SLACK) == 0, worker.tail()


@pytest.mark.parametrize("store", ["postgresql"])
def test_worker_ends_in_time_while_the_databases_name_is_looked_up(
    new_service, mute_dns, store
):
    service = new_service("orders")
    service.postbus.prefix = mute_dns.prefix
    url = "postgresql://postgres@database.example/postgres"
    worker = service.postbus.worker(POSTBUS_DATABASE_URL=url)
    wait_until(lambda: mute_dns.asked("database"))
    assert worker.terminate(timeout=ENDED + SLACK) == 0, worker.tail()
