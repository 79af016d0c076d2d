# SPDX-License-Identifier: MIT
"""`outbox`, `inbox`, `rejected` and `status`: looking, retrying, cleaning up."""

import base64
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import unicodedata
from fcntl import ioctl

import pytest

from support.cli import configured, database, outbox, publish, refused
from support.postbus import PROGRAM
from support.process import wait_until

__all__ = ["configured", "database"]  # fixtures

OUT = "event_bus_outbound_event"
IN = "event_bus_inbound_event"
REJECTED = "event_bus_rejected_message"
ENVELOPE = {
    "schema": "interservice.envelope.v1", "message_id": "m-1",
    "message_type": "event", "topic": "event.shop.order.created",
    "source_service": "shop", "event_type": "order.created", "payload": {"n": 1.10},
}


def insert(postbus, table, **columns):
    def literal(value):
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        return "'" + str(value).replace("'", "''") + "'"

    names, values = ", ".join(columns), ", ".join(map(literal, columns.values()))
    postbus.database.execute(f"INSERT INTO {table} ({names}) VALUES ({values})")


def event(postbus, status="pending", **columns):
    row = {
        "topic": "event.shop.order.created", "event_type": "order.created",
        "source_service": "shop", "payload": "{}", "status": status, **columns,
    }
    insert(postbus, OUT, **row)


def received(postbus, message_id, status="pending", **columns):
    row = {
        "message_id": message_id, "topic": "event.shop.order.created",
        "message_type": "event", "event_type": "order.created", "config_key": "default",
        "broker_type": "rabbitmq", "source_service": "shop", "payload": "{}",
        "status": status, **columns,
    }
    insert(postbus, IN, **row)


def rejected(postbus, body, **columns):
    row = {
        "config_key": "default", "broker_type": "rabbitmq",
        "topic": "event.shop.order.created", "body": body, "reason": "as it was",
        **columns,
    }
    insert(postbus, REJECTED, **row)


def statuses(postbus, table=OUT, key="seq"):
    rows = postbus.database.rows(f"SELECT status FROM {table} ORDER BY {key}")
    return [row["status"] for row in rows]


def seqs(rows):
    return [row["seq"] for row in rows]


# ---- list, show ----


def test_list_has_the_newest_first_and_keeps_to_the_filters(postbus):
    event(postbus, created_at="2020-01-01 00:00:00.000000")
    event(postbus, "error", topic="event.shop.order.paid", message_id="m-2")
    event(postbus, "published", config_key="other")

    assert seqs(postbus.json("outbox", "list")) == [3, 2, 1]
    for options, expected in {
        "--status error": [2], "--topic event.shop.order.paid": [2],
        "--topic event.*.created": [3, 1], "--config-key other": [3],
        "--message-id m-2": [2], "--older-than 1h": [1], "--limit 2": [3, 2],
        "--limit 1 --all": [3, 2, 1], "--status invalid": [],
        "--status error --config-key other": [],
    }.items():
        assert seqs(postbus.json("outbox", "list", *options.split())) == expected, options


def test_list_is_short_unless_all_is_asked_for(postbus):
    postbus.database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
        f" INSERT INTO {OUT} (topic, payload) SELECT 'event.a.b.c', '{{}}' FROM n"
    )

    text = postbus.run("outbox", "list").stdout.splitlines()
    assert len(text) == 52 and "--all" in text[-1]
    assert len(postbus.json("outbox", "list")) == 50
    assert len(postbus.json("outbox", "list", "--all")) == 60
    assert postbus.json("outbox", "list", "--limit", 0) == []
    assert "0 newest" in postbus.run("outbox", "list", "--limit", 0).stdout


def test_json_of_a_row_keeps_every_digit_and_every_column(configured):
    payload = '{"n": 123456789012345678901234567890.10, "text": "\\u00e9\\n"}'
    publish(configured, "--payload", payload, "--header", "a=ä\"\\")
    [stored] = outbox(configured)
    text = configured.run("outbox", "show", 1, "--json").stdout
    shown = json.loads(text)

    assert payload in text
    assert list(shown) == list(stored)
    assert shown["headers"] == {"a": 'ä"\\'} and shown["message_id"] is None
    assert (shown["seq"], shown["published"]) == (1, False)


def test_show_finds_a_row_by_seq_or_id_and_prints_it_whole(configured):
    payload = json.dumps({"text": "x" * 500})
    publish(configured, "--payload", payload)
    [row] = outbox(configured)

    for key in (row["seq"], row["id"]):
        text = configured.run("outbox", "show", key).stdout
        assert re.search(r"^status +pending$", text, re.MULTILINE)
        assert payload in text and "next_retry_at" not in text
    for key in ("2", "nonsense"):
        refused(configured.run("outbox", "show", key, check=False), 1, key, "list")


def test_hostile_text_cannot_move_the_cursor_nor_break_the_json(postbus):
    hostile = "a\x1b[2J\x07\u009b\nb"
    event(postbus, "error", last_error=hostile, topic="\u202etopic")
    rejected(postbus, b"\xff\x00", reason=hostile)

    for command in ("outbox list", "outbox show 1", "rejected list", "status"):
        text = postbus.run(*command.split()).stdout
        assert "a?[2J??" in text
        assert all(unicodedata.category(c) != "Cc" for c in text.replace("\n", ""))
    assert postbus.json("outbox", "list")[0]["last_error"] == hostile
    assert postbus.json("status")["last_errors"][0]["last_error"] == hostile


def test_payload_that_is_no_json_becomes_a_string(postbus):
    event(postbus, payload="{oops")

    assert postbus.json("outbox", "show", 1)["payload"] == "{oops"


def test_body_that_is_no_text_is_given_as_base64(postbus):
    rejected(postbus, b"\xff\xfe\x00")
    rejected(postbus, "text ä".encode())
    second, first = postbus.json("rejected", "list")

    assert base64.b64decode(first["body_base64"]) == b"\xff\xfe\x00"
    assert second["body"] == "text ä"
    assert "base64 //4A" in postbus.run("rejected", "show", 1).stdout


@pytest.mark.parametrize("table", ["outbox", "inbox", "rejected"])
def test_empty_table_says_so(postbus, table):
    assert postbus.run("outbox", "list").stdout.count("\n") == 1
    assert postbus.run(table, "list").stdout.startswith("No such ")
    assert postbus.json(table, "list") == []


# ---- retry, purge ----


def test_retry_puts_failed_rows_back_and_a_dry_run_only_counts(postbus):
    for status in ("pending", "published", "invalid", "error"):
        event(postbus, status, retry_count=3)

    assert "2 rows would be" in postbus.run("outbox", "retry", "--all", "--dry-run").stdout
    assert statuses(postbus) == ["pending", "published", "invalid", "error"]
    assert postbus.json("outbox", "retry", "--status", "error") == {
        "affected": 1, "dry_run": False,
    }
    assert statuses(postbus) == ["pending", "published", "invalid", "pending"]
    assert outbox(postbus)[3]["retry_count"] == 0
    assert "1 row put back" in postbus.run("outbox", "retry", 3).stdout
    assert statuses(postbus) == ["pending", "published", "pending", "pending"]
    refused(postbus.run("outbox", "retry", 2, check=False), 1, "2")


def test_purge_spares_what_is_pending(postbus):
    for status in ("pending", "published", "invalid", "error"):
        event(postbus, status)

    assert postbus.json("outbox", "purge", "--all", "--dry-run")["affected"] == 3
    postbus.run("outbox", "purge", "--status", "published")
    assert statuses(postbus) == ["pending", "invalid", "error"]
    postbus.run("outbox", "purge", "--older-than", "1h")
    assert statuses(postbus) == ["pending", "invalid", "error"]
    postbus.run("outbox", "purge", 3, 4)
    assert statuses(postbus) == ["pending"]
    refused(postbus.run("outbox", "purge", 1, check=False), 1, "1")


def test_limit_bounds_what_is_changed(postbus):
    for _ in range(3):
        event(postbus, "error")

    assert postbus.json("outbox", "retry", "--limit", 0)["affected"] == 0
    assert postbus.json("outbox", "retry", "--limit", 1, "--dry-run")["affected"] == 1
    assert postbus.json("outbox", "purge", "--limit", 2)["affected"] == 2
    assert statuses(postbus) == ["error"]


def test_inbox_is_retried_and_purged(postbus):
    for status in ("pending", "processed", "error"):
        received(postbus, f"m-{status}", status)

    assert postbus.json("inbox", "retry", "--all")["affected"] == 1
    assert statuses(postbus, IN, "id") == ["pending", "processed", "pending"]
    assert postbus.json("inbox", "purge", "--all")["affected"] == 1
    assert statuses(postbus, IN, "id") == ["pending", "pending"]
    assert [row["message_id"] for row in postbus.json("inbox", "list")] == [
        "m-error", "m-pending",
    ]


def test_rejected_message_is_judged_anew_and_moves_to_the_inbox(configured):
    good = json.dumps(ENVELOPE).encode()
    rejected(configured, good)
    rejected(configured, b"{oops")
    assert configured.json("rejected", "retry", 1, "--dry-run") == {
        "affected": 1, "dry_run": True,
    }
    assert statuses(configured, IN, "id") == []

    result = configured.run("rejected", "retry", "--all", "--json", check=False)
    assert result.returncode == 1 and json.loads(result.stdout)["affected"] == 1
    assert "row 2 stays" in result.stderr
    [row] = configured.database.rows(f"SELECT * FROM {IN}")
    assert (row["message_id"], row["payload"]) == ("m-1", '{"n": 1.1}')
    assert (row["topic"], row["config_key"]) == (ENVELOPE["topic"], "default")
    left = configured.database.rows(f"SELECT id, reason FROM {REJECTED}")
    assert left == [{"id": 2, "reason": "as it was"}]


def test_rejected_retry_obeys_the_limits_that_the_config_has_now(configured):
    rejected(configured, json.dumps({**ENVELOPE, "payload": "x" * 500}).encode())
    configured.configure(max_message_bytes=300)
    assert configured.run("rejected", "retry", 1, check=False).returncode == 1

    configured.configure(max_message_bytes=3000)
    configured.run("rejected", "retry", 1)
    assert statuses(configured, IN, "id") == ["pending"]


def test_rejected_duplicate_with_another_payload_stays_rejected_once(configured):
    received(configured, "m-1", payload='{"n": 2}')
    rejected(configured, json.dumps(ENVELOPE).encode())
    result = configured.run("rejected", "retry", "--all", check=False)

    assert result.returncode == 1 and "another payload" in result.stderr
    [left] = configured.database.rows(f"SELECT reason FROM {REJECTED}")
    assert "another payload" in left["reason"]
    assert len(statuses(configured, IN, "id")) == 1


def test_rejected_rows_are_purged(postbus):
    rejected(postbus, b"1")
    rejected(postbus, b"2")

    assert postbus.json("rejected", "purge", 1)["affected"] == 1
    assert [row["id"] for row in postbus.json("rejected", "list")] == [2]


# ---- status ----


def test_status_of_an_empty_database_says_what_to_do(postbus):
    text = postbus.run("status").stdout
    assert "postbus config set" in text and "postbus worker" in text

    shown = postbus.json("status")
    assert shown["configs"] == shown["workers"] == shown["last_errors"] == []
    assert shown["outbox"] == {"pending": 0, "published": 0, "invalid": 0, "error": 0}
    assert shown["inbox"] == {"pending": 0, "processed": 0, "error": 0}


def test_status_counts_by_status_and_shows_the_last_errors(configured):
    event(configured, created_at="2020-01-01 00:00:00.000000")
    event(configured)
    event(configured, next_retry_at="2999-01-01 00:00:00.000000")
    event(configured, "published")
    event(configured, "error", last_error="no queue is bound")
    event(configured, "invalid", last_error="topic is empty", config_key="other")
    received(configured, "m-1", "processed")
    rejected(configured, b"{oops", reason="no JSON at byte 1")
    shown = configured.json("status")

    assert shown["outbox"] == {"pending": 3, "published": 1, "invalid": 1, "error": 1}
    assert shown["inbox"] == {"pending": 0, "processed": 1, "error": 0}
    assert (shown["rejected"], shown["scheduled"]) == (1, 1)
    assert shown["oldest_pending_seconds"] > 86400
    text = configured.run("status").stdout
    for part in ("no queue is bound", "topic is empty", "no JSON at byte 1"):
        assert part in text
    own = configured.json("status", "--config-key", "default")
    assert own["outbox"]["invalid"] == 0 and len(own["last_errors"]) == 2


def test_status_marks_a_worker_that_is_silent_as_stale(configured):
    worker = {
        "config_key": "default", "hostname": "here", "pid": 7, "version": "0",
        "broker_type": "rabbitmq", "relay_state": "running", "intake_state": "away",
        "config_version": 1, "last_error": "intake away: no route",
    }
    insert(configured, "event_bus_worker", **worker, id="a" * 36,
           heartbeat_at="2020-01-01 00:00:00.000000")
    insert(configured, "event_bus_worker", **worker, id="b" * 36,
           heartbeat_at="2999-01-01 00:00:00.000000")
    stale = {row["id"][0]: row["stale"] for row in configured.json("status")["workers"]}
    text = configured.run("status").stdout

    assert stale == {"a": True, "b": False}
    assert text.count("stale") == 1 and "intake away: no route" in text


def test_failures_in_status_are_told_without_their_payload(postbus):
    event(postbus, "error", payload='{"secret": 1}')
    rejected(postbus, b"a body")
    failures = postbus.json("status")["last_errors"]

    assert [failure["table"] for failure in failures] == ["outbox", "rejected"]
    assert all(name not in row for row in failures for name in ("payload", "body"))


def test_status_shows_a_worker_that_runs(configured):
    worker = configured.worker()
    rows = wait_until(lambda: configured.json("status")["workers"], 30, "a worker")
    worker.stop()

    assert rows[0]["config_key"] == "default" and rows[0]["stale"] is False
    assert configured.json("status")["workers"] == []


# ---- the terminal ----


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, postbus, *arguments, columns=80, **environment):
        self._screen, end = pty.openpty()
        ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        plain = {"TERM": "xterm", "NO_COLOR": "", "COLUMNS": ""}
        self._child = subprocess.Popen(
            [PROGRAM, *map(str, arguments)], stdin=end, stdout=end, stderr=end,
            env={**postbus.environment, **plain, **environment},
            start_new_session=True,
        )
        os.close(end)
        self.text = ""

    def read(self, until=None, timeout=60):
        """All it prints, or up to when `until(text)` is true."""
        while until is None or not until(self.text):
            ready, _, _ = select.select([self._screen], [], [], timeout)
            assert ready, f"nothing more within {timeout} s: {self.text!r}"
            try:
                data = os.read(self._screen, 65536)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode().replace("\r\n", "\n")
        return self.text

    def end(self, how=None):
        """Its exit code, after the signal `how`."""
        try:
            if how is not None:
                self._child.send_signal(how)
            return self._child.wait(60)
        finally:
            self._child.kill()
            self._child.wait()
            os.close(self._screen)


def shown(postbus, *arguments, **options):
    terminal = Terminal(postbus, *arguments, **options)
    text = terminal.read()
    assert terminal.end() == 0, text
    return text


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_table_fits_the_terminal_and_is_cut_between_characters(postbus):
    event(postbus, "error", last_error="的" * 100, topic="event." + "ä" * 100)

    for columns in (60, 61, 80, 81, 120):
        lines = shown(
            postbus, "outbox", "list", columns=columns, NO_COLOR="1"
        ).splitlines()
        assert max(map(width, lines)) in (columns - 1, columns)
        assert "…" in lines[1]
    piped = postbus.run("outbox", "list").stdout
    assert "的" * 100 in piped and "…" not in piped


def test_colour_is_for_terminals_that_want_it(postbus):
    event(postbus, "error")

    assert "\x1b[31merror\x1b[0m" in shown(postbus, "outbox", "list")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in shown(postbus, "outbox", "list", **environment)
    assert "\x1b" not in postbus.run("outbox", "list").stdout


def test_watch_redraws_until_interrupted_and_then_ends_well(configured):
    terminal = Terminal(configured, "status", "--watch", NO_COLOR="1")
    try:
        terminal.read(lambda text: text.count("Configs") == 2)
        event(configured, "error", last_error="came later")
        terminal.read(lambda text: "came later" in text)
    finally:
        code = terminal.end(signal.SIGINT)

    assert code == 0 and terminal.text.count("\x1b[H") >= 2


def test_watch_as_json_prints_an_object_a_line(configured):
    terminal = Terminal(configured, "status", "--watch", "--json")
    try:
        terminal.read(lambda text: text.count("\n") >= 2)
    finally:
        code = terminal.end(signal.SIGTERM)

    assert code == 0
    first, second = terminal.text.splitlines()[:2]
    assert json.loads(first).keys() == json.loads(second).keys()
