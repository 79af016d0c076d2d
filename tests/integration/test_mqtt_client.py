# SPDX-License-Identifier: MIT
"""The public MQTT client with a real Mosquitto, paho and mosquitto's own tools."""

import re
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from support.certificates import Authority
from support.listeners import Listener, TlsListener
from support.mqtt import Peer
from support.mqtt_client import BUILD, Client
from support.process import Process, free_port, require, wait_until
from support.servers import HOST, Mosquitto, RabbitMQ

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


def url(server):
    return f"mqtt://{server.address}"


@pytest.fixture
def client(mosquitto):
    with Client(url(mosquitto)) as made:
        made.connect()
        yield made


# ---- the examples ----


def example(name):
    return BUILD / "examples" / name


def test_examples_talk_to_each_other(mosquitto, tmp_path):
    subscriber = [example("mqtt-subscribe"), url(mosquitto), "a/#"]
    with Process(subscriber, tmp_path / "log") as listening:
        listening.wait_for_output("subscribed with QoS 2")
        publisher = [example("mqtt-publish"), url(mosquitto), "a/b", "hello"]
        subprocess.run(publisher, check=True)
        listening.wait_for_output("a/b hello")


def test_published_example_reaches_mosquitto_sub(mosquitto, tmp_path):
    where = ["-h", HOST, "-p", mosquitto.port, "-t", "a", "-v", "-d"]
    by_line = [require("stdbuf"), "-oL", require("mosquitto_sub")]
    with Process([*by_line, *where], tmp_path / "log") as heard:
        heard.wait_for_output("Subscribed")
        publisher = [example("mqtt-publish"), url(mosquitto), "a", "hello"]
        subprocess.run(publisher, check=True)
        heard.wait_for_output("a hello")


def test_mosquitto_pub_reaches_the_subscribe_example(mosquitto, tmp_path):
    subscriber = [example("mqtt-subscribe"), url(mosquitto), "#"]
    with Process(subscriber, tmp_path / "log") as listening:
        listening.wait_for_output("subscribed")
        where = ["-h", HOST, "-p", str(mosquitto.port), "-q", "2"]
        subprocess.run(["mosquitto_pub", *where, "-t", "x", "-m", "hi"], check=True)
        listening.wait_for_output("x hi")


# ---- both ways with paho ----


@VERSIONS
@QOS
def test_paho_hears_what_the_client_publishes(mosquitto, version, qos):
    with Client(url(mosquitto), version=version) as client:
        client.connect()
        with Peer(mosquitto.port, "t", qos=2) as peer:
            assert client.publish("m", "t", qos, "hello") == 0
            (message,) = peer.wait(1)
    assert (message.payload, message.qos) == (b"hello", qos)


@VERSIONS
@QOS
def test_client_hears_what_paho_publishes(mosquitto, version, qos):
    with Client(url(mosquitto), version=version) as client:
        client.connect()
        assert client.subscribe("t/+") == 2
        with Peer(mosquitto.port) as peer:
            peer.publish("t/1", b"hello", qos)
        assert client.wait("message", "t/1", "hello")[3] == f"qos={qos}"


def test_properties_go_both_ways(mosquitto, client):
    decorations = (
        *("content_type=x/y", "response_topic=r", "correlation_data=c"),
        *("expiry=100", "text=1", "a:1", "a:2"),
    )
    client.subscribe("t")
    with Peer(mosquitto.port, "t") as peer:
        assert client.publish("m", "t", 1, "hello", *decorations) == 0
        (message,) = peer.wait(1)
    assert message.properties.ContentType == "x/y"
    assert message.properties.ResponseTopic == "r"
    assert message.properties.CorrelationData == b"c"
    assert message.properties.MessageExpiryInterval in (99, 100)
    assert message.properties.PayloadFormatIndicator == 1
    assert message.properties.UserProperty == [("a", "1"), ("a", "2")]
    line = client.wait("message", "t", "hello")
    assert {d for d in decorations if not d.startswith("expiry")} <= set(line)


def test_thousand_messages_come_in_order(mosquitto, client):
    client.subscribe("t", 1)
    with Peer(mosquitto.port) as peer:
        for number in range(1000):
            peer.client.publish("t", str(number), 1)
        client.wait("message", number=1000)
    assert [int(line[2]) for line in client.told("message")] == list(range(1000))


def test_message_of_a_megabyte_arrives_whole(mosquitto, client):
    client.subscribe("t", 1)
    body = "x" * (1 << 20)
    with Peer(mosquitto.port) as peer:
        peer.publish("t", body)
        peer.publish("t", "next")
        client.wait("message", "t", "next")
    assert client.told("message")[0][2] == body


def test_unsubscribed_topic_is_heard_no_more(mosquitto, client):
    client.subscribe("a")
    client.subscribe("b")
    client.do("unsubscribe", "u", "a")
    assert client.wait("done", "u")[2] == "0"
    with Peer(mosquitto.port) as peer:
        peer.publish("a", "one")
        peer.publish("b", "two")
        client.wait("message", "b", "two")
    assert not client.told("message", "a")


# ---- acknowledging ----


def test_message_not_acknowledged_comes_again_after_a_kill(mosquitto):
    options = {
        "client_id": "kept",
        "clean_start": "false",
        "manual_ack": "true",
        "session_expiry": 600,
    }
    with Client(url(mosquitto), **options) as first:
        assert not first.connect()
        first.subscribe("t", 1)
        with Peer(mosquitto.port) as peer:
            for word in "one", "two", "three":
                peer.publish("t", word)
        first.wait("message", number=3)
        first.do("acknowledge", 1)
        first.do("publish", "after", "x", 1, "y")
        first.wait("done", "after")
        first.kill()
    with Client(url(mosquitto), **options) as second:
        assert second.connect()
        second.wait("message", number=2)
        assert [line[2] for line in second.told("message")] == ["two", "three"]
        assert all("dup=1" in line for line in second.told("message"))


# ---- breaks ----


def test_client_connects_again_and_finds_its_subscriptions(mosquitto):
    options = {"client_id": "stays", "clean_start": "false"}
    with Client(url(mosquitto), **options) as client:
        assert not client.connect()
        client.subscribe("t", 1)
        mosquitto.stop()
        client.wait("disconnected")
        mosquitto.start()
        assert client.wait("connected", number=2) == ["connected", "1"]
        with Peer(mosquitto.port) as peer:
            peer.publish("t", "after")
        client.wait("message", "t", "after")


def test_publish_in_flight_is_done_after_the_break(mosquitto):
    """Sent into a frozen server whose line is then cut: it goes again."""
    options = {"client_id": "stays", "keep_alive": 1}
    with Client(url(mosquitto), **options) as client:
        client.connect()
        mosquitto.freeze()
        client.do("publish", "m", "t", 1, "hello", "retain=1")
        client.wait("disconnected")
        assert not client.told("done", "m")
        mosquitto.thaw()
        assert client.wait("done", "m")[2] == "0"
    with Peer(mosquitto.port, "t") as peer:
        assert peer.wait(1)[0].payload == b"hello"


def test_goodbye_ends_it_and_leaves_no_will(mosquitto):
    with Peer(mosquitto.port, "will") as peer, Client(url(mosquitto)) as client:
        client.do("will", "will", 1, "gone")
        client.connect()
        client.do("disconnect")
        assert client.wait("disconnected")[1] == "0"
        peer.publish("will", "nobody-died")
        assert [message.payload for message in peer.wait(1)] == [b"nobody-died"]


def test_will_is_published_for_who_is_killed(mosquitto):
    with Peer(mosquitto.port, "will") as peer, Client(url(mosquitto)) as client:
        client.do("will", "will", 1, "gone", "retain=1")
        client.connect()
        client.kill()
        assert peer.wait(1)[0].payload == b"gone"


def test_silent_server_is_left_and_tried_again():
    with Listener() as listener:
        address = f"mqtt://{HOST}:{listener.port}"
        with Client(address, connect_timeout=1) as client:
            client.do("connect")
            assert client.wait("disconnected")[1] == "-6"
            wait_until(lambda: listener.connections >= 2)


# ---- refusals ----


def test_what_cannot_be_published_is_refused_with_a_reason(client):
    client.do("publish", "m", "a/+/b", 1, "x")
    assert "wildcard" in " ".join(client.wait("failed", "publish", "-1"))
    assert client.publish("n", "a/b", 1, "x") == 0


@pytest.fixture
def strict(tmp_path):
    """Lets anybody read and write below free/ only."""
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite free/#\n")
    rules.chmod(0o644)
    with Mosquitto(f"acl_file {rules}\n") as server:
        yield server


def test_publish_the_server_refuses_is_told(strict):
    with Client(url(strict)) as client:
        client.connect()
        assert client.publish("m", "secret", 1, "x") == -3
        assert client.publish("n", "secret", 2, "x") == -3
        assert client.publish("o", "free/x", 2, "x") == 0


def test_subscription_the_server_refuses_is_told():
    """Mosquitto's rules let everybody subscribe; a server of ours does not."""
    suback = bytes.fromhex("900400010087")

    class Refusing(Listener):
        def serve(self, peer):
            peer.recv(4096)
            peer.sendall(bytes.fromhex("2003000000"))
            peer.recv(4096)
            peer.sendall(suback)
            self.read(peer)

    with Refusing() as server, Client(f"mqtt://{HOST}:{server.port}") as client:
        client.connect()
        client.do("subscribe", "s", "secret", 1)
        assert client.wait("granted", "s") == ["granted", "s", "-3", "135"]


def test_window_that_is_full_is_back_pressure():
    with Mosquitto("max_inflight_messages 2\n") as server:
        with Client(url(server)) as client:
            client.connect()
            server.freeze()
            for name in "abc":
                client.do("publish", name, "t", 1, "x")
            client.wait("failed", "publish", "-8")
            server.thaw()
            client.wait("done", number=2)
            assert client.publish("c", "t", 1, "x") == 0
    assert [line[2] for line in client.told("done")] == ["0", "0", "0"]


def test_asking_while_not_connected_is_refused():
    with Client(f"mqtt://{HOST}:{free_port()}") as client:
        client.do("connect")
        client.do("publish", "m", "t", 1, "x")
        client.wait("failed", "publish", "-6")


@pytest.mark.parametrize(
    "name, value", [("keep_alive", "70000"), ("version", "4"), ("colour", "red")]
)
def test_option_that_cannot_be_is_named(mosquitto, name, value):
    with Client(url(mosquitto)) as client:
        client.do("set", name, value)
        line = " ".join(client.wait("failed", "set", "-1"))
    assert name in line


@pytest.mark.parametrize("bad", ["http://x", "mqtt://", "mqtt://h:0", "unix:x"])
def test_url_that_cannot_be_is_named(bad):
    with Client(bad) as client:
        client.do("connect")
        assert "no URL" in " ".join(client.wait("failed", "connect", "-1"))


def test_wrong_password_is_told(tmp_path):
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "u", "right"], check=True
    )
    passwords.chmod(0o644)
    config = f"allow_anonymous false\npassword_file {passwords}\n"
    with Mosquitto(config) as server:
        with Client(url(server), username="u", password="wrong") as client:
            client.do("connect")
            assert client.wait("disconnected")[1] == "-3"
        with Client(url(server), username="u", password="right") as client:
            client.connect()


def test_server_without_version_5_is_spoken_to_in_3():
    refusal = b"\x20\x02\x00\x01"
    welcome = b"\x20\x02\x00\x00"

    class Old(Listener):
        def serve(self, peer):
            hello = peer.recv(4096)
            peer.sendall(refusal if hello[8] == 5 else welcome)
            if hello[8] == 4:
                self.read(peer)

    with Old() as old, Client(f"mqtt://{HOST}:{old.port}") as client:
        client.connect()
        assert not client.told("disconnected")


# ---- RabbitMQ's MQTT plugin ----


@pytest.fixture(scope="module")
def plugin():
    """The URL of a RabbitMQ that speaks MQTT 3.1.1."""
    port = free_port()
    config = f"mqtt.listeners.tcp.1 = {HOST}:{port}\nmqtt.allow_anonymous = true\n"
    with RabbitMQ(config, plugins=["mqtt"]):
        yield f"mqtt://{HOST}:{port}"


def test_rabbitmq_is_spoken_to_in_3(plugin):
    with Client(plugin) as client:
        client.connect()
        assert not client.told("disconnected")
        assert client.subscribe("a/#", 2) == 1  # it knows no QoS 2
        assert client.publish("m", "a/b", 1, "hello") == 0
        assert client.wait("message", "a/b", "hello")[3] == "qos=1"


def test_rabbitmq_keeps_what_is_not_acknowledged(plugin):
    options = {
        "client_id": "kept",
        "version": "3.1.1",
        "clean_start": "false",
        "manual_ack": "true",
    }
    with Client(plugin, **options) as first:
        assert not first.connect()
        first.subscribe("k", 1)
        for word in "one", "two", "three":
            first.publish(word, "k", 1, word)
        first.wait("message", number=3)
        first.do("acknowledge", 1)
        first.publish("after", "x", 1, "y")
        first.kill()
    with Client(plugin, **options) as second:
        assert second.connect()
        second.wait("message", number=2)
        assert {line[2] for line in second.told("message")} == {"two", "three"}


# ---- transports ----


def test_unix_socket_is_a_transport(tmp_path):
    with Mosquitto(f"listener 0 {tmp_path}/socket\n") as server:
        with Client(f"unix:{tmp_path}/socket") as client:
            client.connect()
            client.subscribe("t")
            with Peer(server.port) as peer:
                peer.publish("t", "hello")
            client.wait("message", "t", "hello")


def test_socket_that_is_not_there_is_told(tmp_path):
    with Client(f"unix:{tmp_path}/nothing") as client:
        client.do("connect")
        assert "No such file" in " ".join(client.wait("disconnected", "-6"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


def test_tls_is_a_transport(authority):
    certificate, key = authority.issue("broker")
    for path in key, authority.directory:
        Path(path).chmod(0o755)
    port = free_port()
    config = (
        f"listener {port} {HOST}\n"
        f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
    )
    with Mosquitto(config):
        options = {"ca_file": authority.certificate}
        with Client(f"mqtts://{HOST}:{port}", **options) as client:
            client.connect()
            assert client.publish("m", "t", 2, "hello") == 0


def test_server_that_cannot_prove_who_it_is_hears_nothing(authority):
    with TlsListener(*authority.issue("stranger")) as stranger:
        with Client(f"mqtts://{HOST}:{stranger.port}") as client:
            client.do("connect")
            assert client.wait("disconnected")[1] == "-3"
    assert stranger.received == b""


# ---- the library ----


def test_library_shows_the_names_of_its_headers_and_no_others():
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", BUILD / "libpostbus.so"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    shown = {line.split()[0] for line in symbols.splitlines()}
    include = Path(__file__).resolve().parents[2] / "include" / "postbus"
    headers = "".join(path.read_text() for path in include.glob("*.h"))
    named = re.findall(r"^POSTBUS_API[^;(]*?(\w+)\s*\(", headers, re.M)
    assert named and shown == set(named)


@pytest.mark.release
def test_idle_client_holds_less_than_100_kib(mosquitto, tmp_path):
    """Measured as what two hundred hold more than one, in one process."""
    crowd = BUILD / "tests" / "support" / "mqtt-crowd"
    with Process([crowd, url(mosquitto), "200"], tmp_path / "log") as process:
        line = process.wait_for_line("bytes", "each")
    assert int(line.split()[0]) < 100 * 1024
