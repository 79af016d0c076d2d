# SPDX-License-Identifier: MIT
"""What a worker tells the database about itself, and when."""


def test_change_of_state_is_told_without_waiting_for_the_heartbeat(new_service):
    service = new_service(heartbeat_interval_seconds=600)
    service.start(relay="running", intake="running")
