# SPDX-License-Identifier: MIT
"""The config row is obeyed as it is now, by workers that nobody restarts."""

import os
import signal
from collections import Counter

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, encode, envelope, event

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"])


def status_of(service):
    query = "SELECT worker_status FROM event_bus_runtime_config"
    return service.database.rows(query)[0]["worker_status"]


def sender(service, vhost):
    """As whom the worker sends now."""
    service.settled(*service.insert(event()))
    [(_, properties, _)] = vhost.take("probe")
    return properties.app_id


def test_worker_waits_for_a_config_that_is_missing(service, vhost):
    vhost.declare_queue("probe", "event.late.#")
    worker = service.postbus.worker("late")
    worker.wait_for_line("late", "config set")
    service.insert(event(config_key="late", topic="event.late.it.happened"))
    service.postbus.configure(
        "late",
        **vhost.settings(source_service="late", heartbeat_interval_seconds=0.2),
    )
    service.wait_lanes(worker, "running", "running")
    service.wait_count(OUTBOX, 1, "status = 'published'")
    assert vhost.receive("probe", 1)[0][1].app_id == "late"


def test_worker_waits_for_a_config_that_is_inactive(service, vhost):
    vhost.declare_queue("probe", "#")
    service.postbus.run("config", "deactivate", "default")
    [seq] = service.insert(event())
    worker = service.postbus.worker()
    worker.wait_for_line("not active", "config activate")
    wait_until(lambda: status_of(service) == "waiting")
    assert service.outbox()[0]["status"] == "pending"
    service.postbus.run("config", "activate", "default")
    assert service.settled(seq)[0]["status"] == "published"
    wait_until(lambda: status_of(service) == "running")
    worker.stop()
    assert status_of(service) == "stopped"


def test_deactivated_worker_drains_and_waits(service, vhost):
    vhost.declare_queue("probe", "#")
    worker = service.start()
    service.insert(*[event(message_id=f"m-{i}") for i in range(3000)])
    wait_until(lambda: service.count(OUTBOX, "published") > 100)
    service.postbus.run("config", "deactivate", "default")
    wait_until(lambda: status_of(service) == "waiting")
    wait_until(lambda: vhost.consumers("orders") == 0)
    marked = {row["message_id"] for row in service.outbox("published")}
    sent = Counter(p.message_id for _, p, _ in vhost.take("probe"))
    assert set(sent) == marked and set(sent.values()) == {1}
    assert worker.running()
    service.postbus.run("config", "activate", "default")
    service.wait_count(OUTBOX, 3000, "status = 'published'")
    sent += Counter(p.message_id for _, p, _ in vhost.take("probe"))
    assert len(sent) == 3000 and set(sent.values()) == {1}


def test_change_by_plain_sql_takes_effect_in_the_running_worker(service, vhost):
    vhost.declare_queue("probe", "#")
    worker = service.start()
    service.database.execute(
        "UPDATE event_bus_runtime_config SET source_service = 'renamed'"
    )
    wait_until(lambda: vhost.consumers("orders") == 0)  # the queue was its default
    service.wait_lanes(worker, "running", "running")
    [seq] = service.insert(event())
    service.settled(seq)
    assert vhost.receive("probe", 1)[0][1].app_id == "renamed"


def test_change_of_the_settings_row_takes_effect_in_the_running_worker(service, vhost):
    worker = service.start()
    service.database.execute(
        "UPDATE event_bus_rabbitmq_settings SET binding_keys = '[\"event.new.#\"]'"
    )

    def arrives():
        body = encode(envelope(topic="event.new.thing.happened"))
        with vhost.channel() as channel:
            channel.basic_publish("interservice", "event.new.thing.happened", body)
        return service.count(INBOX) > 0

    wait_until(arrives)
    assert worker.running()


def test_lane_that_is_switched_off_ends_and_the_other_stays(service, vhost):
    vhost.declare_queue("probe", "#")
    worker = service.start()
    service.postbus.configure(intake_enabled=False)
    service.wait_lanes(worker, "running", None)
    assert vhost.consumers("orders") == 0
    service.postbus.configure(intake_enabled=True, relay_enabled=False)
    service.wait_lanes(worker, None, "running")
    [seq] = service.insert(event())
    vhost.publish(encode(envelope()))
    service.wait_count(INBOX, 1)
    assert service.outbox(f"seq = {seq}")[0]["status"] == "pending"


@pytest.mark.parametrize(
    "table, column, bad, good",
    [
        ("rabbitmq_settings", "topology", "'upside down'", "'declare'"),
        ("runtime_config", "retry_base_seconds", "400", "1"),  # above the most
    ],
)
def test_change_that_makes_no_sense_is_told_and_the_last_good_one_stays(
    service, vhost, table, column, bad, good
):
    vhost.declare_queue("probe", "#")
    worker = service.start()
    version = service.beat(worker)["config_version"]
    service.database.execute(f"UPDATE event_bus_{table} SET {column} = {bad}")
    worker.wait_for_line("trouble", column, bad.strip("'"))
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["status"] == "published"
    service.wait_error(worker, column)
    assert worker.rests()  # and looks at the config meanwhile
    assert column in str(service.beat(worker)["last_error"])
    assert service.beat(worker)["config_version"] == version
    assert "recovered" not in worker.output()
    service.database.execute(f"UPDATE event_bus_{table} SET {column} = {good}")
    wait_until(lambda: service.beat(worker)["last_error"] is None)
    service.wait_lanes(worker, "running", "running")


def test_deleted_config_stops_the_lanes_until_there_is_one_again(service, vhost):
    worker = service.start()
    service.database.execute("DELETE FROM event_bus_runtime_config")
    worker.wait_for_line("no config", "default")
    wait_until(lambda: vhost.consumers("orders") == 0)
    service.postbus.configure(
        **vhost.settings(source_service="orders", heartbeat_interval_seconds=0.2)
    )
    service.wait_lanes(worker, "running", "running")


@pytest.fixture
def user(rabbitmq, vhost):
    """A user of the broker; calling it changes the password."""
    name = f"user-of-{vhost.name}"
    users = "rabbit_auth_backend_internal"
    rabbitmq.eval(
        f'{users}:add_user(<<"{name}">>, <<"old">>, <<"test">>),'
        f'{users}:set_permissions(<<"{name}">>, <<"{vhost.name}">>,'
        ' <<".*">>, <<".*">>, <<".*">>, <<"test">>)'
    )

    def rotate(password):
        rabbitmq.eval(
            f'{users}:change_password(<<"{name}">>, <<"{password}">>, <<"test">>)'
        )
        vhost.close_connections()

    rotate.username = name
    yield rotate
    rabbitmq.eval(f'{users}:delete_user(<<"{name}">>, <<"test">>)')


def test_password_that_is_changed_in_the_row_is_used_without_a_restart(
    service, vhost, user
):
    vhost.declare_queue("probe", "#")
    service.postbus.run("config", "set", "default", "password=-", stdin="old")
    service.postbus.configure(username=user.username)
    worker = service.start()
    user("new")
    service.wait_error(worker, "relay away", "intake away", "ACCESS_REFUSED")
    [seq] = service.insert(event())
    service.database.execute("UPDATE event_bus_runtime_config SET password = 'new'")
    assert service.settled(seq)[0]["retry_count"] == 0
    service.wait_lanes(worker, "running", "running")
    assert "new" not in service.postbus.run("config", "show", "default").stdout


def test_password_that_is_changed_in_its_file_is_used_without_a_restart(
    service, vhost, user, tmp_path
):
    vhost.declare_queue("probe", "#")
    secret = tmp_path / "secret"
    secret.write_text("old\n")
    service.postbus.configure(username=user.username, password=f"file:{secret}")
    worker = service.start()
    secret.write_text("new\n")
    user("new")
    worker.wait_for_line("relay", "away")
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["retry_count"] == 0
    service.wait_lanes(worker, "running", "running")


def test_hangup_reads_everything_anew(service, vhost, user, tmp_path):
    """The row as it is, so nothing but the signal makes it look at the file."""
    vhost.declare_queue("probe", "#")
    secret = tmp_path / "secret"
    secret.write_text("old")
    service.postbus.configure(username=user.username, password=f"file:{secret}")
    worker = service.start()
    secret.write_text("wrong")
    assert worker.rests() and service.lanes(worker) == ("running", "running")
    os.kill(worker.pid, signal.SIGHUP)
    service.wait_error(worker, "relay away", "intake away", "ACCESS_REFUSED")
    secret.write_text("old")
    os.kill(worker.pid, signal.SIGHUP)
    service.wait_lanes(worker, "running", "running")
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["status"] == "published"
    worker.stop()
