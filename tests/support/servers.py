# SPDX-License-Identifier: MIT
"""Real servers for tests, demo and bench: RabbitMQ, Mosquitto, PostgreSQL.

Each listens on free loopback ports, keeps its files in a temporary directory,
and holds both over stop, kill and start:

    with RabbitMQ() as rabbitmq:
        rabbitmq.kill()
        rabbitmq.start()
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from support.process import Process, free_port, require

HOST = "127.0.0.1"


class Server:
    """What all have in common; `process` is None unless it has been started."""

    stop_signal = signal.SIGTERM
    orphan_signal = "KILL"
    user = None
    process = None

    def __init__(self):
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="postbus-"))
        self.log = self.directory / "log"

    def __enter__(self):
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def prepare(self):
        """Once, before the first start: writes configuration, makes databases."""
        raise NotImplementedError

    def command(self):
        """The program and its arguments."""
        raise NotImplementedError

    def ready(self):
        """Whether a client would be served now."""
        raise NotImplementedError

    def environment(self):
        return None

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def start(self, wait=True):
        self.process = Process(
            self.command(),
            self.log,
            env=self.environment(),
            user=self.user,
            orphan_signal=self.orphan_signal,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=300):
        deadline = time.monotonic() + timeout
        while not self.ready():
            if not self.process.running() or time.monotonic() > deadline:
                raise AssertionError(
                    f"{self.process.name} did not start\n{self.process.tail()}"
                )
            time.sleep(0.02)

    def running(self):
        return self.process is not None and self.process.running()

    def stop(self):
        """As an administrator would: everything accepted is on disk."""
        self.process.terminate(self.stop_signal)

    def kill(self):
        self.process.kill()

    def freeze(self):
        self.process.freeze()

    def thaw(self):
        self.process.thaw()

    def heal(self):
        """Running again, whatever a test has done to it."""
        if self.running():
            self.thaw()
        else:
            self.start()

    def close(self):
        if self.running():
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class RabbitMQ(Server):
    """One node with the classic protocol port only; user and password guest.

    Its distribution port and its epmd are private and on loopback too. Plugins
    are named by what follows "rabbitmq_".
    """

    username = password = "guest"

    def __init__(self, config="", plugins=()):
        super().__init__()
        self.config = config
        self.plugins = [f"rabbitmq_{name}" for name in plugins]
        self.home = self.directory / "home"
        self.epmd = None
        self.epmd_port = free_port()
        self.distribution_port = free_port()

    def prepare(self):
        self._link_installation()
        enabled = f"[{','.join(self.plugins)}].\n"
        (self.directory / "enabled_plugins").write_text(enabled)
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.address}\n"
            "log.console = true\n"
            "log.file = false\n"
            "disk_free_limit.absolute = 1MB\n"
            "vm_memory_high_watermark.relative = 0.8\n"
            f"{self.config}\n"
        )

    def _link_installation(self):
        """The installed server without its plugins: Erlang looks for every
        module in every directory, and so it starts in half the time."""
        installed = Path(require("/usr/lib/rabbitmq/bin/rabbitmq-server")).resolve()
        (self.home / "plugins").mkdir(parents=True)
        for name in "sbin", "escript":
            (self.home / name).symlink_to(installed.parent.parent / name)
        for library in (installed.parent.parent / "plugins").glob("*-*"):
            name = library.name.partition("-")[0]
            wanted = ["rabbitmq_prelaunch", *self.plugins]
            if name in wanted or not name.startswith("rabbitmq_"):
                (self.home / "plugins" / library.name).symlink_to(library)

    def environment(self):
        """Nothing of the caller's; sourced by server and rabbitmqctl alike."""
        directory = str(self.directory)
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": directory,
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{directory}/data",
            "RABBITMQ_LOG_BASE": directory,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the node instead of watching over it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def command(self):
        return [self.home / "sbin" / "rabbitmq-server"]

    def start(self, wait=True):
        if self.epmd is None:
            self.epmd = Process(
                [require("epmd"), "-port", self.epmd_port, "-address", HOST],
                self.directory / "epmd.log",
            )
        super().start(wait)

    def ready(self):
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as probe:
                probe.sendall(b"AMQP\0\0\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False

    def kill(self):
        """As a power cut, but for one thing that no test is about: RabbitMQ
        answers a declaration before it is on disk."""
        if self.ready():
            self.eval("mnesia:sync_log()")
        super().kill()

    def close(self):
        if self.running():
            self.process.kill()
        if self.epmd is not None:
            self.epmd.kill()
        super().close()

    def ctl(self, *arguments):
        """rabbitmqctl; what it printed."""
        return subprocess.run(
            [self.home / "sbin" / "rabbitmqctl", "--quiet", *arguments],
            env=self.environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def eval(self, erlang):
        """Evaluates in the node: a hundredth of what rabbitmqctl takes.

        Each caller has a name of its own: the node turns away a second one of
        the same name until it has seen the first one go.
        """
        caller = f"caller-{uuid.uuid4().hex}"
        cookie = (self.directory / ".erlang.cookie").read_text()
        reply = subprocess.run(
            ["erl_call", "-h", caller, "-sname", "rabbit@localhost", "-c", cookie, "-e"],
            input=f"{erlang}.\n",
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        if not reply.stdout.startswith("{ok, "):
            raise RuntimeError(f"{erlang} answered {reply.stdout}{reply.stderr}")
        return reply.stdout[len("{ok, ") : -1]

    def add_vhost(self, name):
        self.eval(
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>),'
            "rabbit_auth_backend_internal:set_permissions("
            f'<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>)'
        )

    def delete_vhost(self, name):
        """And with it its queues and connections."""
        self.eval(f'rabbit_vhost:delete(<<"{name}">>, <<"test">>)')

    @contextlib.contextmanager
    def alarm(self, resource="memory"):
        """Publishers are blocked within; the other resource is disk."""
        name = f"{{resource_limit, {resource}, node()}}"
        self.eval(f"rabbit_alarm:set_alarm({{{name}, []}})")
        try:
            yield
        finally:
            self.eval(f"rabbit_alarm:clear_alarm({name})")

    def connect(self, vhost="/", **options):
        """A pika.BlockingConnection."""
        import pika

        return pika.BlockingConnection(
            pika.ConnectionParameters(
                HOST,
                self.port,
                vhost,
                pika.PlainCredentials(self.username, self.password),
                **options,
            )
        )


class Mosquitto(Server):
    """Anonymous, with persistence and no bound on what it queues."""

    def __init__(self, config=""):
        super().__init__()
        self.config = config

    def prepare(self):
        (self.directory / "mosquitto.conf").write_text(
            f"listener {self.port} {HOST}\n"
            "allow_anonymous true\n"
            "user root\n"  # a change of user would undo the orphan signal
            "persistence true\n"
            f"persistence_location {self.directory}/\n"
            "max_queued_messages 0\n"
            "log_dest stdout\n"
            f"{self.config}\n"
        )

    def command(self):
        return [require("mosquitto"), "-c", self.directory / "mosquitto.conf"]

    def ready(self):
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False


class PostgreSQL(Server):
    """A cluster that trusts everybody on loopback; superuser postgres.

    It also listens on a Unix socket in its own directory.
    """

    stop_signal = signal.SIGINT  # the fast shutdown: cuts clients off
    orphan_signal = "INT"

    def __init__(self, **settings):
        super().__init__()
        self.settings = settings
        if os.geteuid() == 0:
            self.user = "postgres"
            owner = pwd.getpwnam(self.user)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)

    @staticmethod
    def program(name):
        """Of the newest installed version."""
        versions = Path("/usr/lib/postgresql").glob("*/bin")
        newest = max(versions, key=lambda path: float(path.parent.name), default="")
        return require(Path(newest) / name)

    def prepare(self):
        initdb = Process(
            [
                self.program("initdb"),
                *("-D", self.directory / "data", "-U", "postgres"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            self.log,
            user=self.user,
        )
        with initdb:
            if initdb.wait(120) != 0:
                raise AssertionError(f"initdb failed\n{initdb.tail()}")

    def command(self):
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "max_connections": 200,
            **self.settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self.program("postgres"), "-D", self.directory / "data", *options]

    def ready(self):
        probe = [self.program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def url(self, database="postgres"):
        return f"postgresql://postgres@{self.address}/{database}"

    def sql(self, statement, database="postgres"):
        """Runs statements through psql; what it printed, unaligned."""
        result = subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)],
            input=statement,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip())
        return result.stdout.strip()

    def rows(self, query, database="postgres"):
        """The rows of one query, each a dict."""
        return json.loads(self.sql(rows_as_json(query), database))

    def session(self, database="postgres"):
        return Session(self.url(database))


def rows_as_json(query):
    return f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) q"


class Session:
    """One psql that stays connected and does what it is told; once the
    connection is lost it raises ConnectionError."""

    def __init__(self, url):
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "psql", "-XAtq", "-d", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._child.kill()
        self._child.communicate()

    def sql(self, statements):
        """What it printed, once all are done."""
        lines = []
        self._child.stdin.write(f"{statements};\n\\echo done\n")
        self._child.stdin.flush()
        while (line := self._child.stdout.readline()) not in ("done\n", ""):
            lines.append(line.rstrip("\n"))
        if line == "":
            raise ConnectionError("\n".join(lines))
        if any(text.startswith("ERROR") for text in lines):
            raise RuntimeError("\n".join(lines))
        return "\n".join(lines)
