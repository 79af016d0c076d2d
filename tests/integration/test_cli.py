# SPDX-License-Identifier: MIT
"""The command line as people meet it: help, exit codes, sentences, commands."""

import json
import re
import subprocess

import pytest

from support.cli import SECRET, configured, database, outbox, publish, refused
from support.postbus import PROGRAM, ROOT, Postbus, SQLiteDatabase

__all__ = ["configured", "database"]  # fixtures

def helps(postbus, path=()):
    """The help of every command there is, by its path."""
    text = postbus.run(*path, "--help").stdout
    yield path, text
    commands = re.search(r"\nCommands:\n((?:  .*\n)+)", text)
    for line in commands.group(1).splitlines() if commands else ():
        yield from helps(postbus, (*path, line.split()[0]))


# ---- help, exit codes, usage ----


def test_help_explains_every_command(postbus):
    explained = dict(helps(postbus))

    assert ("migrate",) in explained and ("config", "set") in explained
    assert ("rejected", "retry") in explained and len(explained) > 20
    for path, text in explained.items():
        assert text.startswith(f"usage: {' '.join(('postbus', *path))}")
        assert postbus.run("help", *path).stdout == text


def test_manual_names_every_command_and_every_option(postbus):
    manual = (ROOT / "man" / "postbus.1").read_text()
    headings = [line.split()[1:] for line in manual.splitlines() if line[:4] == ".Ss "]

    for path, text in helps(postbus):
        for option in re.findall(r"^  --([a-z-]+)", text, re.MULTILINE):
            assert re.search(rf"Fl Fl {option}\b(?!-)", manual), (path, option)
        assert not path or any(
            words[0] == path[0] and set(path) <= set(words) for words in headings
        ), path


def test_help_of_config_set_lists_every_setting_with_its_default(postbus):
    text = postbus.run("config", "set", "--help").stdout

    for table in ("runtime_config", "rabbitmq_settings", "mqtt_settings"):
        columns = postbus.database.rows(f"PRAGMA table_info(event_bus_{table})")
        for column in {row["name"] for row in columns}:
            own = column.startswith("worker_") or column in {
                "id", "config_key", "config_id", "version", "updated_at",
            }
            assert own != bool(re.search(rf"^  {column} ", text, re.M)), column
    assert "(interservice)" in text and "(127.0.0.1)" in text


def test_version_is_told_wherever_it_is_asked_for(postbus):
    told = {
        postbus.run(*words, "--version").stdout
        for words in [(), ("status",), ("config",), ("outbox", "list")]
    }

    [text] = told
    assert re.fullmatch(r"postbus \d+\.\d+\.\d+\n", text)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["migrate", "worker", "validate"]),
        (["nonsense"], ["migrate", "worker"]),
        (["config"], ["set", "show", "import"]),
        (["config", "nonsense"], ["set", "show", "import"]),
        (["help", "nonsense"], ["migrate"]),
        (["help", "status", "nonsense"], ["status"]),
        (["status", "--nonsense"], ["--nonsense", "--help"]),
        (["status", "-j"], ["-j", "--help"]),
        (["status", "superfluous"], ["--help"]),
        (["status", "--json=yes"], ["--json takes no value"]),
        (["status", "--config-key"], ["--config-key KEY"]),
        (["worker"], ["--config-key KEY"]),
        (["worker", "--config-key", "a", "--broker-type", "b"], ["rabbitmq|mqtt"]),
        (["publish"], ["--topic TOPIC"]),
        (["publish", "--topic", "t", "--chain-depth", "-1"], ["whole number"]),
        (["publish", "--topic", "t", "--chain-depth", "1e3"], ["whole number"]),
        (["publish", "--topic", "t", "--delay", "5 weeks"], ["s, m, h or d"]),
        (["publish", "--topic", "t", "--delay", "inf"], ["s, m, h or d"]),
        (["publish", "--topic", "t", "--expires", "0"], ["--expires"]),
        (["publish", "--topic", "t", "--header", "x"], ["NAME=VALUE"]),
        (["outbox", "list", "--status", "sent"], ["pending|published"]),
        (["outbox", "show"], ["ID"]),
        (["outbox", "show", "1", "2"], ["ID"]),
        (["outbox", "purge"], ["--all"]),
        (["inbox", "retry"], ["--all"]),
        (["rejected", "purge"], ["--all"]),
        (["rejected", "retry", "--dry-run"], ["--all"]),
        (["config", "set", "default"], ["KEY name=value"]),
        (["config", "set", "default", "host"], ["name=value"]),
        (["config", "set", "default", "hots=a"], ["hots", "--help"]),
        (["config", "show"], ["KEY"]),
        (["validate", "a", "b"], ["FILE"]),
    ],
    ids=" ".join,
)
def test_mistyped_command_line_exits_2_and_says_what_is_meant(
    postbus, arguments, words
):
    refused(postbus.run(*arguments, check=False), 2, *words)


def test_argument_that_is_not_utf8_is_refused(configured):
    refused(publish(configured, "--source", "\udcff", check=False), 2, "UTF-8")
    refused(configured.run("status", "--config-key=\udce4", check=False), 2, "UTF-8")
    assert outbox(configured) == []


def test_options_may_stand_anywhere_until_two_dashes(configured):
    before = configured.run("config", "--database", "sqlite:none.db", "show",
                            "default", check=False)
    refused(before, 1, "none.db")
    refused(configured.run("outbox", "show", "--", "--json", check=False), 1, "--json")


def test_output_that_cannot_be_written_is_a_failure(postbus):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )

    assert result.returncode == 1
    assert "No space left" in result.stderr


# ---- which database ----


def test_database_comes_from_the_argument_then_from_the_environment(
    postbus, tmp_path
):
    here, elsewhere = postbus.database.url, f"sqlite://{tmp_path}/elsewhere.db"
    file = tmp_path / "url"
    file.write_text(f"  {here}\nand more\n")
    nowhere = {"POSTBUS_DATABASE_URL": "", "DATABASE_URL": ""}

    for environment, options in [
        ({**nowhere, "POSTBUS_DATABASE_URL": elsewhere}, ["--database", here]),
        ({**nowhere, "POSTBUS_DATABASE_URL": elsewhere}, ["--database-file", file]),
        ({"POSTBUS_DATABASE_URL": here, "DATABASE_URL": elsewhere}, []),
        ({**nowhere, "DATABASE_URL": here}, []),
    ]:
        postbus.run("migrate", "--check", *options, **environment)
    refused(
        postbus.run("status", check=False, **nowhere), 2, "POSTBUS_DATABASE_URL",
        "--database",
    )
    refused(
        postbus.run("status", "--database", here, "--database-file", file, check=False),
        2, "one",
    )


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://shop:{SECRET}@db.example/shop",
        f"postgres://shop:{SECRET}@db.example/shop?sslmode=require",
        f"postgresql://shop:a/b@{SECRET}@db.example/shop",
        f"postgresql://db.example/shop?user=shop&password={SECRET}",
        f"postgresql://db.example/shop?p%61ssword={SECRET}",
        f"postgresql://db.example/shop?sslpassword={SECRET}",
        f"host=db.example user=shop password={SECRET}",
        f"host=db.example password = '{SECRET}'",
    ],
)
def test_database_url_with_a_password_is_refused_as_an_argument(postbus, url):
    for arguments in (["--database", url, "status"], ["status", f"--database={url}"]):
        said = refused(
            postbus.run(*arguments, check=False), 2, "POSTBUS_DATABASE_URL",
            "--database-file",
        )
        assert SECRET not in said


def test_secret_in_the_place_of_a_command_is_not_repeated(postbus):
    url = f"postgresql://shop:{SECRET}@db.example/shop"

    assert SECRET not in refused(postbus.run(url, check=False), 2)
    assert SECRET not in refused(postbus.run(f"--databse={url}", check=False), 2)


def test_database_that_is_missing_or_not_migrated_names_the_remedy(postbus, tmp_path):
    url = f"sqlite://{tmp_path}/none.db"
    refused(postbus.run("status", "--database", url, check=False), 1, "none.db")
    assert not (tmp_path / "none.db").exists()

    url = f"sqlite://{tmp_path}/nowhere/none.db"
    result = postbus.run("migrate", "--database", url, check=False)
    refused(result, 1, "no directory", "nowhere/none.db")

    (tmp_path / "empty.db").touch()
    url = f"sqlite://{tmp_path}/empty.db"
    refused(
        postbus.run("status", "--database", url, check=False), 1, "postbus migrate"
    )


def test_worker_without_a_database_ends_at_once_with_the_reason(postbus, tmp_path):
    url = f"sqlite://{tmp_path}/none.db"
    worker = ["worker", "--config-key", "default", "--database", url]
    result = postbus.run(*worker, check=False)

    assert result.returncode == 1
    assert "postbus: " in result.stderr and "none.db" in result.stderr


def test_unknown_scheme_lists_the_forms(postbus):
    refused(
        postbus.run("status", "--database", "mysql://h/d", check=False), 1,
        "mysql", "sqlite:///", "postgresql://",
    )


# ---- migrate ----


def test_migrate_creates_checks_and_prints(sqlite_database, tmp_path):
    with Postbus(sqlite_database, tmp_path) as postbus:
        printed = postbus.run("migrate", "--print").stdout
        assert "event_bus_outbound_event" in printed
        assert not sqlite_database.path.exists()
        refused(postbus.run("migrate", "--check", check=False), 1)

        postbus.run("migrate")
        assert "nothing to do" in postbus.run("migrate").stdout
        postbus.run("migrate", "--check")

    by_hand = SQLiteDatabase(tmp_path / "by-hand.db")
    by_hand.execute(printed)
    assert len(tables(by_hand)) >= 8
    assert tables(by_hand) <= tables(sqlite_database)


def tables(database):
    return {
        row["name"]
        for row in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    }


def test_behind_database_fails_the_check(postbus):
    postbus.database.execute("DELETE FROM event_bus_schema_version")

    refused(postbus.run("migrate", "--check", check=False), 1, "postbus migrate")


def test_database_of_a_newer_program_is_left_alone(postbus):
    postbus.database.execute(
        "INSERT INTO event_bus_schema_version (version, applied_at)"
        " VALUES (999, '2030-01-01 00:00:00.000000')"
    )

    for command in ["status"], ["migrate"], ["migrate", "--check"]:
        refused(postbus.run(*command, check=False), 1, "999", "newer")


# ---- publish ----


def test_publish_writes_every_column_and_prints_the_id(configured):
    result = configured.run(
        "publish", "--topic", "billing.request.invoice.create", "--type", "request",
        "--source", "web", "--payload", '{"total": 1.10}', "--request-id", "r-1",
        "--reply-to", "web.response.invoice.create", "--parent-request-id", "r-0",
        "--chain-depth", 2, "--message-id", "m-1", "--header", "tenant=acme=x",
        "--header", "traceparent=00-ä", "--ordering-key", "o-1", "--config-key", "other",
    )
    [row] = outbox(configured)

    assert result.stdout == row["id"] + "\n" and result.stderr == ""
    assert {name: row[name] for name in row if row[name] is not None} == {
        **{name: row[name] for name in ("seq", "id", "created_at", "updated_at")},
        "config_key": "other", "topic": "billing.request.invoice.create",
        "message_type": "request", "message_id": "m-1", "request_id": "r-1",
        "parent_request_id": "r-0", "reply_to": "web.response.invoice.create",
        "source_service": "web", "chain_depth": 2, "payload": '{"total": 1.10}',
        "headers": row["headers"], "ordering_key": "o-1", "status": "pending",
        "published": 0, "retry_count": 0,
    }
    assert json.loads(row["headers"]) == {"tenant": "acme=x", "traceparent": "00-ä"}


def test_publish_fills_in_what_the_config_and_the_contract_say(configured):
    publish(configured)
    [row] = outbox(configured)

    assert row["source_service"] == "orders" and row["message_type"] == "event"
    assert row["payload"] == "{}" and row["config_key"] == "default"
    assert row["message_id"] is None and row["next_retry_at"] is None


def test_response_carries_its_status(configured):
    configured.run(
        "publish", "--type", "response", "--topic", "web.response.invoice.create",
        "--request-id", "r-1", "--status", "error",
    )

    assert [row["message_status"] for row in outbox(configured)] == ["error"]


def test_payload_comes_from_argument_file_or_stdin_byte_for_byte(configured, tmp_path):
    text = '{ "n": 123456789012345678901234567890.10,\n\t"ключ": "\\u00e9😀" }'
    (tmp_path / "payload").write_text(text)

    publish(configured, "--payload", text)
    publish(configured, "--payload", f"@{tmp_path}/payload")
    publish(configured, "--payload", "-", stdin=text)

    assert [row["payload"].strip() for row in outbox(configured)] == [text] * 3


def test_delay_schedules_and_expiry_limits(configured):
    publish(configured, "--delay", "2h", "--expires", "7d")
    publish(configured, "--delay", "90")
    hours, expiry = (
        f"round((julianday({column}) - julianday(created_at)) * 86400) AS {name}"
        for column, name in [("next_retry_at", "delay"), ("expires_at", "expires")]
    )

    assert outbox(configured, f"{hours}, {expiry}") == [
        {"delay": 7200, "expires": 604800}, {"delay": 90, "expires": None},
    ]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--topic", "event.shop"], ["topic"]),
        (["--topic", "event.shop.order.créé"], ["topic"]),
        (["--type", "evnet"], ["message_type", "evnet"]),
        (["--event-type", ""], ["event_type"]),
        (["--type", "request"], ["topic"]),
        (["--chain-depth", "33"], ["chain_depth", "32"]),
        (["--payload", "{nonsense}"], ["payload"]),
        (["--payload", '"\\ud800"'], ["payload"]),
        (["--payload", "@/nonexistent"], ["/nonexistent"]),
        (["--message-id", "a\nb"], ["message_id"]),
        (["--source", "x" * 256], ["source_service", "255"]),
        (["--header", "=x"], ["header"]),
        (["--header", "a=1", "--header", "a=2"], ["a"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_invalid_message_is_refused_before_it_is_written(configured, options, words):
    refused(publish(configured, *options, check=False), 1, *words)
    assert outbox(configured) == []


def test_message_without_a_sender_waits_for_the_config_to_name_one(postbus):
    publish(postbus)

    assert [row["source_service"] for row in outbox(postbus)] == [None]


def test_bounds_of_the_config_are_those_of_publish(configured):
    configured.configure(max_message_bytes=300, max_chain_depth=1)

    large = ["--payload", json.dumps("x" * 400)]
    refused(publish(configured, *large, check=False), 1, "max_message_bytes")
    refused(publish(configured, "--chain-depth", 2, check=False), 1, "chain_depth")


def test_payload_that_is_an_envelope_fills_what_is_left_empty(configured):
    inner = json.dumps(
        {"schema": "interservice.envelope.v1", "event_type": "order.created",
         "message_id": "m-9", "payload": {"n": 1}}
    )
    configured.run("publish", "--topic", "event.shop.order.created", "--payload", inner)

    assert len(outbox(configured)) == 1


# ---- validate ----

VALID = {
    "schema": "interservice.envelope.v1", "message_id": "m-1",
    "message_type": "event", "topic": "event.shop.order.created",
    "source_service": "shop", "event_type": "order.created", "payload": {},
}


def test_validate_accepts_one_envelope_or_one_a_line(postbus, tmp_path):
    file = tmp_path / "envelope.json"
    file.write_text(json.dumps(VALID, indent=2))
    lines = f"{json.dumps(VALID)}\n\n{json.dumps(VALID)}\n"

    assert "1 envelope valid" in postbus.run("validate", file).stdout
    assert "2 envelopes valid" in postbus.run("validate", stdin=lines).stdout
    assert "2 envelopes valid" in postbus.run("validate", "-", stdin=lines).stdout


def test_validate_says_what_is_wrong_with_which_line(postbus, tmp_path):
    file = tmp_path / "envelopes"
    bad = [{**VALID, "topic": "nonsense"}, {**VALID, "message_id": None}]
    file.write_text("\n".join(map(json.dumps, [VALID, *bad])) + "\n{oops\n")
    result = postbus.run("validate", file, check=False)
    lines = result.stderr.splitlines()

    assert result.returncode == 1 and result.stdout == ""
    assert f"{file}:2: " in lines[0] and "topic" in lines[0]
    assert f"{file}:3: " in lines[1] and "message_id" in lines[1]
    assert f"{file}:4: " in lines[2]
    assert "3 of 4" in lines[3] and len(lines) == 4


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{\n "topic": 1\n}', "\0"])
def test_validate_refuses_what_is_no_envelope(postbus, text):
    result = postbus.run("validate", stdin=text, check=False)

    assert result.returncode == 1
    assert "standard input" in result.stderr


def test_validate_needs_no_database(postbus):
    postbus.run("validate", stdin=json.dumps(VALID), POSTBUS_DATABASE_URL="")
