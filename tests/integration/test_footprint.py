# SPDX-License-Identifier: MIT
"""What an idle worker takes of the machine."""

from pathlib import Path

import pytest

from support.process import wait_until
from support.service import INBOX, OUTBOX, encode, envelope, event

MIB = 1024  # in the kernel's kB


def descriptors(worker):
    return len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))


@pytest.mark.release
def test_idle_worker_is_small(service):
    worker = service.start()
    assert worker.memory() < 4 * MIB


def test_descriptors_return_to_what_they_were(service, vhost):
    vhost.declare_queue("probe", "event.orders.#")
    worker = service.start()
    before = descriptors(worker)
    for _ in range(3):
        vhost.close_connections()
        service.insert(event())
        vhost.publish(encode(envelope()))
    service.wait_count(OUTBOX, 3, "status = 'published'")
    service.wait_count(INBOX, 3)
    service.wait_lanes(worker, "running", "running")
    wait_until(lambda: descriptors(worker) == before)
