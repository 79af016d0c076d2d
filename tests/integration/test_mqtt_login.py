# SPDX-License-Identifier: MIT
"""MQTT over TLS, with a password, and what a Mosquitto allows to whom."""

import subprocess

import pytest

from support.certificates import Authority
from support.mqtt import Hub
from support.process import free_port, require
from support.servers import HOST, Mosquitto
from support.service import INBOX, event


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A password, what its owner may do, and certificates."""
    directory = tmp_path_factory.mktemp("mosquitto")
    passwords = directory / "passwords"
    command = [require("mosquitto_passwd"), "-b", "-c", passwords, "worker", "guest"]
    subprocess.run(command, check=True)
    (directory / "allowed").write_text("user worker\ntopic readwrite event/orders/#\n")
    authority = Authority(directory / "authority")
    certificate, key = authority.issue("broker")
    return directory, authority, certificate, key


@pytest.fixture
def hub(files):
    directory, _, certificate, key = files
    port = free_port()
    config = (
        f"password_file {directory}/passwords\n"
        f"acl_file {directory}/allowed\n"
        f"listener {port} {HOST}\n"
        f"certfile {certificate}\n"
        f"keyfile {key}\n"
    )
    with Mosquitto(config) as server:
        hub = Hub(server)
        hub.tls_port = port
        yield hub


@pytest.fixture
def new_mqtt(new_service, hub):
    def make(**settings):
        login = {"username": "worker", "password": "env:POSTBUS_TEST_PASSWORD"}
        topics = {"subscribe_topics": ["event/orders/#"]}
        return new_service("orders", vhost=hub, **{**login, **topics, **settings})

    return make


def test_rows_cross_both_ways_over_tls(new_mqtt, hub, files):
    ca_file = str(files[1].certificate)
    service = new_mqtt(tls=True, tls_ca_file=ca_file, port=hub.tls_port)
    service.start()
    seqs = service.insert(*(event(payload=f'"{"x" * 1000}"') for _ in range(100)))
    assert {row["status"] for row in service.settled(*seqs)} == {"published"}
    service.wait_count(INBOX, 100)


def test_a_broker_that_cannot_prove_who_it_is_is_refused(new_mqtt, hub, tmp_path):
    stranger = str(Authority(tmp_path / "stranger").certificate)
    service = new_mqtt(tls=True, tls_ca_file=stranger, port=hub.tls_port)
    worker = service.postbus.worker()
    service.wait_error(worker, "certificate")


def test_a_wrong_password_is_told(new_mqtt):
    service = new_mqtt()
    worker = service.postbus.worker(POSTBUS_TEST_PASSWORD="hunter2")
    service.wait_error(worker, "not authorised")
    assert "hunter2" not in worker.output()


def test_a_row_that_may_not_be_published_has_failed(new_mqtt):
    service = new_mqtt(max_retry_count=1)
    service.start()
    topics = "event.secret.thing.happened", "event.orders.thing.happened"
    refused, other = service.settled(*service.insert(*(event(topic=t) for t in topics)))
    assert (refused["status"], other["status"]) == ("error", "published")
    assert "not authorised" in refused["last_error"]
