"""A scriptable BMC that answers the real ipmitool's ``dcmi power reading``, and knows the true joules.

Two transports, one set of commands:

- lan: RMCP+ on loopback UDP, cipher suite 3 (needs pyghmi)
  ``ipmitool -I lanplus -H 127.0.0.1 -p PORT -U admin -E dcmi power reading``
- dummy: ipmitool's own socket interface, ``IPMI_DUMMY_SOCK=PATH ipmitool -I dummy dcmi power reading``

As a program it prints one line of JSON when it listens and one with the true joules when it is ended. In a
test's own process its time can be any clock's: `PowerModel.advance` is told what time it is.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_DCMI = 0xDC
FAULTS = (
    *("ok", "nodcmi", "badcc", "busy", "unspecified", "deactivated", "openbmc"),
    *("zero", "max", "stuck", "drop", "short", "badgroup", "nominmax"),
)


@dataclass
class Realism:
    """What separates a reading from the truth, and what is broken."""

    update_s: float = 1.0
    lag_s: float = 0.0
    noise_w: float = 0.0
    gain: float = 1.0
    quantum_w: float = 1.0
    window_s: float = 5.0
    delay_s: float = 0.0
    rate_limit_s: float = 0.0
    tick_s: float = 0.05
    seed: int = 1
    fault: str = "ok"
    fault_file: Path | None = None

    def fault_now(self) -> str:
        """The fault that is switched on; a file can change it while the BMC runs."""
        if self.fault_file:
            with contextlib.suppress(OSError):
                return self.fault_file.read_text().strip() or "ok"
        return self.fault


class PowerModel:
    """Follows the true power and derives the reading that a BMC would publish."""

    def __init__(
        self, true_power_w: Callable[[float], float], realism: Realism, start_s: float = 0.0
    ) -> None:
        self._true_power_w, self.realism = true_power_w, realism
        self._rng = random.Random(realism.seed)
        self._lock = threading.Lock()
        self.t_s, self.true_w = start_s, true_power_w(start_s)
        self._lagged_w = self.true_w
        self.true_j = 0.0
        self._next_s = start_s + realism.update_s
        self._reading_w = self._publish()
        self._history: deque[tuple[float, int]] = deque([(start_s, self._reading_w)])

    def advance(self, t_s: float) -> None:
        """Let time pass until `t_s`."""
        with self._lock:
            while self.t_s < t_s:
                self._tick(min(t_s, self.t_s + self.realism.tick_s))

    def readings(self, window_s: float) -> tuple[int, int, int, int]:
        """Current, minimum, maximum and average over a window [W]."""
        broken = {"zero": 0, "max": 0xFFFF}.get(self.realism.fault_now())
        if broken is not None:
            return broken, broken, broken, broken
        with self._lock:
            inside = [watts for t_s, watts in self._history if t_s >= self.t_s - window_s] or [
                self._reading_w
            ]
            return self._reading_w, min(inside), max(inside), round(sum(inside) / len(inside))

    def _tick(self, t_s: float) -> None:
        true_w, step_s = self._true_power_w(t_s), t_s - self.t_s
        self.true_j += 0.5 * (true_w + self.true_w) * step_s
        self.true_w, self.t_s = true_w, t_s
        part = min(1.0, step_s / self.realism.lag_s) if self.realism.lag_s else 1.0
        self._lagged_w += (true_w - self._lagged_w) * part
        if t_s >= self._next_s - 1e-9:
            self._next_s += self.realism.update_s
            if self.realism.fault_now() != "stuck":
                self._reading_w = self._publish()
            self._history.append((t_s, self._reading_w))
            while self._history[0][0] < t_s - 60:
                self._history.popleft()

    def _publish(self) -> int:
        with_noise = self._lagged_w * self.realism.gain + self._rng.gauss(0, self.realism.noise_w)
        quantum_w = self.realism.quantum_w
        return max(0, min(0xFFFF, round(round(with_noise / quantum_w) * quantum_w)))


class Bmc:
    """(netfn, command, data) -> (completion code, data), or None to stay silent."""

    def __init__(self, model: PowerModel, now_s: Callable[[], float] = time.monotonic) -> None:
        self._model, self._now_s, self._last_s = model, now_s, -1e9

    def answer(self, netfn: int, command: int, data: bytes) -> tuple[int, bytes] | None:
        """The answer to one IPMI command."""
        self._model.advance(self._now_s())
        if (netfn, command) == (0x06, 0x01):  # Get Device ID
            device = [0x20, 0x81, 0x01, 0x00, 0x02, 0xBF, 0x57, 0x01, 0x00, 0x34, 0x12, 0, 0, 0, 0]
            return 0, bytes(device)
        if (netfn, command) == (0x00, 0x01):  # Get Chassis Status: on
            return 0, bytes([0x01, 0, 0])
        known = netfn == 0x2C and data[:1] == bytes([_DCMI]) and self._model.realism.fault_now() != "nodcmi"
        if known and command == 0x01:
            return self._capabilities(data)
        return self._power(data) if known and command == 0x02 else (0xC1, b"")

    def _capabilities(self, data: bytes) -> tuple[int, bytes]:
        bodies = {1: [0, 1, 1], 2: [0] * 5, 3: [0x40, 0x00], 4: [1, 0xFF, 0xFF], 5: [1, 0x05]}
        body = bodies.get(data[1] if len(data) > 1 else 0)
        return (0, bytes([_DCMI, 1, 5, 2, *body])) if body else (0x80, b"")

    def _power(self, data: bytes) -> tuple[int, bytes] | None:
        realism = self._model.realism
        fault, now_s = realism.fault_now(), self._now_s()
        too_soon, self._last_s = now_s - self._last_s < realism.rate_limit_s, now_s
        if fault == "drop":
            return None
        refusals = {"busy": 0xC0, "badcc": 0xD5, "unspecified": 0xFF}
        if fault in refusals or too_soon:
            return refusals.get(fault, 0xFF), b""
        time.sleep(realism.delay_s)
        watts = self._model.readings(realism.window_s)
        if fault == "nominmax":
            watts = (watts[0], 0, 0, 0)
        stamp, period = (0, 0) if fault == "openbmc" else (int(time.time()), int(realism.window_s * 1000))
        state = 0x00 if fault in ("deactivated", "openbmc") else 0x40
        group = 0x00 if fault == "badgroup" else _DCMI
        body = struct.pack("<BHHHHIIB", group, *watts, stamp, period, state)
        return 0, body[:3] if fault == "short" else body


def serve_dummy(path: Path, bmc: Bmc) -> None:
    """Answer ipmitool's dummy interface in threads: a 16-byte request header, a 24-byte reply header."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(16)

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_converse, args=(connection, bmc), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _converse(connection: socket.socket, bmc: Bmc) -> None:
    with connection, contextlib.suppress(EOFError, OSError):
        while True:
            netfn, lun, command, _, length = struct.unpack("<BBBBH", _need(connection, 16)[:6])
            data = _need(connection, length)
            if (netfn, command) == (0x3F, 0xFF):  # the end of a conversation
                return
            reply = bmc.answer(netfn, command, data)
            if reply is None:
                time.sleep(30)  # a BMC that hangs
                return
            code, body = reply
            head = struct.pack("<BBBBB3xi4xQ", netfn | 1, command, 0, lun, code, len(body), 0)
            connection.sendall(head + body)


def _need(connection: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        more = connection.recv(length - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def serve_lan(port: int, users: dict[str, str], bmc: Bmc) -> int:
    """Answer IPMI 2.0 on loopback; port 0 picks one."""
    import pyghmi.ipmi.bmc
    import pyghmi.ipmi.private.constants as constants
    import pyghmi.ipmi.private.serversession as sessions
    import pyghmi.ipmi.private.session as private

    class Session(sessions.ServerSession):  # type: ignore[misc]
        def _got_rakp1(self, data: bytes) -> None:
            # pyghmi stays silent on an unknown user; a real BMC says 0x0d, unauthorised name
            if data[27] == 0 or self.authdata.get(bytes(data[28:]).decode("latin1")) is None:
                refusal = bytearray([data[0], 0x0D, 0, 0]) + self.clientsessionid
                self.send_payload(refusal, constants.payload_types["rakp2"], retry=False)
                return
            super()._got_rakp1(data)

        def close_server_session(self) -> None:
            # pyghmi never forgets a session
            private.Session.bmc_handlers.pop(self.sockaddr, None)

    sessions.ServerSession = Session  # looked up there by name

    class Server(pyghmi.ipmi.bmc.Bmc):  # type: ignore[misc]
        def handle_raw_request(self, request: dict[str, object], session: Session) -> None:
            reply = bmc.answer(request["netfn"], request["command"], bytes(bytearray(request["data"])))
            if reply is not None:
                session.send_ipmi_response(code=reply[0], data=list(reply[1]))

    if port == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    server = Server(users, port=port, address="127.0.0.1")
    threading.Thread(target=server.listen, kwargs={"timeout": 1}, daemon=True).start()
    return port


# --------------------------------------------------------------------- sources of true power


def steps_of(path: Path) -> Callable[[float], float]:
    """True power from lines of ``t_s,watts``, each lasting until the next."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line[:1].isdigit()]
    times, watts = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
    return lambda t_s: watts[max(0, bisect.bisect_right(times, t_s) - 1)]


def number_in(path: Path) -> Callable[[float], float]:
    """True power from a number in a file that a test rewrites."""
    last = [0.0]

    def read(_: float) -> float:
        with contextlib.suppress(OSError, ValueError, IndexError):
            last[0] = float(path.read_text(encoding="utf-8").split()[0])
        return last[0]

    return read


def cpu_between(idle_w: float, full_w: float) -> Callable[[float], float]:
    """True power between two levels, by the part of the machine's CPUs that is busy."""
    last = [(0, 0, idle_w)]

    def read(_: float) -> float:
        ticks = [
            int(word) for word in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
        ]
        total, idle = sum(ticks), ticks[3] + ticks[4]
        total_before, idle_before, watts = last[0]
        if total - total_before < 5:
            return watts
        busy = 1 - (idle - idle_before) / (total - total_before) if total_before else 0.0
        last[0] = (total, idle, idle_w + (full_w - idle_w) * min(1.0, max(0.0, busy)))
        return last[0][2]

    return read


def _source(options: argparse.Namespace) -> Callable[[float], float]:
    if options.profile:
        return steps_of(options.profile)
    if options.watts_file:
        return number_in(options.watts_file)
    if options.cpu:
        return cpu_between(*map(float, options.cpu.split(",")))
    return lambda _: options.watts


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--dummy-sock", type=Path)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default=os.environ.get("IPMI_PASSWORD", "secret"))
    parser.add_argument("--watts", type=float, default=124.0)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--watts-file", type=Path)
    parser.add_argument("--cpu", metavar="IDLE,MAX")
    parser.add_argument("--fault", default="ok", choices=FAULTS)
    parser.add_argument("--fault-file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    for name in ("update_s", "lag_s", "noise_w", "gain", "quantum_w", "window_s", "delay_s", "rate_limit_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Realism, name))
    options = parser.parse_args()
    chosen = {name: value for name, value in vars(options).items() if name in Realism.__dataclass_fields__}
    start_s = time.monotonic()
    now_s = lambda: time.monotonic() - start_s  # noqa: E731
    model = PowerModel(_source(options), Realism(**chosen))
    bmc = Bmc(model, now_s)
    port = options.port
    if port is not None:
        port = serve_lan(port, {options.user: options.password}, bmc)
    if options.dummy_sock:
        serve_dummy(options.dummy_sock, bmc)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    while not ended.wait(model.realism.tick_s):
        model.advance(now_s())
    print(json.dumps({"true_j": model.true_j, "elapsed_s": now_s()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
