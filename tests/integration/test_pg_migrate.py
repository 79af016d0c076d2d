# SPDX-License-Identifier: MIT
"""`postbus migrate` on PostgreSQL."""

from support.postbus import Postbus

TRIGGER = "SELECT tgenabled FROM pg_trigger WHERE tgname = 'event_bus_outbound_event_added'"


def test_new_rows_notify_unless_told_otherwise(postgresql_database, tmp_path):
    Postbus(postgresql_database, tmp_path).run("migrate")
    assert postgresql_database.rows(TRIGGER) == [{"tgenabled": "O"}]


def test_no_notify_leaves_the_trigger_disabled(postgresql_database, tmp_path):
    Postbus(postgresql_database, tmp_path).run("migrate", "--no-notify")
    assert postgresql_database.rows(TRIGGER) == [{"tgenabled": "D"}]


def test_no_notify_stays_through_another_migrate(postgresql_database, tmp_path):
    postbus = Postbus(postgresql_database, tmp_path)
    postbus.run("migrate", "--no-notify")
    postbus.run("migrate")
    assert postgresql_database.rows(TRIGGER) == [{"tgenabled": "D"}]


def test_printed_sql_without_notify_is_what_the_refusal_says(postgresql_database, tmp_path):
    postbus = Postbus(postgresql_database, tmp_path)
    refused = postbus.run("migrate", "--print", "--no-notify", check=False)
    assert refused.returncode == 2 and refused.stdout == ""
    advice = refused.stderr[refused.stderr.index("ALTER TABLE") :]
    postgresql_database.execute(postbus.run("migrate", "--print").stdout)
    postgresql_database.execute(advice.splitlines()[0])
    assert postgresql_database.rows(TRIGGER) == [{"tgenabled": "D"}]


def test_no_notify_means_nothing_to_sqlite(sqlite_database, tmp_path):
    result = Postbus(sqlite_database, tmp_path).run("migrate", "--no-notify", check=False)
    assert result.returncode == 2
    assert "PostgreSQL" in result.stderr
    assert not sqlite_database.path.exists()
