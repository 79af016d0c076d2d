# SPDX-License-Identifier: MIT
"""The operating system fails underneath a worker: disks, and the log."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from support.process import require, wait_until
from support.service import INBOX, OUTBOX, event, message

pytestmark = pytest.mark.release  # a sanitizer cannot run under strace


@pytest.fixture
def may_trace():
    probe = [require("strace"), "-qq", "-e", "trace=none", "true"]
    if subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("may not trace a process")


@contextlib.contextmanager
def failing(worker, call, error, when="1+"):
    """Every such call of the worker fails so, from the n-th on."""
    inject = f"inject={call}:error={error}:when={when}"
    command = ["strace", "-f", "-qq", "-p", str(worker.pid), "-o", "/dev/null"]
    with subprocess.Popen([*command, "-e", f"trace={call}", "-e", inject]) as tracer:
        wait_until(lambda: traced(worker))
        try:
            yield
        finally:
            tracer.terminate()
    wait_until(lambda: not traced(worker))


def traced(worker):
    """Whether all of its threads are."""
    tasks = Path(f"/proc/{worker.pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in task.read_text() for task in tasks)


CALLS = [
    ("fdatasync", "EIO"),
    ("fsync,fdatasync", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("pread64", "EIO"),
    ("pwrite64,fdatasync,ftruncate", "EDQUOT"),
]


@pytest.mark.parametrize(("call", "error"), CALLS)
def test_disk_that_fails_acknowledges_and_marks_nothing_and_is_used_again(
    may_trace, service, vhost, call, error
):
    """What SQLite could not make durable RabbitMQ still has."""
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    service.settled(*service.insert(event(message_id="first")))
    names = [f"m-{i}" for i in range(50)]
    with failing(worker, call, error):
        service.insert(*(event(message_id=name) for name in names))
        vhost.publish_all(message(message_id=name) for name in names)
        worker.wait_for_line("intake", "state=stalled")
        assert service.count(INBOX) == 0
        assert worker.running()
    service.wait_count(INBOX, 50)
    service.wait_count(OUTBOX, 51, "status = 'published'")
    assert service.count(OUTBOX, "retry_count > 0") == 0
    assert {row["message_id"] for row in service.inbox()} == set(names)
    sent = {properties.message_id for _, properties, _ in vhost.take("probe")}
    assert sent == {"first", *names}
    wait_until(lambda: vhost.count("orders") == 0)
    service.wait_lanes(worker, "running", "running")
    [check] = service.database.rows("PRAGMA integrity_check")
    assert check == {"integrity_check": "ok"}
    worker.stop()


@pytest.mark.parametrize(
    ("call", "error"), [("write", "ENOSPC"), ("write", "EIO"), ("write", "EPIPE")]
)
def test_log_that_cannot_be_written_stops_no_message(
    may_trace, service, vhost, call, error
):
    """The worker's own writes: its log, and what wakes its threads."""
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    with failing(worker, call, error):
        before = worker.output()
        service.postbus.configure(window=500)  # something to tell
        [seq] = service.insert(event())
        vhost.publish_all([message()])
        assert service.settled(seq)[0]["status"] == "published"
        service.wait_count(INBOX, 1)
        service.wait_lanes(worker, "running", "running")
        assert worker.output() == before
    worker.stop()


def test_full_log_disk_stops_no_message(service, vhost):
    """/dev/full: every write is one too many."""
    vhost.declare_queue("probe", "event.orders.#")
    service.postbus.prefix = ["sh", "-c", 'exec "$0" "$@" 2>/dev/full']
    worker = service.start()
    [seq] = service.insert(event())
    vhost.publish_all([message()])
    assert service.settled(seq)[0]["status"] == "published"
    service.wait_count(INBOX, 1)
    service.wait_lanes(worker, "running", "running")
    assert worker.output() == ""
    worker.stop()
