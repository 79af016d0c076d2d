# SPDX-License-Identifier: MIT
"""What the tests of the command line share; the fixtures are imported by name."""

import re

import pytest

SECRET = "s3cr3t-of-the-bus"
ONE_SENTENCE = re.compile(r"postbus: [^\n]+\n")


@pytest.fixture
def database(sqlite_database):
    return sqlite_database


@pytest.fixture
def configured(postbus):
    """The command line where the config `default` belongs to `orders`."""
    postbus.configure(source_service="orders")
    return postbus


def refused(result, code, *words):
    """The one sentence with which a command failed; it printed nothing else."""
    assert result.returncode == code, (result.returncode, result.stderr)
    assert result.stdout == ""
    assert ONE_SENTENCE.fullmatch(result.stderr), result.stderr
    for word in words:
        assert word in result.stderr, (word, result.stderr)
    return result.stderr


def publish(postbus, *options, **more):
    """`postbus publish` of an event; options may replace what is given here."""
    return postbus.run(
        "publish", "--topic", "event.shop.order.created",
        "--event-type", "order.created", *options, **more,
    )


def outbox(postbus, columns="*"):
    return postbus.database.rows(
        f"SELECT {columns} FROM event_bus_outbound_event ORDER BY seq"
    )
