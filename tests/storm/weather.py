# SPDX-License-Identifier: MIT
"""The storm: two services talk, and all that carries it is killed meanwhile.

First it is calm, for what needs everything to be up. Then come rounds: rows are
written, and something is ended while they are on their way. In the end it is
calm again, and everything must arrive.
"""

import random
import time
from dataclasses import dataclass, field

from storm.ends import Ends
from storm.scene import Scene, StandsStill
from support.service import OUTBOX

CALM = 100  # rows of each side


@dataclass
class Evidence:
    """What there is to be judged. Rows are dicts; `wire` has the message ids as
    they crossed the broker, in order, repeats included."""

    window: int
    ledger: dict = field(default_factory=dict)  # side -> message id -> Row
    outbox: dict = field(default_factory=dict)  # side -> rows
    inbox: dict = field(default_factory=dict)  # side -> rows
    rejected: dict = field(default_factory=dict)  # side -> rows
    wire: list = field(default_factory=list)
    relaying: list = field(default_factory=list)  # workers of each side, in the calm
    calm: set = field(default_factory=set)  # message ids of before anything ended
    ends: list = field(default_factory=list)
    kills: int = 0
    stuck: list = field(default_factory=list)  # what did not come


class Storm:
    def __init__(self, scene, tell):
        self.scene = scene
        self.tell = tell
        self.options = scene.options
        self.chance = random.Random(self.options.seed)
        self.ends = Ends(scene, self.chance)
        self.evidence = Evidence(self.options.window)

    def run(self):
        """All of it; the evidence."""
        try:
            self._calm()
            self._rage()
        except StandsStill as why:
            self.evidence.stuck.append(str(why))
        self._gather()
        return self.evidence

    # ---- calm ----

    def _calm(self):
        """Nothing is ended, so nothing may go out twice."""
        sides = self.scene.sides
        for side in sides:
            side.write(CALM)
        if self.scene.broker.tells_unroutable:
            self._wait_for_hermit(self.chance.choice(sides))
        if self.scene.database is not None:
            self._commit_late(self.chance.choice(sides))
        self.evidence.relaying = [len(side.relaying()) for side in sides]
        self.scene.limit_attempts()
        self.scene.wait_arrival()
        self.evidence.calm = {name for side in sides for name in side.ledger}

    def _wait_for_hermit(self, side):
        """A request that reaches nobody at first holds back its key."""
        first, second = f"{side.name}-asks", f"{side.name}-tells"
        side.service.insert(side.request_to("hermit", first, "hermit"))
        side.service.insert(side.event(second, "hermit"))
        side.enter(first, key="hermit", received=False)
        side.enter(second, key="hermit")
        failed = f"message_id = '{first}' AND retry_count > 0"
        self.scene.wait(lambda: side.service.count(OUTBOX, failed), first)
        self.scene.broker.watch("hermit.#")
        sent = f"message_id = '{second}' AND published"
        self.scene.wait(lambda: side.service.count(OUTBOX, sent), second)

    def _commit_late(self, side):
        """Rows whose transaction ends when later ones have gone out."""
        rows = [side.event(f"{side.name}-late-{i}") for i in range(10)]
        with side.service.database.session() as session:
            session.sql("BEGIN")
            for row in rows:
                values = ", ".join(f"'{row[name]}'" for name in row)
                session.sql(f"INSERT INTO {OUTBOX} ({', '.join(row)}) VALUES ({values})")
            side.write(10)
            self.scene.wait(lambda: side.progress().pending == 0, "rows to go out")
            session.sql("COMMIT")
        for row in rows:
            side.enter(row["message_id"])

    # ---- rounds ----

    def _rage(self):
        plan = self.ends.plan(self.options.kills)
        shares = [self.ends.rows(what) * self.chance.uniform(0.5, 1.5) for what in plan]
        written = sum(len(side.ledger) for side in self.scene.sides)
        left = (self.options.messages - written) / 2
        for what, share in zip(plan, shares, strict=True):
            self._round(what, int(left * share / sum(shares)))

    def _round(self, what, rows):
        """Nine in ten of the rows are there before, the others come after."""
        after = max(2, rows // 10)
        self._write(max(2, rows - after))
        time.sleep(self.chance.uniform(0, 0.05))
        end = self.ends.strike(what)
        self.evidence.ends.append(end)
        self.tell(f"{what}, {end.returned - end.struck:.1f} s")
        self._write(after)
        end.measured = what != "worker killed" or self.chance.random() < 0.75
        if end.measured:
            self.scene.wait_flow()

    def _write(self, rows):
        sides = list(self.scene.sides)
        self.chance.shuffle(sides)
        for side in sides:
            side.write(rows)

    # ---- the end ----

    def _gather(self):
        evidence = self.evidence
        try:
            self.scene.wait_arrival()
            for side in self.scene.sides:
                self.scene.wait(side.settled_down, "lanes to run")
        except StandsStill as why:
            evidence.stuck.append(str(why))
        for side in self.scene.sides:
            for worker in side.workers:
                if code := worker.terminate():
                    evidence.stuck.append(f"a worker ended with {code}\n{worker.tail()}")
            evidence.ledger[side.name] = side.ledger
            evidence.outbox[side.name] = side.service.outbox()
            evidence.inbox[side.name] = side.service.inbox()
            evidence.rejected[side.name] = side.service.rejected()
        evidence.wire = self.scene.broker.wire()
        evidence.kills = self.ends.kills


def run(options, tell=lambda text: None):
    """The evidence of one storm. `tell` is given what is done, as it is done."""
    with Scene(options) as scene:
        return Storm(scene, tell).run()
