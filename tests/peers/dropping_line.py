"""A line to a server of this machine that drops: connections are cut after so many bytes from there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Line:
    """What it does: change it at any time.

    Attributes
    ----------
    port : int
        Where it begins.
    drops_after : list of int
        Bytes from the server after which all connections are cut, each once.
    dropped : int
        How often that was.
    is_cut : bool
        Whether nobody gets through.
    """

    port: int = 0
    drops_after: list[int] = field(default_factory=list)
    dropped: int = 0
    is_cut: bool = False
    _passed: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self, client: socket.socket, server: socket.socket) -> None:
        """Carry what they say to each other."""
        with self._lock:
            self._open += [client, server]
        for one, other, counts in ((client, server, False), (server, client, True)):
            threading.Thread(target=self._carry, args=(one, other, counts), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if counts and self._is_enough(len(data)):
                    self._cut()
                    return
                other.sendall(data)
        for each in (one, other):
            each.close()

    def _is_enough(self, more: int) -> bool:
        with self._lock:
            self._passed += more
            if not self.drops_after or self._passed < self.drops_after[0]:
                return False
            self.drops_after.pop(0)
            self.dropped += 1
            return True

    def _cut(self) -> None:
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()


@contextmanager
def serve(port: int) -> Iterator[Line]:
    """A line to `port` that holds."""
    line = Line()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line.port = listening.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    if line.is_cut:
                        client.close()
                        continue
                    line.join(client, socket.create_connection(("127.0.0.1", port)))

        threading.Thread(target=accept, daemon=True).start()
        yield line
        listening.shutdown(socket.SHUT_RDWR)
