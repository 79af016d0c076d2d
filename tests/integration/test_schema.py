# SPDX-License-Identifier: MIT
"""The tables as other programs rely on them: names, types, defaults, rules."""

import json
import re

import pytest

from support.service import INBOX, OUTBOX

# A type's name on PostgreSQL and on SQLite.
TYPES = {
    "bigint": ("bigint", "integer"),
    "boolean": ("boolean", "integer"),
    "bytes": ("bytea", "blob"),
    "integer": ("integer", "integer"),
    "json": ("jsonb", "text"),
    "seconds": ("double precision", "real"),
    "text": ("text", "text"),
    "time": ("timestamp with time zone", "text"),
    "uuid": ("uuid", "text"),
}

# Columns by type; those with a ! may not be null.
COLUMNS = {
    "outbound_event": """
        bigint: seq!
        uuid: id!
        text: config_key! topic! message_type! message_id event_type request_id
            parent_request_id reply_to message_status source_service ordering_key
            status! last_error
        integer: chain_depth! retry_count!
        json: payload! headers
        boolean: published!
        time: published_at next_retry_at expires_at created_at! updated_at!""",
    "inbound_event": """
        bigint: id!
        text: message_id config_key! broker_type! topic! event_type message_type!
            message_status request_id parent_request_id reply_to source_service
            ordering_key status! last_error
        integer: chain_depth! retry_count!
        json: payload! headers
        boolean: processed!
        time: processed_at next_retry_at received_at!""",
    "rejected_message": """
        bigint: id!
        text: config_key! broker_type! topic message_id reason!
        bytes: body
        time: received_at!""",
    "runtime_config": """
        bigint: id! version!
        text: config_key! broker_type! host! username password source_service
            tls_ca_file tls_cert_file tls_key_file worker_status worker_last_error
        boolean: is_active! relay_enabled! intake_enabled! tls!
        integer: port max_retry_count! max_message_bytes! max_chain_depth! window!
        seconds: connect_timeout! retry_interval_seconds! retry_base_seconds!
            retry_max_seconds! heartbeat_interval_seconds
        time: worker_heartbeat_at updated_at!""",
    "rabbitmq_settings": """
        bigint: config_id!
        text: virtual_host! exchange! exchange_type! queue queue_type! topology!
            mandatory! dead_letter_exchange
        json: binding_keys
        integer: prefetch_count!
        seconds: heartbeat_seconds!
        boolean: exchange_per_source!""",
    "mqtt_settings": """
        bigint: config_id! session_expiry_seconds!
        text: client_id share_group topic_prefix topic_style! payload_format!
            will_topic will_payload
        json: subscribe_topics former_topics
        integer: protocol_version! keepalive_seconds! qos! receive_maximum!
        boolean: clean_start! retain!""",
    "worker": """
        uuid: id!
        text: config_key! hostname! version! broker_type relay_state intake_state
            last_error
        bigint: pid! config_version!
        time: started_at! heartbeat_at!""",
    "schema_version": """
        integer: version!
        time: applied_at!""",
}

# What a row has that says nothing but what it must, null where it is not here.
DEFAULTS = {
    "outbound_event": {
        "config_key": "default", "topic": "", "message_type": "event",
        "chain_depth": 0, "payload": {}, "status": "pending", "published": False,
        "retry_count": 0,
    },
    "inbound_event": {
        "config_key": "default", "broker_type": "", "topic": "",
        "message_type": "event", "chain_depth": 0, "payload": {},
        "status": "pending", "processed": False, "retry_count": 0,
    },
    "runtime_config": {
        "config_key": "mine", "is_active": True, "broker_type": "rabbitmq",
        "host": "127.0.0.1", "connect_timeout": 10, "retry_interval_seconds": 5,
        "max_retry_count": 10, "retry_base_seconds": 1, "retry_max_seconds": 300,
        "relay_enabled": True, "intake_enabled": True, "tls": False,
        "max_message_bytes": 1048576, "max_chain_depth": 32, "window": 1024,
    },
    "rabbitmq_settings": {
        "virtual_host": "/", "exchange": "interservice", "exchange_type": "topic",
        "queue_type": "quorum", "prefetch_count": 1000, "heartbeat_seconds": 10,
        "topology": "declare", "mandatory": "commands", "exchange_per_source": False,
    },
    "mqtt_settings": {
        "protocol_version": 5, "keepalive_seconds": 30, "clean_start": False,
        "session_expiry_seconds": 86400, "qos": 1, "topic_style": "slashes",
        "receive_maximum": 1000, "retain": False, "payload_format": "envelope",
    },
}
GENERATED = {
    "seq", "id", "config_id", "created_at", "updated_at", "received_at", "version",
    "heartbeat_interval_seconds",
}


def on_postgresql(database):
    return database.url.startswith("postgresql")


def wanted(table, kind):
    """Of each column: its type, and whether it may be null."""
    columns = {}
    for word in COLUMNS[table].split():
        if word.endswith(":"):
            type_name = TYPES[word[:-1]][kind]
        else:
            columns[word.rstrip("!")] = (type_name, not word.endswith("!"))
    return columns


def found(database, table):
    if on_postgresql(database):
        rows = database.rows(
            "SELECT column_name AS name, data_type AS type, is_nullable = 'YES' AS optional"
            " FROM information_schema.columns WHERE table_schema = 'public'"
            f" AND table_name = 'event_bus_{table}'"
        )
        return {row["name"]: (row["type"], row["optional"]) for row in rows}
    rows = database.rows(
        'SELECT name, lower(type) AS type, "notnull" = 0 AND pk = 0 AS optional'
        f" FROM pragma_table_info('event_bus_{table}')"
    )
    return {row["name"]: (row["type"], bool(row["optional"])) for row in rows}


def refuses(database, statement, word):
    with pytest.raises(Exception, match=re.compile(word, re.IGNORECASE)):
        database.execute(statement)


@pytest.mark.parametrize("table", COLUMNS)
def test_table_has_these_columns_and_no_others(postbus, database, table):
    kind = 0 if on_postgresql(database) else 1
    assert found(database, table) == wanted(table, kind)


def test_row_that_says_nothing_has_these_defaults(postbus, database):
    database.execute(
        f"INSERT INTO {OUTBOX} DEFAULT VALUES; INSERT INTO {INBOX} DEFAULT VALUES;"
        "INSERT INTO event_bus_runtime_config (config_key) VALUES ('mine');"
        "INSERT INTO event_bus_rabbitmq_settings (config_id)"
        " SELECT id FROM event_bus_runtime_config;"
        "INSERT INTO event_bus_mqtt_settings (config_id)"
        " SELECT id FROM event_bus_runtime_config;"
    )
    for table, values in DEFAULTS.items():
        [row] = database.rows(f"SELECT * FROM event_bus_{table}")
        if "payload" in row and isinstance(row["payload"], str):
            row["payload"] = json.loads(row["payload"])
        generated = {name for name in row if name in GENERATED}
        assert all(row.pop(name) is not None for name in generated), table
        assert row == {**dict.fromkeys(row), **values}, table
    [row] = database.rows("SELECT heartbeat_interval_seconds FROM event_bus_runtime_config")
    assert list(row.values()) == [1 if on_postgresql(database) else 5]


def test_only_the_status_is_checked(postbus, database):
    """Whatever else is wrong must not break the application's transaction."""
    database.execute(
        f"INSERT INTO {OUTBOX} (topic, message_type, message_id, message_status,"
        " reply_to, chain_depth, payload, headers, retry_count) VALUES"
        " ('no topic', 'nonsense', '', 'perhaps', '?', -1, '[]', '5', -1)"
    )
    for table in OUTBOX, INBOX:
        refuses(database, f"INSERT INTO {table} (status) VALUES ('sent')", "check")


def test_what_is_unique(postbus, database):
    one = "00000000-0000-4000-8000-000000000001"
    database.execute(f"INSERT INTO {OUTBOX} (id) VALUES ('{one}')")
    refuses(database, f"INSERT INTO {OUTBOX} (id) VALUES ('{one}')", "unique")

    database.execute(f"INSERT INTO {INBOX} (message_id) VALUES ('m'), (null), (null)")
    again = f"INSERT INTO {INBOX} (message_id, config_key) VALUES ('m', 'other')"
    refuses(database, again, "unique")

    config = "INSERT INTO event_bus_runtime_config (config_key) VALUES ('mine')"
    database.execute(config)
    refuses(database, config, "unique")


def test_generated_ids_are_uuids_with_dashes(postbus, database):
    database.execute(f"INSERT INTO {OUTBOX} (topic) VALUES ('a'), ('b'), ('c')")
    ids = {row["id"] for row in database.rows(f"SELECT id FROM {OUTBOX}")}
    form = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert len(ids) == 3 and all(re.fullmatch(form, text) for text in ids)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_time_on_sqlite_is_text_of_one_form_in_utc(postbus, database):
    database.execute(f"INSERT INTO {OUTBOX} DEFAULT VALUES")
    [row] = database.rows(
        "SELECT created_at, abs(julianday(created_at) - julianday('now')) AS off"
        f" FROM {OUTBOX}"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", row["created_at"])
    assert row["off"] < 1 / 24


def test_pending_rows_are_found_by_two_partial_indexes(postbus, database):
    source = (
        "SELECT indexdef AS sql FROM pg_indexes"
        if on_postgresql(database)
        else "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    )
    definitions = [
        re.sub(r"::text|[()]", "", " ".join(row["sql"].split())).lower()
        for row in database.rows(source)
    ]
    for columns, when in ("config_key, seq", ""), ("config_key, next_retry_at", "not "):
        end = f"{columns} where status = 'pending' and next_retry_at is {when}null"
        assert any(text.endswith(end) for text in definitions), end
