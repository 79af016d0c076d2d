# SPDX-License-Identifier: MIT
"""A password is used and never shown."""

from pathlib import Path

import pytest

from support.process import free_port
from support.service import event

CANARY = "Kn0blauchbaguette-23"


@pytest.fixture
def user(rabbitmq, vhost):
    """A user of the broker whose password is the canary."""
    name = f"user-of-{vhost.name}"
    acting = '<<"test">>'
    rabbitmq.eval(
        f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{CANARY}">>, {acting}),'
        f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>,'
        f' <<"{vhost.name}">>, <<".*">>, <<".*">>, <<".*">>, {acting})'
    )
    yield name
    rabbitmq.eval(f'rabbit_auth_backend_internal:delete_user(<<"{name}">>, {acting})')


def literal(service, directory):
    service.postbus.run("config", "set", "default", "password=-", stdin=CANARY)


def by_environment(service, directory):
    service.postbus.environment["THE_PASSWORD"] = CANARY
    service.postbus.configure(password="env:THE_PASSWORD")


def by_file(service, directory):
    (directory / "secret").write_text(f"{CANARY}\n")
    service.postbus.configure(password=f"file:{directory}/secret")


def by_credential(service, directory):
    (directory / "broker").write_text(CANARY)
    service.postbus.environment["CREDENTIALS_DIRECTORY"] = str(directory)
    service.postbus.configure(password="cred:broker")


COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["config", "show", "default"],
    ["config", "show", "default", "--json"],
    ["config", "list"],
    ["config", "test", "default"],
    ["outbox", "list"],
]


def everything_shown(service, worker):
    """What a person, a log file or a process list can see."""
    for command in COMMANDS:
        result = service.postbus.run(*command, check=False)
        yield " ".join(command), result.stdout + result.stderr
    yield "log", worker.output()
    yield "command line", Path(f"/proc/{worker.pid}/cmdline").read_text()
    tables = service.database.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        " AND name LIKE 'event_bus_%'"
    )
    for table in tables:
        for row in service.database.rows(f"SELECT * FROM {table['name']}"):
            row.pop("password", None)
            yield table["name"], str(row)


@pytest.mark.parametrize("give", [literal, by_environment, by_file, by_credential])
def test_password_opens_the_broker_and_appears_nowhere(
    new_service, vhost, user, tmp_path, give
):
    vhost.declare_queue("probe", "#")
    service = new_service("orders", username=user)
    give(service, tmp_path)
    worker = service.start()
    [seq] = service.insert(event())
    assert service.settled(seq)[0]["status"] == "published"
    for where, text in everything_shown(service, worker):
        assert CANARY not in text, where
    worker.stop()
    assert CANARY not in worker.output()


@pytest.mark.parametrize("give", [literal, by_environment, by_file, by_credential])
def test_password_that_is_refused_appears_nowhere(new_service, tmp_path, give):
    service = new_service("orders", username="nobody")
    give(service, tmp_path)
    worker = service.postbus.worker()
    worker.wait_for_line("relay", "away", "nobody")
    service.wait_error(worker, "nobody")
    for where, text in everything_shown(service, worker):
        assert CANARY not in text, where


def test_password_for_a_broker_that_is_away_appears_nowhere(new_service, tmp_path):
    service = new_service("orders", port=free_port())
    literal(service, tmp_path)
    worker = service.postbus.worker()
    service.wait_error(worker, "refused")
    for where, text in everything_shown(service, worker):
        assert CANARY not in text, where
