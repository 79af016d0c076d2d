# SPDX-License-Identifier: MIT
"""What is ended in the storm, and brought back."""

import time
from dataclasses import dataclass

SERVER_ROWS = 5  # are under way when a server is ended, against one for a worker


@dataclass
class End:
    """Something was ended, and is there again since `returned`. `sides` are the
    names of those that felt it: the relay of each may send a window again."""

    what: str
    sides: list
    struck: float
    returned: float
    measured: bool = False  # nothing else was ended before rows went out again


class Ends:
    """Each ends something and says when it was there again, and whom it hit."""

    def __init__(self, scene, chance):
        self.scene = scene
        self.chance = chance
        self.kills = 0  # with SIGKILL
        self.table = {
            "worker killed": (self.kill_worker, 1),
            "all workers killed": (self.kill_all_workers, 1),
            "broker restarted": (self.restart_broker, SERVER_ROWS),
            "link half open": (self.half_open, SERVER_ROWS),
        }
        if scene.broker.crashes:
            self.table["broker killed"] = (self.kill_broker, SERVER_ROWS)
        if scene.database is not None:
            self.table |= {
                "database restarted": (self.restart_database, SERVER_ROWS),
                "database killed": (self.kill_database, SERVER_ROWS),
                "database and workers killed": (self.kill_both, SERVER_ROWS),
            }

    def plan(self, kills):
        """The names of what comes, in turn. A broker's restart is the first of
        what is no worker: a quorum queue of RabbitMQ 3.10 that is killed within
        a second of its making never finds its leader again."""
        rare = [name for name in self.table if name != "worker killed"]
        rare *= max(1, kills // 20)
        self.chance.shuffle(rare)
        rare.remove("broker restarted")
        rare.insert(0, "broker restarted")
        order = ["worker killed"] * kills
        for i, name in enumerate(rare):
            order.insert((i + 1) * len(order) // (len(rare) + 1), name)
        return order

    def rows(self, what):
        """How many should be under way, against those for a worker."""
        return self.table[what][1]

    def strike(self, what):
        struck = time.time()
        sides, returned = self.table[what][0]()
        return End(what, [side.name for side in sides], struck, returned)

    # ---- each of them ----

    def kill_worker(self):
        side = self.chance.choice(self.scene.sides)
        now = time.time()
        self._replace(side, self.chance.choice(side.workers))
        return [side], now

    def kill_all_workers(self):
        """Nobody stands by."""
        now = time.time()
        for side in self.scene.sides:
            for worker in list(side.workers):
                self._replace(side, worker)
        return self.scene.sides, now

    def half_open(self):
        self.scene.proxy.half_open()
        return self.scene.sides[:1], time.time()

    def restart_broker(self):
        self.scene.broker.server.stop()
        return self._start(self.scene.broker.server)

    def kill_broker(self):
        self._kill(self.scene.broker.server)
        return self._start(self.scene.broker.server)

    def restart_database(self):
        self.scene.database.stop()
        return self._start(self.scene.database)

    def kill_database(self):
        self._kill(self.scene.database)
        return self._start(self.scene.database)

    def kill_both(self):
        """The workers have in hand what they could not commit."""
        self._kill(self.scene.database)
        time.sleep(self.chance.uniform(0, 0.5))
        for side in self.scene.sides:
            for worker in list(side.workers):
                self._replace(side, worker)
        return self._start(self.scene.database)

    def _replace(self, side, worker):
        side.replace(worker)
        self.kills += 1

    def _kill(self, server):
        server.kill()
        self.kills += 1

    def _start(self, server):
        server.start()
        return self.scene.sides, time.time()
