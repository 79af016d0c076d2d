# SPDX-License-Identifier: MIT
"""A worker whose time of day is wrong, or jumps, moves what is due all the same."""

import pytest

from support.clocks import WallClock
from support.process import wait_until
from support.service import INBOX, event, message

pytestmark = pytest.mark.release


def crosses(service, vhost, name, scheduled=True):
    """A row each way, and one that was scheduled for the next second."""
    rows = [event(message_id=f"{name}-now")]
    if scheduled:
        when = f"SELECT {service.database.later.format(+1)} AS soon"
        soon = service.database.rows(when)[0]["soon"]
        rows.append(event(message_id=f"{name}-later", next_retry_at=soon))
    rows = service.insert(*rows)
    vhost.publish_all([message(message_id=f"{name}-in")])
    for row in service.settled(*rows):
        assert (row["status"], row["retry_count"]) == ("published", 0)
    wait_until(lambda: service.inbox(f"message_id = '{name}-in'"))


@pytest.mark.parametrize(
    ("store", "offset"),
    [
        ("sqlite", "+1d"),
        ("postgresql", "-1d"),
        pytest.param("sqlite", "-1d", marks=pytest.mark.slow),
        pytest.param("postgresql", "+1d", marks=pytest.mark.slow),
    ],
)
def test_clock_that_jumps_by_a_day_holds_nothing_up(
    new_service, vhost, store, tmp_path, offset
):
    """A worker and its standby; nobody takes the other for dead, and a take-over
    still works afterwards. What is due PostgreSQL's clock decides; SQLite has
    none but the worker's."""
    vhost.declare_queue("probe", "event.orders.#")
    service = new_service("orders", heartbeat_interval_seconds=1)
    clock = WallClock(tmp_path)
    worker = service.start(**clock.environment)
    standby = service.start(relay="standby")
    crosses(service, vhost, "before")
    clock.set(offset)
    crosses(service, vhost, "wrong", scheduled=store == "postgresql")
    assert service.lanes(worker) == ("running", "running")
    service.wait_lanes(standby, "standby", "running")
    clock.set("+0")
    crosses(service, vhost, "right")
    assert "away" not in worker.output() + standby.output()
    worker.kill()
    service.wait_lanes(standby, "running", "running")
    crosses(service, vhost, "after")
    sent = [properties.message_id for _, properties, _ in vhost.take("probe")]
    assert len(sent) == len(set(sent)) == (8 if store == "postgresql" else 7)
    assert service.count(INBOX) == 4
