# SPDX-License-Identifier: MIT
"""What PostgreSQL's transactions do to the order of rows, and what kills do not."""

import random

import pytest

from support.process import wait_until
from support.service import OUTBOX, event, request

KEYS = 8
ROWS = 1600


@pytest.fixture
def store():
    return "postgresql"


def ids(messages):
    return [properties.message_id for _, properties, _ in messages]


def insert_sql(message_id, key="NULL"):
    return (
        f"INSERT INTO {OUTBOX} (topic, event_type, message_id, ordering_key)"
        " VALUES ('event.orders.thing.happened', 'thing.happened',"
        f" '{message_id}', {key})"
    )


def test_rows_that_commit_late_with_lower_seqs_are_published(service, vhost):
    vhost.declare_queue("probe", "#")
    service.start()
    with service.database.session() as late, service.database.session() as later:
        late.sql(f"BEGIN; {insert_sql('late')}")
        later.sql(f"BEGIN; {insert_sql('later')}")
        service.insert(*[event(message_id=f"m-{i}") for i in range(3000)])
        wait_until(lambda: service.count(OUTBOX, "published") > 1000)
        late.sql("COMMIT")
        service.wait_count(OUTBOX, 3001, "status = 'published'")
        later.sql("COMMIT")
        service.wait_count(OUTBOX, 3002, "status = 'published'")
    sent = ids(vhost.take("probe"))
    assert [name for name in sent if name.startswith("m")] == [
        f"m-{i}" for i in range(3000)
    ]
    assert len(sent) == 3002 and {"late", "later"} < set(sent)
    first, second = service.outbox("message_id LIKE 'late%'")
    assert first["seq"] < second["seq"] < service.outbox("message_id = 'm-0'")[0]["seq"]


def test_late_row_of_a_key_joins_its_key_and_breaks_nothing(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    service.start()
    with service.database.session() as late:
        late.sql(f"BEGIN; {insert_sql('late', key=repr('a'))}")
        first, blocker, behind = service.insert(
            event(message_id="first", ordering_key="a"),
            request("billing", message_id="blocker", ordering_key="a"),
            event(message_id="behind", ordering_key="a"),
        )
        wait_until(lambda: service.outbox("message_id = 'blocker' AND retry_count > 0"))
        late.sql("COMMIT")
    service.wait_count(OUTBOX, 2, "status = 'published'")
    assert ids(vhost.take("probe")) == ["first", "late"]
    vhost.declare_queue("probe", "billing.#")
    assert ids(vhost.receive("probe", 2)) == ["blocker", "behind"]


def test_late_commit_goes_before_what_its_key_writes_after_it(service, vhost):
    """The key's writers took turns, so its order holds whatever else goes on."""
    vhost.declare_queue("probe", "event.orders.#")
    service.start()
    expected = []
    with service.database.session() as late:
        for i in range(8):
            late.sql(f"BEGIN; {insert_sql(f'first-{i}', key=repr('a'))}")
            service.settled(*service.insert(event(message_id=f"other-{i}")))
            late.sql("COMMIT")
            late.sql(insert_sql(f"second-{i}", key=repr("a")))
            expected += [f"first-{i}", f"second-{i}"]
        service.wait_count(OUTBOX, 24, "status = 'published'")
    sent = [name for name in ids(vhost.take("probe")) if not name.startswith("other")]
    assert sent == expected


def test_row_that_is_rolled_back_is_never_sent(service, vhost):
    vhost.declare_queue("probe", "#")
    service.start()
    with service.database.session() as session:
        session.sql(f"BEGIN; {insert_sql('gone')}")
        service.settled(*service.insert(event(message_id="stays")))
        session.sql("ROLLBACK")
    service.settled(*service.insert(event(message_id="too")))
    assert ids(vhost.take("probe")) == ["stays", "too"]


def test_keys_keep_their_order_over_failures_retries_kills_and_take_overs(
    new_service, vhost
):
    """A part of the rows finds no queue until the last kill, and is retried."""
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service(
        "orders", window=64, retry_base_seconds=0.1, retry_max_seconds=0.5,
        max_retry_count=100000,
    )
    chance = random.Random(7)
    rows, expected = [], {f"key-{k}": [] for k in range(KEYS)}
    for n in range(ROWS):
        key = f"key-{chance.randrange(KEYS)}"
        unroutable = n % 41 == 0 and (key == "key-0" or n > 3 * ROWS // 4)
        make = request if unroutable else event
        rows.append(make(message_id=f"{key} {n}", ordering_key=key))
        expected[key].append(f"{key} {n}")
    workers = [service.start(), service.start(relay="standby")]
    for part in range(4):
        before = service.count(OUTBOX, "published")
        service.insert(*rows[part * ROWS // 4 : (part + 1) * ROWS // 4])
        wait_until(
            lambda: service.count(OUTBOX, "published") > before + 50,
            what=service.situation,
        )
        [holder] = [w for w in workers if service.lanes(w)[0] == "running"]
        holder.kill()
        workers.remove(holder)
        workers.append(service.postbus.worker())
    wait_until(lambda: service.outbox("retry_count > 0"), what="a failed attempt")
    assert service.count(OUTBOX, "status = 'pending'") > 0
    vhost.declare_queue("probe", "billing.#")
    service.wait_count(OUTBOX, ROWS, "status = 'published'")
    seen = {key: [] for key in expected}
    for name in dict.fromkeys(ids(vhost.take("probe"))):
        seen[name.split()[0]].append(name)
    assert seen == expected
