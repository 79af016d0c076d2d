# SPDX-License-Identifier: MIT
"""Child processes that never outlive the program which started them."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


class Process:
    """A running child; what it prints is appended to the file `log`.

    The kernel sends it `orphan_signal` when the thread that started it ends,
    so start it from a thread that stays. Signals go to the whole tree below
    the child: a server is stopped, frozen and killed with its own children.
    """

    def __init__(self, argv, log, *, env=None, user=None, orphan_signal="KILL"):
        self.name = Path(argv[0]).name
        self.log = Path(log)
        self._child = subprocess.Popen(
            [*_setpriv(user, orphan_signal), *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=(output := open(self.log, "ab")),
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        output.close()
        self.pid = self._child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def running(self):
        return self._child.poll() is None

    def wait(self, timeout=30):
        """The exit code: negative is the signal that ended it."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {timeout} s\n{self.tail()}"
            ) from None

    def terminate(self, how=signal.SIGTERM, timeout=30):
        """Asks it to end, waits until all of it has, and returns its exit code."""
        members = tree(self.pid)
        self.thaw()
        if self.running():
            self._child.send_signal(how)
        code = self.wait(timeout)
        _end(members)
        return code

    def kill(self):
        """SIGKILL for every process of it at once, as a power cut would."""
        members = tree(self.pid) if self.running() else []
        _signal(members, signal.SIGKILL)
        self._child.wait()
        _end(members)

    def freeze(self):
        _signal(tree(self.pid), signal.SIGSTOP)

    def thaw(self):
        _signal(tree(self.pid), signal.SIGCONT)

    def rests(self, seconds=2):
        """Whether it does next to nothing for so long: what waits must not spin."""
        before = self._cpu_seconds()
        time.sleep(seconds)
        return self._cpu_seconds() - before < seconds / 8

    def memory(self):
        """Its anonymous memory, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])

    def _cpu_seconds(self):
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=40):
        return "\n".join(self.output().splitlines()[-lines:])

    def wait_for_output(self, text, timeout=30):
        wait_until(
            lambda: text in self.output() or not self.running(), timeout, text
        )
        if text not in self.output():
            raise AssertionError(f"{self.name} ended without {text!r}\n{self.tail()}")

    def wait_for_line(self, *words, timeout=30):
        """The first line of its output that has all those words."""

        def lines():
            return (line for line in self.output().splitlines() if all_in(line))

        def all_in(line):
            return all(word in line for word in words)

        return wait_until(
            lambda: next(lines(), None),
            timeout,
            lambda: f"a line of {self.name} with {words}\n{self.tail()}",
        )


def _setpriv(user, orphan_signal):
    command = ["setpriv", "--pdeathsig", orphan_signal]
    if user is not None:
        command += ["--reuid", user, "--regid", user, "--init-groups"]
    return [*command, "--"]


def tree(pid):
    """The pids of a process and everything below it."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _end(pids):
    """Children notice that their parent has gone, and some need a hint."""
    deadline = time.monotonic() + 5
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            _signal(pids, signal.SIGKILL)
        time.sleep(0.005)


def wait_until(true, timeout=30, what="the condition"):
    """Polls until `true()` is; its value. The timeout only ends a failed test,
    which `what` explains: a text, or what to call for it."""
    deadline = time.monotonic() + timeout
    while not (value := true()):
        if time.monotonic() > deadline:
            what = what() if callable(what) else what
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)
    return value


_reserved = []


def free_port():
    """A loopback port that no other call gets, in this process or one beside it,
    until this process ends: a server may be down for a while and find it free.

    It is below the ephemeral range, so that no client's own end takes it. An
    abstract Unix socket of its name is what reserves it.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0postbus-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reserved.append(reservation)
        return port


def exit_on_sigterm():
    """Lets `finally` and `with` blocks run when this program is terminated."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def require(program):
    """The path of a program, or a sentence that says how to get it."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        raise FileNotFoundError(f"{program} is missing: run tools/install-packages")
    return path
