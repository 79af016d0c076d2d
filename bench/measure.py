# SPDX-License-Identifier: MIT
"""What is measured, and how: each function takes a database and gives numbers.

Times are taken where they cost nothing: the database stamps its rows, the
kernel counts the processor's time. While messages move, nothing here does more
than ask a partial index now and then.
"""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.process import tree, wait_until

BIG = 4096  # bytes of payload, for memory
CLAIMS = 51
FRESH = 32000  # rows to claim beside a full outbox
TABLE = "event_bus_outbound_event"


# ---- processor time and memory ----


def cpu_seconds(process):
    """User and system time of a process and all below it."""
    return sum(map(_cpu_seconds_of, tree(process.pid)))


def _cpu_seconds_of(pid):
    """Of every thread that still runs, and of children that have ended."""
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0  # it has just ended
    ended = sum(map(int, stat[13:15])) / os.sysconf("SC_CLK_TCK")
    return ended + sum(int(task.split()[0]) for task in tasks) / 1e9


def rss_anon(worker):
    """In KiB."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if "RssAnon" in line).split()[1])


# ---- throughput: messages a second ----


def raw(database, what, count):
    """Broker or database alone, see raw.c and mosquitto.c: what is publish,
    consume or insert."""
    return {"rate": count / float(database.broker.raw(database, what, count))}


def side_by_side(receiver, inbox, count):
    """Raw consume and raw insert at once, unaware of each other: what the machine
    lets broker and database do together."""
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(raw, receiver, "consume", count),
            pool.submit(raw, inbox, "insert", count),
        ]
    return min((run.result() for run in runs), key=lambda run: run["rate"])


def relay(database, count, poisoned=False):
    """From the first batch that was settled to the last row; only what has gone
    out is counted."""
    database.insert(count)
    if poisoned:
        database.poison()
    cpu = _run_until(database, database.all_sent, count)
    sent = database.number(f"SELECT count(published_at) FROM {TABLE}")
    first = f"SELECT min(published_at) FROM {TABLE}"
    before = database.number(f"SELECT count(*) FROM {TABLE} WHERE published_at = ({first})")
    return {"rate": (sent - before) / _span(database, "published_at", TABLE), **cpu}


def intake(database, count):
    """From the first row that arrived to the last."""
    cpu = _run_until(database, lambda: database.received() >= count, count)
    return {"rate": count / _span(database, "received_at", "event_bus_inbound_event"), **cpu}


def _span(database, column, table):
    """Seconds from the first stamp to the last."""
    first, last = database.seconds(f"min({column})"), database.seconds(f"max({column})")
    return database.number(f"SELECT {last} - {first} FROM {table}")


def _run_until(database, true, count, timeout=120):
    """What a worker, its broker and its database took of the processor, per
    message; it is ended well."""
    servers = {name: server.process for name, server in database.servers.items()}
    before = {name: cpu_seconds(server) for name, server in servers.items()}
    with database.worker() as worker:
        _wait(worker, true, timeout)
        after = {name: cpu_seconds(process) for name, process in servers.items()}
        cpu = {f"{name}_cpu": (after[name] - before[name]) / count for name in servers}
        cpu["worker_cpu"] = cpu_seconds(worker) / count
        worker.terminate()
    return cpu


def _wait(worker, true, timeout=120, between=lambda: None):
    deadline = time.monotonic() + timeout
    while not true():
        if not worker.running() or time.monotonic() > deadline:
            raise AssertionError(f"the worker did not finish\n{worker.tail()}")
        between()
        time.sleep(0.1)


# ---- a worker by itself ----


def start_to_first_confirm(database):
    """Seconds, for a row that was waiting."""
    database.insert(1)
    began = time.time()
    with database.worker() as worker:
        wait_until(database.all_sent, 30, "the first confirm")
        worker.terminate()
    published = database.seconds("max(published_at)")
    return database.number(f"SELECT {published} FROM {TABLE}") - began


def idle(worker, seconds):
    """What both lanes take while nothing happens."""
    before = cpu_seconds(worker)
    time.sleep(seconds)
    return {
        "rss_anon_kib": rss_anon(worker),
        "cpu": (cpu_seconds(worker) - before) / seconds,
    }


def memory_under_load(database, count):
    """The most that was seen while both lanes moved messages of 4 KiB."""
    already = database.received()
    database.insert(count, BIG)
    seen = []
    with database.worker() as worker:
        _wait(
            worker,
            lambda: database.received() >= already + count,
            between=lambda: seen.append(rss_anon(worker)),
        )
        seen.append(rss_anon(worker))
        worker.terminate()
    return {"rss_anon_kib": max(seen)}


# ---- latency ----


def latency(database, rate, seconds):
    """Seconds from a row's commit until another client had the message, if one
    listened, and until the row said `published`; and the rate that was reached."""
    already = int(database.number(f"SELECT coalesce(max(seq), 0) FROM {TABLE}"))
    lines = database.run(
        "bench/bench-latency", rate, seconds, database.url, database.broker.url
    ).splitlines()
    wait_until(database.all_sent, 30, "the last confirm")
    published = database.numbers(
        f"SELECT {database.seconds('published_at')} FROM {TABLE}"
        f" WHERE seq > {already} ORDER BY message_id"
    )
    committed, arrived = zip(*([int(at) / 1e6 for at in line.split()] for line in lines))
    result = {
        "rate": (len(committed) - 1) / (max(committed) - min(committed)),
        "published": _differences(committed, published),
    }
    if all(arrived):
        result["arrived"] = _differences(committed, arrived)
    return result


def _differences(before, after):
    return sorted(b - a for a, b in zip(before, after, strict=True))


# ---- claims ----

PUBLISH = f"UPDATE {TABLE} SET status = 'published', published = true, published_at = now()"


def claims(database, rows):
    """Yields what lies in a PostgreSQL outbox, and what claims of 500 rows took
    then. Nothing tidies up but what is said here."""
    rows = max(rows, FRESH)
    database.sql(f"ALTER TABLE {TABLE} SET (autovacuum_enabled = off)")
    database.insert(rows)
    database.sql(f"ANALYZE {TABLE}")
    yield f"{rows:,} pending", _claims(database)
    yield "4,096 of them in flight", _claims(database, in_flight=4096)

    database.sql(PUBLISH)
    database.sql(f"VACUUM {TABLE}")
    database.insert(FRESH)
    yield f"{rows:,} published since the last ANALYZE", _claims(database)

    database.sql(f"TRUNCATE {TABLE}")
    database.insert(rows)
    with old_snapshot(database):
        database.sql(PUBLISH)
        database.insert(FRESH)
        database.sql(f"ANALYZE {TABLE}")
        yield f"{rows:,} published, an old snapshot open", _claims(database)

    later = "status = 'pending', next_retry_at = now() + interval '1 day'"
    database.sql(f"UPDATE {TABLE} SET {later} WHERE status = 'published'")
    database.sql(f"VACUUM ANALYZE {TABLE}")
    yield f"{rows:,} scheduled for later", _claims(database)


@contextlib.contextmanager
def old_snapshot(database):
    with database.server.session(database.database) as session:
        session.sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        yield


def _claims(database, in_flight=0):
    """Seconds by kind of claim, see claim.c; the first ones, which open files and
    make plans, too."""
    lines = database.run("bench/bench-claim", CLAIMS, in_flight, database.url).splitlines()
    seconds = {"next": [], "all": []}
    for kind, rows, taken in map(str.split, lines):
        if rows != "500":
            raise AssertionError(f"a claim brought {rows} rows instead of 500")
        seconds[kind].append(float(taken))
    return seconds
