# SPDX-License-Identifier: MIT
"""libpostbus's MQTT client, driven from a test through mqtt-driver."""

import subprocess
import threading

from support.postbus import PROGRAM
from support.process import require, wait_until

BUILD = PROGRAM.parent


class Client:
    """One process; what its client tells is in `lines`, each a list of words."""

    def __init__(self, url, **options):
        driver = require(str(BUILD / "tests" / "support" / "mqtt-driver"))
        guarded = ["setpriv", "--pdeathsig", "KILL", "--", driver, url]
        pipe = subprocess.PIPE
        self.lines = []
        self._child = subprocess.Popen(guarded, stdin=pipe, stdout=pipe, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.pid = self._child.pid
        for name, value in {"retry_min": 0, "retry_max": 1, **options}.items():
            self.do("set", name, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Its input ends, and so it does; what it leaked is its exit code."""
        self._child.stdin.close()
        assert self._child.wait(30) in (0, -9)
        self._reader.join()
        self._child.stdout.close()

    def _read(self):
        for line in self._child.stdout:
            self.lines.append(line.split())

    def do(self, *words):
        self._child.stdin.write(" ".join(map(str, words)) + "\n")
        self._child.stdin.flush()

    def kill(self):
        self._child.kill()
        self._child.wait()

    def told(self, *begin):
        """All lines so far that begin with these words."""
        words = [str(word) for word in begin]
        return [line for line in self.lines if line[: len(words)] == words]

    def wait(self, *begin, number=1):
        """The last of so many lines that begin with these words."""
        wait_until(
            lambda: len(self.told(*begin)) >= number,
            30,
            lambda: f"{number} lines with {begin}\n{self.lines[-20:]}",
        )
        return self.told(*begin)[number - 1]

    def connect(self):
        """Once connected; whether the server had a session."""
        self.do("connect")
        return self.wait("connected")[1] == "1"

    def subscribe(self, topic, qos=2):
        """The granted QoS."""
        self.do("subscribe", topic, topic, qos)
        _, _, status, granted = self.wait("granted", topic)
        assert status == "0"
        return int(granted)

    def publish(self, name, topic, qos, payload, *decorations):
        """Once it is done; its status."""
        self.do("publish", name, topic, qos, payload, *decorations)
        return int(self.wait("done", name)[2])
