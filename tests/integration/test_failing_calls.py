# SPDX-License-Identifier: MIT
"""Every allocation, read, write, sync and SQL step may fail, once or for good.

A library stands between the worker and the system and lets the n-th call fail.
The worker gives an error or goes on; it neither loses, repeats in the inbox,
leaks, crashes nor spins.
"""

import os
import re
import resource

import pytest

from integration.test_crash_points import Life, MosquittoWire, RabbitMQWire
from support.postbus import PROGRAM
from support.process import Process, wait_until
from support.service import INBOX, event, message

pytestmark = pytest.mark.testing

LIBRARY = PROGRAM.parent / "tests" / "support" / "libfailing.so"
SAID = re.compile(r"^failing (\d+) (\d+) (-?\d+)$", re.M)
# What libraries keep for good, and when they come to it, differs a little.
LEAK = 40


class Frail(Life):
    """A life in which calls fail."""

    def preload(self, plan):
        """Without Kerberos, which libpq tries first: its library dereferences NULL
        when an allocation fails."""
        return {"LD_PRELOAD": str(LIBRARY), "FAIL": plan, "PGGSSENCMODE": "disable"}

    def go_on(self, plan):
        """Failures come to an end, and the life goes on: calls, failed, alive."""
        self.add()
        worker = self.service.postbus.worker(**self.preload(plan))
        wait_until(
            lambda: not worker.running() or self.done(),
            60,
            lambda: f"{plan}: {self.service.situation()}",
        )
        if worker.running():
            worker.terminate()
        code = worker.wait()
        self.kills += 1
        output = worker.output()
        assert code in (0, 1), f"{plan}: {code}\n{output}"
        assert code == 0 or "postbus: " in output, f"{plan} said nothing\n{output}"
        self.judge_marks(plan)
        return tuple(map(int, SAID.search(output).groups()))

    def fail_for_good(self, plan):
        """Nothing works any more: it ends with an error, or waits and rests."""
        self.add()
        worker = self.service.postbus.worker(**self.preload(plan))
        wait_until(
            lambda: not worker.running() or self.failed_by_now(worker), 60, plan
        )
        if worker.running():
            assert worker.rests(), f"{plan} spins\n{worker.tail()}"
            code = worker.terminate(timeout=15)
        else:
            code = worker.wait()
        self.kills += 1
        assert code in (0, 1), f"{plan}: {code}\n{worker.output()}"
        self.judge_marks(plan)

    def failed_by_now(self, worker):
        """Long enough for a worker to come up and move something."""
        self.looks = getattr(self, "looks", 0) + 1
        return self.looks % 10 == 0


@pytest.fixture(params=[("sqlite", "rabbitmq"), ("postgresql", "mosquitto")], ids="-".join)
def pair(request):
    """Each store and each broker once."""
    return request.param


@pytest.fixture
def store(pair):
    return pair[0]


@pytest.fixture
def life(request, pair, new_service):
    if pair[1] == "rabbitmq":
        wire = RabbitMQWire(request.getfixturevalue("vhost"))
    else:
        wire = MosquittoWire(request.getfixturevalue("mosquitto"))
    service = new_service("orders", vhost=wire.hub, window=16, retry_interval_seconds=0.1)
    service.start().stop()
    yield Frail(service, wire)
    wire.close()


def kinds(life):
    found = ["alloc", "read", "write"]
    return found + (["sync", "step"] if life.service.database.url.startswith("sqlite") else [])


def test_calls_that_fail_now_and_then_cost_nothing(life):
    """Many in one life, each a while after the last."""
    _, _, usual = life.go_on("none:1:0:1")
    for kind in kinds(life):
        number, _, _ = life.go_on(f"{kind}:1:0:1")
        assert number > 0, f"there are no {kind}"
        every = max(2, number // 12)
        for first in 1 + every // 3, 1 + 2 * every // 3:
            times = 30 if kind == "alloc" else 3  # these cost a connection each
            _, failed, alive = life.go_on(f"{kind}:{first}:{times}:{every}")
            assert failed > 0
            assert alive <= usual + LEAK, f"{kind}:{first} leaks {alive - usual}"
    life.judge()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alloc", "read", "write", "sync", "step"])
def test_any_call_may_fail_once(life, kind):
    if kind not in kinds(life):
        pytest.skip("PostgreSQL's own")
    _, _, usual = life.go_on("none:1:0:1")
    number, _, _ = life.go_on(f"{kind}:1:0:1")
    for nth in range(1, number, max(1, number // 400)):
        _, _, alive = life.go_on(f"{kind}:{nth}:1:1")
        assert alive <= usual + LEAK, f"{kind}:{nth} leaks {alive - usual}"
    life.judge()


def test_calls_that_fail_for_good_end_in_an_error_or_in_rest(life):
    for kind in kinds(life):
        number, _, _ = life.go_on(f"{kind}:1:0:1")
        life.fail_for_good(f"{kind}:{1 + number // 2}:{10**9}:1")
    life.judge()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_worker_without_descriptors_waits_and_goes_on(service, vhost):
    worker = service.start()
    number = descriptors(worker.pid)
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
    vhost.close_connections()
    service.wait_lanes(worker, "away", "away")
    service.wait_error(worker, "Too many open files")
    assert worker.rests()
    names = [f"in-{i}" for i in range(5)]
    vhost.publish_all(message(message_id=name) for name in names)
    seqs = service.insert(*[event() for _ in range(5)])
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert {row["status"] for row in service.settled(*seqs)} == {"published"}
    service.wait_count(INBOX, len(names))
    wait_until(lambda: descriptors(worker.pid) == number, 10, "no more are open than before")
    worker.stop()


def test_worker_that_starts_with_few_descriptors_says_so_or_works(service, tmp_path):
    """Whatever it lacks, it never runs by another config than its own."""
    least = ours = 0
    for limit in range(4, 40):
        command = ["prlimit", f"--nofile={limit}:{limit}", PROGRAM, "worker"]
        command += ["--config-key", "default"]
        log = tmp_path / f"few-{limit}.log"
        with Process(command, log, env=service.postbus.environment) as worker:
            wait_until(
                lambda: not worker.running()
                or re.search("error=|intake state=running", worker.output()),
                30,
            )
            if worker.running():
                assert worker.terminate(timeout=15) == 0
                ours += 1
            else:
                assert worker.wait() == 1 and "postbus: " in worker.output()
            hosts = re.findall(r"config key=.*", worker.output())
            assert all("broker=rabbitmq host=127.0.0.1" in host for host in hosts)
            if "relay state=running" in worker.output() and "error=" not in worker.output():
                break
        least = limit
    assert ours > 1 and 4 < least < 39
