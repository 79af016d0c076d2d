# SPDX-License-Identifier: MIT
"""TLS: a broker that cannot prove who it is learns nothing."""

import pytest

from support.certificates import Authority
from support.listeners import TlsListener
from support.process import free_port, wait_until
from support.service import INBOX, encode, envelope, event
from support.servers import RabbitMQ
from support.vhost import Vhost


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def secure_rabbitmq(authority):
    """Wants a certificate of its clients, too."""
    certificate, key = authority.issue("broker")
    port = free_port()
    config = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {authority.certificate}\n"
        f"ssl_options.certfile = {certificate}\n"
        f"ssl_options.keyfile = {key}\n"
        "ssl_options.verify = verify_peer\n"
        "ssl_options.fail_if_no_peer_cert = true\n"
    )
    with RabbitMQ(config) as server:
        server.tls_port = port
        yield server


def client(authority):
    certificate, key = authority.issue("client")
    return {
        "tls": True,
        "tls_ca_file": str(authority.certificate),
        "tls_cert_file": str(certificate),
        "tls_key_file": str(key),
    }


def test_messages_cross_both_ways_over_tls(new_service, authority, secure_rabbitmq):
    vhost = Vhost(secure_rabbitmq, "/")
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service(
        "orders", vhost=vhost, port=secure_rabbitmq.tls_port, **client(authority)
    )
    worker = service.start()
    [seq] = service.insert(event())
    vhost.publish(encode(envelope()))
    assert service.settled(seq)[0]["status"] == "published"
    service.wait_count(INBOX, 1)
    assert vhost.count("probe") == 1
    worker.stop()


def test_worker_without_the_certificate_that_is_asked_for_is_told(
    new_service, authority, secure_rabbitmq
):
    settings = client(authority)
    del settings["tls_cert_file"], settings["tls_key_file"]
    vhost = Vhost(secure_rabbitmq, "/")
    service = new_service(
        "orders", vhost=vhost, port=secure_rabbitmq.tls_port, **settings
    )
    worker = service.postbus.worker()
    worker.wait_for_line("relay", "away", "certificate")
    assert worker.running()


def certificate_of(kind, authority, directory):
    if kind == "unknown":
        return Authority(directory / "theirs").issue("broker")
    if kind == "expired":
        return authority.issue("expired", days=-1)
    if kind == "other host":
        return authority.issue("other", "DNS:broker.example")
    return authority.issue("broker")


@pytest.mark.parametrize(
    "kind, words",
    [
        ("unknown", ["certificate"]),
        ("expired", ["certificate", "expired"]),
        ("other host", ["certificate", "127.0.0.1"]),
    ],
)
def test_certificate_that_proves_nothing_is_refused_before_a_word_is_sent(
    new_service, authority, tmp_path, kind, words
):
    with TlsListener(*certificate_of(kind, authority, tmp_path)) as listener:
        service = new_service(
            "orders", port=listener.port, tls=True, tls_ca_file=str(authority.certificate)
        )
        worker = service.postbus.worker()
        worker.wait_for_line("relay", "away", *words)
        worker.wait_for_line("intake", "away", *words)
        wait_until(lambda: listener.connections >= 4)  # and it is tried again
        worker.stop()
    assert listener.received == b""


def test_certificate_that_is_good_is_believed(new_service, authority):
    """Shows that the listener of the test above would hear a credulous client."""
    with TlsListener(*certificate_of("good", authority, None)) as listener:
        service = new_service(
            "orders", port=listener.port, tls=True, tls_ca_file=str(authority.certificate)
        )
        service.postbus.worker()
        wait_until(lambda: listener.received.startswith(b"AMQP"))


def test_plain_port_behind_a_tls_config_is_named(new_service, authority, rabbitmq):
    service = new_service("orders", tls=True, tls_ca_file=str(authority.certificate))
    worker = service.postbus.worker()
    worker.wait_for_line("relay", "away", "TLS", rabbitmq.address)


def test_tls_port_behind_a_plain_config_is_named(new_service, secure_rabbitmq):
    vhost = Vhost(secure_rabbitmq, "/")
    service = new_service("orders", vhost=vhost, port=secure_rabbitmq.tls_port)
    worker = service.postbus.worker()
    worker.wait_for_line("relay", "away", str(secure_rabbitmq.tls_port))


def test_missing_ca_file_is_named(new_service, tmp_path):
    service = new_service("orders", tls=True, tls_ca_file=str(tmp_path / "none.pem"))
    worker = service.postbus.worker()
    worker.wait_for_line("relay", "away", "none.pem")
