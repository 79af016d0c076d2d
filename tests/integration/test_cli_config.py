# SPDX-License-Identifier: MIT
"""`postbus config`: settings are checked, kept, shown, and secrets are not."""

import json

import pytest

from support.cli import SECRET, configured, database, refused
from support.process import free_port

__all__ = ["configured", "database"]  # fixtures

EXAMPLE = {
    "default": {
        "broker_type": "rabbitmq", "host": "127.0.0.1", "port": 5672,
        "username": "guest", "password": "env:RABBITMQ_PASSWORD",
        "connect_timeout": 10, "retry_interval_seconds": 0.5, "max_retry_count": 10,
        "source_service": "ebmr",
        "rabbitmq": {
            "virtual_host": "/", "exchange": "interservice", "queue": "ebmr",
            "binding_keys": ["ebmr.response.#", "event.#"],
        },
    },
    "edge": {
        "broker_type": "mqtt", "host": "127.0.0.1", "port": 1883,
        "source_service": "edge", "relay_enabled": False,
        "mqtt": {
            "client_id": "edge-gateway", "qos": 1,
            "subscribe_topics": ["edgex/events/#"],
        },
    },
}


def configs(postbus):
    return postbus.database.rows("SELECT * FROM event_bus_runtime_config ORDER BY id")


def stored_password(postbus):
    [row] = configs(postbus)
    return row["password"]


def imported(postbus, config, **options):
    return postbus.run("config", "import", "-", stdin=json.dumps(config), **options)


# ---- set, show, list ----


def test_set_creates_an_active_config_and_changes_it_later(postbus):
    postbus.run("config", "set", "shop", "source_service=shop", "port=5673")
    [created] = configs(postbus)
    assert (created["config_key"], created["is_active"]) == ("shop", 1)
    assert (created["source_service"], created["port"]) == ("shop", 5673)

    postbus.run("config", "set", "shop", "port=", "relay_enabled=no", "queue=q")
    [changed] = configs(postbus)
    assert changed["relay_enabled"] == 0 and changed["source_service"] == "shop"
    assert changed["version"] > created["version"]
    assert postbus.json("config", "show", "shop")["shop"]["port"] is None
    assert postbus.json("config", "show", "shop")["shop"]["rabbitmq"]["queue"] == "q"


@pytest.mark.parametrize(
    "given", ["event.a.b.c,event.#", '["event.a.b.c", "event.#"]'], ids=["commas", "json"]
)
def test_list_is_written_with_commas_or_as_json(configured, given):
    configured.run("config", "set", "default", f"binding_keys={given}")

    shown = configured.json("config", "show", "default")["default"]
    assert shown["rabbitmq"]["binding_keys"] == ["event.a.b.c", "event.#"]


@pytest.mark.parametrize(
    "setting, words",
    [
        ("port=99999", ["port", "99999", "65535"]),
        ("qos=3", ["qos", "3"]),
        ("broker_type=kafka", ["broker_type", "kafka", "rabbitmq"]),
        ("relay_enabled=perhaps", ["relay_enabled", "perhaps"]),
        ("connect_timeout=soon", ["connect_timeout", "soon"]),
        ("host=a b", ["host"]),
        ("max_message_bytes=16777217", ["max_message_bytes", "16777216"]),
        ("source_service=", ["source_service"]),
        ("broker_type=mqtt", ["subscribe_topics"]),
        ("retry_max_seconds=0.5", ["retry_base_seconds"]),
    ],
)
def test_setting_that_cannot_be_names_itself_and_changes_nothing(
    configured, setting, words
):
    before = configs(configured)

    arguments = ["config", "set", "default", "window=7", setting]
    refused(configured.run(*arguments, check=False), 1, *words)
    assert configs(configured) == before


def test_one_setting_twice_is_refused(configured):
    arguments = ["config", "set", "default", "port=1", "port=2"]
    refused(configured.run(*arguments, check=False), 1, "port", "twice")


@pytest.mark.parametrize("key", ["", "two words", "x" * 256], ids=["empty", "blank", "long"])
def test_config_key_must_be_a_word(postbus, key):
    arguments = ["config", "set", key, "source_service=shop"]
    refused(postbus.run(*arguments, check=False), 1, "config key")


def test_show_tells_every_setting_of_the_brokers_kind(configured):
    shown = configured.json("config", "show", "default")["default"]
    text = configured.run("config", "show", "default").stdout

    assert shown["source_service"] == "orders" and shown["is_active"] is True
    assert shown["connect_timeout"] == 10 and shown["password"] is None
    assert shown["rabbitmq"]["exchange"] == "interservice" and "mqtt" not in shown
    for name in [*shown, *shown["rabbitmq"]]:
        assert name == "rabbitmq" or f"\n{name} " in text, name


def test_show_tells_what_follows_for_what_is_not_set(configured):
    text = configured.run("config", "show", "default").stdout
    shown = dict(line.split(maxsplit=1) for line in text.splitlines())

    assert shown["port"] == "5672" and shown["queue"] == "orders"
    assert shown["dead_letter_exchange"] == "orders.dlx"
    assert "orders.request.#" in shown["binding_keys"]
    assert configured.json("config", "show", "default")["default"]["port"] is None


def test_list_shows_every_config(configured):
    configured.configure("edge", broker_type="mqtt", subscribe_topics="a/#")
    listed = configured.json("config", "list")
    text = configured.run("config", "list").stdout

    assert {row["config_key"]: row["broker_type"] for row in listed} == {
        "default": "rabbitmq", "edge": "mqtt",
    }
    assert "default" in text and "edge" in text and len(text.splitlines()) == 3


def test_empty_list_says_what_to_do(postbus):
    assert "postbus config set" in postbus.run("config", "list").stdout
    assert postbus.json("config", "list") == []


@pytest.mark.parametrize("action", ["show", "activate", "deactivate", "test"])
def test_config_that_does_not_exist_is_named(postbus, action):
    refused(postbus.run("config", action, "nowhere", check=False), 1, "nowhere")
    assert configs(postbus) == []


def test_deactivate_and_activate_turn_a_config_off_and_on(configured):
    configured.run("config", "deactivate", "default")
    assert configs(configured)[0]["is_active"] == 0
    configured.run("config", "activate", "default")
    assert configs(configured)[0]["is_active"] == 1


# ---- secrets ----


def test_password_as_an_argument_is_refused_and_not_repeated(configured):
    said = refused(
        configured.run(
            "config", "set", "default", "username=shop", f"password={SECRET}", check=False
        ),
        2, "A secret is never an argument: only a file, the environment or stdin",
    )
    assert SECRET not in said and stored_password(configured) is None


@pytest.mark.parametrize(
    "reference", ["env:BROKER_PASSWORD", "file:/run/secret", "cred:broker"]
)
def test_password_by_reference_is_kept_and_shown(configured, reference):
    configured.run("config", "set", "default", "username=u", f"password={reference}")

    assert stored_password(configured) == reference
    shown = configured.json("config", "show", "default")["default"]
    assert shown["password"] == reference


def test_password_from_stdin_is_kept_and_never_shown(configured):
    configured.run(
        "config", "set", "default", "username=u", "password=-", stdin=f"{SECRET}\n"
    )
    assert stored_password(configured) == SECRET

    for command in ("show default", "list", "show default --json", "list --json"):
        shown = configured.run("config", *command.split()).stdout
        assert SECRET not in shown and "u" in shown
    for command in ("status", "status --json"):
        assert SECRET not in configured.run(*command.split()).stdout
    assert configured.json("config", "show", "default")["default"]["password"] == "***"


def test_hidden_password_is_not_imported_as_if_it_were_one(configured):
    configured.run(
        "config", "set", "default", "username=u", "password=-", stdin=SECRET
    )
    shown = configured.json("config", "show", "default")

    refused(imported(configured, shown, check=False), 1, "password", "***")
    assert stored_password(configured) == SECRET


# ---- import ----


def test_import_takes_the_form_of_event_bus_config(postbus):
    imported(postbus, EXAMPLE)
    shown = {key: postbus.json("config", "show", key)[key] for key in EXAMPLE}

    for key, settings in EXAMPLE.items():
        for name, value in settings.items():
            if isinstance(value, dict):
                assert value.items() <= shown[key][name].items()
            else:
                assert shown[key][name] == value, name
    assert all(row["is_active"] == 1 for row in configs(postbus))


def test_what_show_prints_can_be_imported(configured, postbus):
    shown = configured.json("config", "show", "default")
    postbus.run("config", "set", "default", "port=1234", "exchange=other")
    imported(postbus, shown)

    assert postbus.json("config", "show", "default") == shown


def test_import_reads_a_file_and_takes_a_literal_password(postbus, tmp_path):
    file = tmp_path / "configs.json"
    file.write_text(json.dumps({
        "shop": {"source_service": "s", "username": "u", "password": SECRET}
    }))
    result = postbus.run("config", "import", file)

    assert stored_password(postbus) == SECRET
    assert SECRET not in result.stdout + result.stderr


def broken(**changes):
    return {**EXAMPLE, "edge": {**EXAMPLE["edge"], **changes}}


@pytest.mark.parametrize(
    "config, words",
    [
        (broken(hots="a"), ["edge", "hots", "host", "broker_type", "mqtt"]),
        (broken(exchange="x"), ["edge", "exchange"]),
        (broken(mqtt={"queue": "x"}), ["edge", "queue", "client_id"]),
        (broken(rabbitmq=[]), ["edge", "rabbitmq"]),
        (broken(port="nonsense"), ["edge", "port", "nonsense"]),
        (broken(port=1.5), ["edge", "port", "whole number"]),
        (broken(relay_enabled=1), ["edge", "relay_enabled", "true"]),
        (broken(host=["a"]), ["edge", "host", "string"]),
        (broken(mqtt={"subscribe_topics": [1]}), ["edge", "subscribe_topics"]),
        (broken(mqtt={}), ["edge", "subscribe_topics"]),
        ({**EXAMPLE, "two words": {}}, ["config key"]),
        ({**EXAMPLE, "edge": "x"}, ["edge", "object"]),
        ([], ["object"]),
        ({}, ["object"]),
    ],
    ids=lambda value: None if isinstance(value, list) else "",
)
def test_import_is_all_or_nothing(postbus, config, words):
    refused(imported(postbus, config, check=False), 1, *words)
    assert configs(postbus) == []


def test_import_of_no_json_names_the_place_but_not_the_text(postbus):
    text = f'{{"shop": {{\n"password": "{SECRET}" oops}}}}'
    result = postbus.run("config", "import", "-", stdin=text, check=False)
    assert SECRET not in refused(result, 1, "standard input", "line 2")

    twice = '{"shop": {"port": 1, "port": 2}}'
    refused(postbus.run("config", "import", "-", stdin=twice, check=False), 1, "twice")
    refused(postbus.run("config", "import", "/none", check=False), 1, "/none")


# ---- test ----


def test_config_test_connects_and_tells_the_verdict(configured, vhost):
    configured.configure(**vhost.settings())
    text = configured.run("config", "test", "default").stdout

    assert "database" in text and "connected" in text and "declared" in text
    assert vhost.count("orders") == 0


def test_config_test_that_may_not_declare_names_what_is_missing(configured, vhost):
    configured.configure(**vhost.settings(topology="verify"))
    result = configured.run("config", "test", "default", check=False)

    assert result.returncode == 1
    assert "interservice" in result.stderr or "orders" in result.stderr


def test_config_test_names_a_broker_that_is_not_there(configured):
    port = free_port()
    configured.configure(host="127.0.0.1", port=port)
    result = configured.run("config", "test", "default", check=False)

    assert result.returncode == 1 and "database" in result.stdout
    assert str(port) in result.stderr


def test_config_test_tries_every_host_in_turn(configured, vhost):
    settings = vhost.settings()
    hosts = f"127.0.0.1:{free_port()},{settings['host']}:{settings['port']}"
    configured.configure(**{**settings, "host": hosts})

    assert "connected" in configured.run("config", "test", "default").stdout
