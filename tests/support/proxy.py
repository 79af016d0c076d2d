# SPDX-License-Identifier: MIT
"""A TCP proxy on loopback, and what a network does to those who trust it."""

import contextlib
import random
import socket
import struct
import threading
import time

from support.servers import HOST

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections on to `port`. What it does to them may change at any
    time; `cuts` counts the connections that it has cut.

        delay        seconds that every piece waits
        dribble      bytes go on one by one
        cut_between  (least, most): a connection ends after so many bytes, drawn
                     from the seed, wherever in a frame that may be
    """

    def __init__(self, port, seed=1):
        self.delay = 0
        self.dribble = False
        self.cut_between = None
        self.cuts = 0
        self._server_port = port
        self._chance = random.Random(seed)
        self._links = []
        self._threads = []
        self._ended = threading.Event()
        self._socket = socket.create_server((HOST, 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def half_open(self):
        """What either side of a connection sends is lost from now on, and
        neither is told. Later connections are well."""
        for link in self._links:
            link.half_open = True

    def cut(self):
        """Every connection ends at once, both ways."""
        for link in self._links:
            self._cut(link)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._socket.accept()
                self._take(client)
        for link in self._links:
            link.close()

    def _take(self, client):
        try:
            server = socket.create_connection((HOST, self._server_port))
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        if self.cut_between is not None:
            link.left = self._chance.randint(*self.cut_between)
        self._links.append(link)
        self._start(self._pump, link, client, server)
        self._start(self._pump, link, server, client)

    def _pump(self, link, source, sink):
        """Copies one way until either side has gone."""
        while not (link.closed or self._ended.is_set()):
            try:
                data = source.recv(1 if self.dribble else 65536)
                if not data:
                    break
                time.sleep(self.delay)
                self._pass_on(link, sink, data)
            except TimeoutError:
                continue
            except OSError:
                break
        if not link.half_open:
            link.close()

    def _pass_on(self, link, sink, data):
        if link.half_open:
            return
        if link.left is not None and link.left <= len(data):
            sink.sendall(data[: link.left])
            self._cut(link)
            return
        if link.left is not None:
            link.left -= len(data)
        sink.sendall(data)

    def _cut(self, link):
        if not link.closed:
            self.cuts += 1
            link.reset()


class _Link:
    """A client and its server, and how many bytes they have left."""

    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.left = None
        self.half_open = False
        self.closed = False
        for end in (client, server):
            end.settimeout(0.1)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self):
        """As when a router forgets them: what was under way is lost."""
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def close(self):
        self.closed = True
        self.client.close()
        self.server.close()
