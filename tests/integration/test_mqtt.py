# SPDX-License-Identifier: MIT
"""Rows out of the outbox and into the inbox over a real Mosquitto."""

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from support.mqtt import Hub
from support.postbus import PostgreSQLDatabase
from support.process import require, wait_until
from support.service import INBOX, OUTBOX, REJECTED, encode, envelope, event, request


@pytest.fixture(params=["sqlite", "postgresql"])
def each_store(request):
    return request.param


@pytest.fixture
def store(request):
    """Of a test that asks for `each_store`: that one."""
    wanted = "each_store" in request.fixturenames
    return request.getfixturevalue("each_store") if wanted else "sqlite"


@pytest.fixture
def hub(mosquitto):
    return Hub(mosquitto)


@pytest.fixture
def new_mqtt(new_service, hub):
    """Makes services on the hub; settings are columns of their config."""

    def make(name="orders", **settings):
        return new_service(name, vhost=hub, **settings)

    return make


def user_properties(message):
    return dict(message.properties.UserProperty)


# ---- out ----


def test_an_event_goes_out_as_an_envelope_with_properties(new_mqtt, hub):
    service = new_mqtt()
    with hub.peer("event/#") as peer:
        service.start()
        (seq,) = service.insert(
            event(payload='{"a": 1.50}', headers='{"traceparent": "00-ab"}')
        )
        (row,) = service.settled(seq)
        (message,) = peer.wait(1)
    assert (row["status"], row["last_error"]) == ("published", None)
    assert message.topic == "event/orders/thing/happened"
    body = json.loads(message.payload)
    assert body["topic"] == "event.orders.thing.happened"
    assert b'"payload":{"a": 1.50}' in message.payload
    assert message.properties.ContentType == "application/json"
    assert message.properties.PayloadFormatIndicator == 1
    assert user_properties(message) == {
        "message_id": body["message_id"],
        "type": "event",
        "source": "orders",
        "traceparent": "00-ab",
    }


def test_a_request_says_where_its_response_goes(new_mqtt, hub):
    service = new_mqtt()
    with hub.peer("billing/#") as peer:
        service.start()
        service.settled(*service.insert(request(request_id="r-1")))
        (message,) = peer.wait(1)
    assert message.topic == "billing/request/invoice/create"
    assert message.properties.ResponseTopic == "orders/response/invoice/create"
    assert message.properties.CorrelationData == b"r-1"


def test_a_row_that_expires_is_a_message_that_expires(new_mqtt, hub):
    service = new_mqtt()
    with hub.peer("event/#") as peer:
        service.start()
        service.insert(event(expires_at="2999-01-01 00:00:00.000000"), event())
        service.database.execute(
            f"INSERT INTO {OUTBOX} (topic, event_type, expires_at)"
            " VALUES ('event.a.b.c', 'a', datetime('now', '+1 hour'))"
        )
        far, never, hour = peer.wait(3)
    assert not hasattr(never.properties, "MessageExpiryInterval")
    assert not hasattr(far.properties, "MessageExpiryInterval")
    assert 3000 < hour.properties.MessageExpiryInterval <= 3600


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_rows_go_out_in_order_at_every_qos(new_mqtt, hub, qos):
    service = new_mqtt(qos=qos)
    with hub.peer("event/#", qos=2) as peer:
        service.start()
        seqs = service.insert(*(event(payload=str(i)) for i in range(200)))
        assert {row["status"] for row in service.settled(*seqs)} == {"published"}
        messages = peer.wait(200)
    assert [json.loads(m.payload)["payload"] for m in messages] == list(range(200))
    assert {m.qos for m in messages} == {qos}


def test_a_bare_payload_and_a_prefix_with_dots(new_mqtt, hub):
    service = new_mqtt(payload_format="bare", topic_prefix="plant", topic_style="dots")
    with hub.peer("#") as peer:
        service.start()
        service.settled(*service.insert(event(payload="[1.0]")))
        (message,) = peer.wait(1)
    assert message.topic == "plant.event.orders.thing.happened"
    assert message.payload == b"[1.0]"


def test_a_retained_message_waits_for_who_comes_later(new_mqtt, hub):
    service = new_mqtt(retain=True)
    service.start()
    service.settled(*service.insert(event()))
    with hub.peer("event/#") as peer:
        (message,) = peer.wait(1)
    assert message.retain


@pytest.mark.parametrize("prefix", ["plant/+", "all/#", "$SYS"])
def test_a_topic_that_mqtt_cannot_carry_is_invalid(new_mqtt, prefix):
    service = new_mqtt(topic_prefix=prefix)
    service.start()
    (row,) = service.settled(*service.insert(event()))
    assert row["status"] == "invalid"
    assert prefix in row["last_error"] and "topic" in row["last_error"]


def test_a_request_that_nobody_has_subscribed_to_has_failed(new_mqtt):
    service = new_mqtt(max_retry_count=1)
    service.start()
    lost, noted = service.settled(*service.insert(request(), event()))
    assert lost["status"] == "error"
    assert "nobody has subscribed" in lost["last_error"]
    assert noted["status"] == "published"
    assert "nobody has subscribed" in noted["last_error"]


def test_version_3_speaks_with_mosquitto_sub(new_mqtt, mosquitto):
    service = new_mqtt(protocol_version=4)
    service.start()
    command = [require("mosquitto_sub"), "-p", str(mosquitto.port), "-C", "1"]
    with subprocess.Popen(
        [*command, "-t", "event/orders/#"], stdout=subprocess.PIPE
    ) as peer:
        while peer.poll() is None:  # nothing tells when it has subscribed
            service.settled(*service.insert(event()))
        out, _ = peer.communicate()
    assert json.loads(out)["topic"] == "event.orders.thing.happened"


def test_a_killed_worker_leaves_its_will(new_mqtt, hub):
    service = new_mqtt(will_topic="workers/gone", will_payload="orders")
    with hub.peer("workers/#") as peer:
        service.start().stop()
        assert peer.messages == []
        service.start().kill()
        (message,) = peer.wait(1)
    assert message.payload == b"orders"


# ---- in ----


def test_what_mosquitto_pub_sends_is_in_the_inbox(new_mqtt, mosquitto):
    service = new_mqtt()
    service.start()
    subprocess.run(
        [
            *(require("mosquitto_pub"), "-p", str(mosquitto.port), "-q", "1"),
            *("-t", "event/elsewhere/thing/happened", "-s"),
        ],
        input=encode(envelope(message_id="m-1", payload={"a": 1})),
        check=True,
    )
    service.wait_count(INBOX, 1)
    (row,) = service.inbox()
    assert (row["message_id"], row["broker_type"]) == ("m-1", "mqtt")
    assert row["topic"] == "event.elsewhere.thing.happened"


@pytest.mark.parametrize("version", [4, 5])
def test_what_paho_sends_at_every_qos_is_in_the_inbox_once(new_mqtt, hub, version):
    service = new_mqtt(qos=2, protocol_version=version)
    service.start()
    with hub.peer(version=version) as peer:
        for qos in (0, 1, 2):
            body = encode(envelope(message_id=f"q-{qos}"))
            peer.publish("event/elsewhere/thing/happened", body, qos)
            peer.publish("event/elsewhere/thing/happened", body, qos)
    service.wait_count(INBOX, 3)
    assert {row["message_id"] for row in service.inbox()} == {"q-0", "q-1", "q-2"}
    assert service.rejected() == []


def test_what_the_envelope_lacks_the_properties_say(new_mqtt, hub):
    service = new_mqtt()
    service.start()
    bare = envelope(message_id=None, topic=None, source_service=None, message_type=None)
    with hub.peer() as peer:
        peer.publish(
            "event/elsewhere/thing/happened",
            encode(bare),
            UserProperty=[
                *(("message_id", "m-2"), ("type", "event"), ("source", "gauge")),
                ("traceparent", "00-cd"),
            ],
        )
    service.wait_count(INBOX, 1)
    (row,) = service.inbox()
    assert row["message_id"] == "m-2"
    assert row["source_service"] == "gauge"
    assert row["topic"] == "event.elsewhere.thing.happened"
    assert json.loads(row["headers"]) == {"traceparent": "00-cd"}


@pytest.mark.usefixtures("each_store")
def test_one_service_reads_what_another_sends(new_mqtt):
    sender = new_mqtt("elsewhere", intake_enabled=False)
    receiver = new_mqtt("orders", relay_enabled=False)
    sender.start(intake=None)
    receiver.start(relay=None)
    row = event(topic="event.elsewhere.thing.happened", ordering_key="k")
    sender.insert(*(dict(row, payload=str(i)) for i in range(100)))
    receiver.wait_count(INBOX, 100)
    sender.wait_count(OUTBOX, 100, "status = 'published'")
    assert [int(row["payload"]) for row in receiver.inbox()] == list(range(100))
    assert {row["ordering_key"] for row in receiver.inbox()} == {"k"}


def test_what_came_while_the_worker_was_gone_is_there_when_it_is_back(new_mqtt, hub):
    service = new_mqtt()
    service.start().stop()
    with hub.peer() as peer:
        for i in range(50):
            peer.publish("event/elsewhere/thing/happened", encode(envelope()))
    service.start()
    service.wait_count(INBOX, 50)


def test_a_message_that_is_too_large_is_rejected_and_others_flow(new_mqtt, hub):
    service = new_mqtt(max_message_bytes=1024)
    service.start()
    with hub.peer() as peer:
        peer.publish("edgex/other", b"x" * 1_000_000)
        peer.publish("edgex/other", b"1")
    service.wait_count(INBOX, 1)
    service.wait_count(REJECTED, 1)
    (row,) = service.rejected()
    assert "found 1000000 bytes, at most 1024" in row["reason"]


SAMPLES = Path(__file__).resolve().parent.parent / "data" / "edgex"
COLUMNS = "message_id message_type event_type source_service payload topic".split()


@pytest.mark.usefixtures("each_store")
@pytest.mark.parametrize("table", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_edgex_and_whatever_else_becomes_its_rows(new_mqtt, hub, table):
    service = new_mqtt(subscribe_topics=["#"])
    service.start()
    with hub.peer() as peer:
        for sample in json.loads(table.read_text()):
            publish_sample(peer, sample)
            found = taken(service)
            wanted = expected(sample)
            if isinstance(service.database, PostgreSQLDatabase) and "row" in sample:
                wanted["payload"] = json.loads(wanted["payload"])
            assert found == wanted, sample["name"]


def publish_sample(peer, sample):
    body = sample["body"]
    if isinstance(body, dict):
        body = bytes.fromhex(body["hex"])
    properties = {}
    if "content_type" in sample:
        properties["ContentType"] = sample["content_type"]
    names = {"message_id": "message_id", "app_id": "source"}
    user = [(names[n], v) for n, v in sample.items() if n in names]
    if user:
        properties["UserProperty"] = user
    peer.publish(sample["topic"], body, **properties)


def expected(sample):
    if "rejected" in sample:
        return sample["rejected"]
    return {"topic": sample["topic"], **sample["row"]}


def taken(service):
    """The one row that has come, out of the tables: a dict, or a reason."""
    wait_until(lambda: service.inbox() or service.rejected(), what="a row")
    rows, rejected = service.inbox(), service.rejected()
    service.database.execute(f"DELETE FROM {INBOX}; DELETE FROM {REJECTED}")
    if rejected:
        return rejected[0]["reason"]
    row = rows[0]
    if isinstance(row["headers"], str):
        row["headers"] = json.loads(row["headers"])
    return {name: row[name] for name in (*COLUMNS, "headers")}


def test_an_edgex_event_that_comes_again_is_ignored(new_mqtt, hub):
    service = new_mqtt()
    worker = service.start()
    first = json.loads((SAMPLES / "v3.json").read_text())[0]
    with hub.peer() as peer:
        publish_sample(peer, first)
        publish_sample(peer, first)
        peer.publish("edgex/other", b"1")
    service.wait_count(INBOX, 2)
    assert service.rejected() == []
    worker.stop()
    assert "intake messages=2 failures=0 duplicates=1" in worker.output()


def test_retained_messages_come_once(new_mqtt, hub):
    with hub.peer() as peer:
        peer.publish("edgex/other", b'"kept"', retain=True)
        service = new_mqtt()
        service.start().stop()
        service.start()
        peer.publish("edgex/other", b'"new"')
    service.wait_count(INBOX, 2)


# ---- the session ----


@pytest.mark.usefixtures("each_store")
def test_only_one_intake_connects_and_another_takes_over(new_mqtt, hub):
    service = new_mqtt()
    first = service.start()
    second = service.start(relay="standby", intake="standby")
    first.kill()
    service.wait_lanes(second, "running", "running")
    with hub.peer() as peer:
        peer.publish("event/elsewhere/thing/happened", encode(envelope()))
    service.wait_count(INBOX, 1)


def test_whoever_is_taken_over_says_so_and_comes_back(new_mqtt, hub):
    service = new_mqtt(client_id="twin")
    worker = service.start()
    with hub.peer(client_id="twin"):
        service.wait_error(worker, "another client", "same client id")
    service.wait_lanes(worker, "running", "running")


def test_a_config_is_tested_without_disturbing_its_worker(new_mqtt):
    service = new_mqtt(will_topic="gone")
    worker = service.start()
    result = service.postbus.run("config", "test", "default")
    assert "broker: mqtt at 127.0.0.1 is connected" in result.stdout
    service.settled(*service.insert(event()))
    assert "state=away" not in worker.output()


def test_a_lost_session_is_subscribed_again_and_told(new_mqtt, hub, mosquitto):
    service = new_mqtt()
    worker = service.start()
    mosquitto.stop()
    (mosquitto.directory / "mosquitto.db").unlink()
    mosquitto.start()
    service.wait_error(worker, "lost the session", "subscribed again")
    with hub.peer() as peer:
        peer.publish("event/elsewhere/thing/happened", encode(envelope()))
    service.wait_count(INBOX, 1, timeout=20)


@pytest.mark.usefixtures("each_store")
def test_a_filter_taken_out_is_unsubscribed_and_the_others_lose_nothing(new_mqtt, hub):
    def choose(topics):
        service.postbus.run("config", "set", "default", f"subscribe_topics={topics}")

    def send(*topics):
        for topic in topics:
            peer.publish(topic, json.dumps(topic))

    service = new_mqtt(subscribe_topics=["old/#", "kept/#"])
    service.start().stop()
    with hub.peer() as peer:
        send("kept/held")
        choose("kept/#,new/#")
        service.start().stop()
        send("old/1", "kept/1", "new/1")
        choose("kept/#,old/#")
        service.start()
        send("old/2", "new/2", "kept/2")
        service.wait_count(INBOX, 5)
        topics = [row["topic"] for row in service.inbox()]
    assert topics == ["kept/held", "kept/1", "new/1", "old/2", "kept/2"]


def test_a_refused_subscription_is_no_silence(new_mqtt):
    service = new_mqtt(subscribe_topics=["$share/no/good/#", "a/#/b"])
    worker = service.postbus.worker()
    service.wait_error(worker, "a/#/b")


def test_intakes_of_a_group_share_what_comes(new_mqtt, hub):
    settings = {"share_group": "team", "relay_enabled": False}
    first = new_mqtt("one", client_id="one", **settings)
    second = new_mqtt("two", client_id="two", **settings)
    first.start(relay=None)
    second.start(relay=None)
    with hub.peer() as peer:
        for _ in range(20):
            peer.publish("event/elsewhere/thing/happened", encode(envelope()))
    wait_until(lambda: first.count(INBOX) + second.count(INBOX) == 20)
    assert first.count(INBOX) > 0
    assert second.count(INBOX) > 0


def test_a_broker_that_restarts_costs_nothing(new_mqtt, hub, mosquitto):
    service = new_mqtt()
    worker = service.start()
    mosquitto.stop()
    service.wait_error(worker, "away since")
    seqs = service.insert(*(event() for _ in range(10)))
    mosquitto.start()
    rows = service.settled(*seqs)
    assert {(row["status"], row["retry_count"]) for row in rows} == {("published", 0)}
    body = encode(envelope(message_id=str(uuid.uuid4())))
    with hub.peer() as peer:
        peer.publish("event/elsewhere/thing/happened", body)
    service.wait_count(INBOX, 1)
