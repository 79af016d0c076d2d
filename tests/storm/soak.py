#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Keeps workers alive through everything that happens around them, and sees what
they have taken of the machine in the end; 1 if more than in the beginning, or
if an invariant of the storm was violated.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from storm import weather  # noqa: E402
from storm.brokers import BROKERS, RECEIVERS  # noqa: E402
from storm.ends import End  # noqa: E402
from storm.judge import judge  # noqa: E402
from storm.scene import Options, Scene, StandsStill  # noqa: E402
from support.process import exit_on_sigterm  # noqa: E402

ROWS = 300  # of each side in a round
MEMORY_ROOM = 512  # KiB of heap that may lie about otherwise than before


@dataclass
class Usage:
    """Of the two workers of a side together: which of them relays may change."""

    rss_anon_kib: int = 0
    descriptors: int = 0
    threads: int = 0

    def add(self, pid):
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        self.rss_anon_kib += int(status["RssAnon"].split()[0])
        self.threads += int(status["Threads"])
        self.descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def back_at(self, baseline):
        return (
            self.rss_anon_kib <= baseline.rss_anon_kib + MEMORY_ROOM
            and self.descriptors == baseline.descriptors
            and self.threads == baseline.threads
        )


class Soak(weather.Storm):
    """Like a storm, but that no worker is killed."""

    def __init__(self, scene, tell):
        super().__init__(scene, tell)
        self.troubles = {
            "connections cut": scene.proxy.cut,
            "link half open": scene.proxy.half_open,
            "broker restarted": self._restart(scene.broker.server),
            "config changed": self._change_config,
            "config deactivated": self._deactivate,
            **scene.broker.troubles(),
        }
        if scene.database is not None:
            self.troubles["database restarted"] = self._restart(scene.database)
            self.troubles["sessions ended"] = self._end_sessions
        self.counts = Counter()
        self.samples = []

    def run(self, seconds):
        """It begins to count when every trouble has come once."""
        self.scene.limit_attempts()
        try:
            for what in self.troubles:
                self._trouble(what)
            self.baseline = self._at_rest()
            self.samples.append(self.baseline)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self._trouble(self.chance.choice(list(self.troubles)))
            self._wait_for_baseline()
        except StandsStill as why:
            self.evidence.stuck.append(str(why))
        self._gather()
        for side, rows in self.evidence.rejected.items():
            self.evidence.rejected[side] = [r for r in rows if r["topic"] not in RECEIVERS]

    def _trouble(self, what):
        self._write(ROWS)
        self.tell(what)
        struck = time.time()
        self.troubles[what]()
        names = [side.name for side in self.scene.sides]
        self.evidence.ends.append(End(what, names, struck, time.time()))
        self.counts[what] += 1
        self._write(ROWS // 10)
        self.scene.wait_flow()

    def _restart(self, server):
        def restart():
            server.stop()
            server.start()

        return restart

    def _end_sessions(self):
        self.scene.database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname IN ('left', 'right') AND pid <> pg_backend_pid()"
        )

    def _change_config(self):
        for side in self.scene.sides:
            window = self.chance.choice([64, self.options.window])
            side.service.postbus.configure(window=window)

    def _deactivate(self):
        side = self.chance.choice(self.scene.sides)
        side.service.postbus.run("config", "deactivate", "default")
        side.service.postbus.run("config", "activate", "default")

    # ---- what is taken ----

    def _usage(self):
        usage = {side.name: Usage() for side in self.scene.sides}
        for side in self.scene.sides:
            for worker in side.workers:
                usage[side.name].add(worker.pid)
        return usage

    def _at_rest(self):
        """Once all have arrived, every lane has what it wants, and no more is
        given back."""
        self.scene.wait_arrival()
        for side in self.scene.sides:
            self.scene.wait(side.settled_down, "lanes to run")
        time.sleep(2)
        return self._usage()

    def _wait_for_baseline(self):
        deadline = time.monotonic() + self.options.patience
        usage = self._at_rest()
        while not self._back(usage) and time.monotonic() < deadline:
            time.sleep(1)
            usage = self._usage()
        self.samples.append(usage)

    def violations(self):
        """As a storm is judged: nothing is killed, but links and servers break
        as often. R: what was taken is given back."""
        yield from judge(self.evidence)
        if len(self.samples) < 2 or not self._back(self.samples[-1]):
            yield "R", f"memory, descriptors or threads are not given back: {self.samples}"

    def _back(self, usage):
        return all(usage[side].back_at(self.baseline[side]) for side in usage)


# ---- the program ----


def figures(soak, seconds):
    return {
        "seed": soak.options.seed,
        "store": soak.options.store,
        "broker": soak.options.broker,
        "seconds": seconds,
        "troubles": dict(soak.counts),
        "messages": sum(len(ledger) for ledger in soak.evidence.ledger.values()),
        "usage": [
            {side: asdict(usage) for side, usage in sample.items()} for sample in soak.samples
        ],
        "violations": [{"invariant": i, "what": what} for i, what in soak.violations()],
    }


def text(result):
    kinds = ", ".join(f"{number} {what}" for what, number in result["troubles"].items())
    lines = [
        f"{result['store']} -> {result['broker']} -> {result['store']},"
        f" seed {result['seed']}, {result['seconds']:.0f} s",
        f"troubles {kinds}",
        f"rows     {result['messages']}",
        "workers of      RssAnon KiB      descriptors      threads",
    ]
    before, after = result["usage"][0], result["usage"][-1]
    for side in before:
        pairs = [f"{before[side][name]:6} -> {after[side][name]:<6}" for name in before[side]]
        lines.append(f"{side:11} {'  '.join(pairs)}")
    lines += [f"VIOLATED {v['invariant']}: {v['what']}" for v in result["violations"]]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = Options()
    parser.add_argument("--store", choices=["postgresql", "sqlite"], default=defaults.store)
    parser.add_argument("--broker", choices=BROKERS, default=defaults.broker)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--t", type=float, default=600, help="seconds (600)")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    options = Options(arguments.store, arguments.broker, seed=arguments.seed)
    print(f"seed {options.seed}", flush=True)
    exit_on_sigterm()
    soak = run(options, arguments.t, lambda what: print(f"  {what}", flush=True))
    result = figures(soak, arguments.t)
    print(text(result))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if result["violations"] else 0


def run(options, seconds, tell=lambda what: None):
    """A soak that is over."""
    with Scene(options) as scene:
        soak = Soak(scene, tell)
        soak.run(seconds)
    return soak


if __name__ == "__main__":
    sys.exit(main())
