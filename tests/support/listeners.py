# SPDX-License-Identifier: MIT
"""What else may listen where a broker should: one thread, ended with the block."""

import contextlib
import socket
import ssl
import threading

from support.servers import HOST


class Listener:
    """Serves one connection after the other; `received` is all that was sent."""

    def __init__(self):
        self.received = b""
        self.connections = 0
        self._socket = socket.create_server((HOST, 0))
        self._socket.settimeout(0.1)
        self.port = self._socket.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                peer, _ = self._socket.accept()
                with peer:
                    self.connections += 1
                    peer.settimeout(0.1)
                    self.serve(peer)

    def serve(self, peer):
        """Silence: reads and never answers."""
        self.read(peer)

    def read(self, peer):
        """Until the peer has gone, or the listener is to end."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                data = peer.recv(4096)
                self.received += data
                if not data:
                    return


class WebServer(Listener):
    def serve(self, peer):
        with contextlib.suppress(TimeoutError):
            self.received += peer.recv(4096)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


class TlsListener(Listener):
    """Shows its certificate and notes what is sent to it after that."""

    def __init__(self, certificate, key):
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)

    def serve(self, peer):
        peer.settimeout(5)
        with self._context.wrap_socket(peer, server_side=True) as secure:
            secure.settimeout(0.1)
            self.read(secure)
