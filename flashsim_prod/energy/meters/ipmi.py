"""The whole server, as its baseboard management controller (BMC) sees it: ``ipmitool dcmi power reading``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Self

from flashsim_prod.energy.meters.base import LIMITS_W, Accuracy, Meter, Reading
from flashsim_prod.energy.record import Scope
from flashsim_prod.errors import NodeError, RequestError

#: ipmitool takes the password of ``-E`` from here; it never stands on a command line
PASSWORD_VARIABLES = ("IPMI_PASSWORD", "IPMITOOL_PASSWORD")
#: an answer over the network takes about 0.1 s, one of a silent BMC with ``-N 1 -R 1`` about 2 s
TIMEOUT_S = 6.0
_WATTS = re.compile(r"Instantaneous power reading:\s+(\d+) Watts")
_LOWEST = re.compile(r"Minimum during sampling period:\s+(\d+) Watts")
_HIGHEST = re.compile(r"Maximum during sampling period:\s+(\d+) Watts")
_PERIOD = re.compile(r"Sampling period:\s+(\d+) ")
#: a host on the network, or ``interface:`` and one of ipmitool's own
_ADDRESS = re.compile(
    r"interface:(?P<interface>[a-z]+)|((?P<user>[^@:\s]+)@)?(?P<host>[A-Za-z0-9.\-]+)(:(?P<port>[0-9]{1,5}))?"
)
_STATE = re.compile(r"Power reading state is:\s+(\w+)")

#: what ipmitool says, and what it means
_MEANINGS = (
    ("could not open device", "there is no BMC device that this account may open (/dev/ipmi0); load the "
     "kernel module ipmi_devintf, ask for permission, or name the BMC's address with --bmc"),
    ("permission denied", "this account may not open /dev/ipmi0; ask for permission, or use --bmc"),
    ("unable to establish", "no session with the BMC: wrong user or password, or nobody answers there"),
    ("invalid command", "this BMC does not offer DCMI power readings (c1)"),
    ("node busy", "the BMC is busy (c0)"),
    ("unspecified error", "the BMC refuses to be asked this often (ff); raise --interval"),
)  # fmt: skip


@dataclass(frozen=True)
class BmcAddress:
    """How ipmitool reaches the BMC: in-band through the kernel, or over the network.

    Attributes
    ----------
    interface : str or None
        ipmitool's ``-I``; ``None`` for in-band.
    host, port, user
        For ``lanplus``; the password comes from the environment.
    """

    interface: str | None = None
    host: str | None = None
    port: int = 623
    user: str | None = None

    @classmethod
    def parsed(cls, text: str | None) -> Self | None:
        """An address as typed, ``None`` for in-band; `RequestError` if it is none."""
        if text is None:
            return None
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise RequestError(f"--bmc: '{text}' is not of the form USER@HOST or USER@HOST:PORT")
        if found["interface"]:
            return cls(interface=found["interface"])
        return cls(host=found["host"], port=int(found["port"] or 623), user=found["user"])

    def arguments(self) -> list[str]:
        """ipmitool's options."""
        if self.host is None:
            return ["-I", self.interface] if self.interface else []
        given = [
            "-I",
            self.interface or "lanplus",
            "-H",
            self.host,
            "-p",
            str(self.port),
            "-N",
            "1",
            "-R",
            "1",
        ]
        return [*given, *(["-U", self.user] if self.user else []), "-E"]


class IpmiMeter(Meter):
    """Power of the whole server [W]. It contains the GPUs: their readings are never added to it.

    Power supplies' sensors are specified to a few percent; `gain` is the half-width assumed for one that
    nobody has calibrated.
    """

    name = "ipmi"

    def __init__(self, address: BmcAddress | None = None, *, gain: float = 0.03) -> None:
        address = address or BmcAddress()
        self.accuracy = Accuracy(gain=gain, offset_w=0.0, quantum_w=1.0)
        program = shutil.which("ipmitool")
        if program is None:
            raise NodeError(
                "ipmi: the program ipmitool is not on PATH; install it (apt or dnf install ipmitool)"
            )
        if address.host is not None and not any(os.environ.get(name) for name in PASSWORD_VARIABLES):
            raise RequestError(
                f"ipmi: the password for {address.host} is missing; set {PASSWORD_VARIABLES[0]}"
            )
        self._command = [program, *address.arguments(), "dcmi", "power", "reading"]

    def read(self) -> tuple[Reading, ...]:
        try:
            done = subprocess.run(
                self._command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return (_missing(f"the BMC gave no answer within {TIMEOUT_S:g} s"),)
        except OSError as error:
            return (_missing(f"ipmitool cannot be run: {error.strerror}"),)
        if done.returncode != 0:
            return (_missing(_meaning(done.stderr or done.stdout)),)
        return (parse_reply(done.stdout, self.limit_w(Scope.SERVER)),)


def parse_reply(text: str, limit_w: float = LIMITS_W[Scope.SERVER]) -> Reading:
    """The reading in ipmitool's answer.

    ipmitool ends with 0 on garbage too, so 0 W, 65535 W (all bits set), more than `limit_w` and a reading
    outside its own minimum and maximum are no readings. Some BMCs keep no minimum and maximum: both are then
    0; but where nothing at all follows the watts, the answer was cut off, perhaps within them. "deactivated"
    is said by BMCs that give good watts: only a remark. The average is ignored, its window can be weeks.
    """
    found = _WATTS.search(text)
    if found is None:
        return _missing("the BMC's answer holds no power reading")
    watts = int(found[1])
    if watts == 0:
        return _missing("the BMC reads 0 W, which a running server never draws")
    if watts > limit_w:
        return _missing(f"the BMC reads {watts} W, which is no power of a server (limit {limit_w:,.0f} W)")
    lowest, highest = _LOWEST.search(text), _HIGHEST.search(text)
    limits = (int(lowest[1]), int(highest[1])) if lowest and highest else None
    state, period = _STATE.search(text), _PERIOD.search(text)
    is_active = state is not None and state[1] == "activated"
    keeps_none = limits == (0, 0) and (is_active or (period is not None and int(period[1]) > 0))
    if limits is None or not (keeps_none or limits[0] <= watts <= limits[1]):
        return _missing(
            f"the BMC's answer is truncated or contradicts itself: {watts} W beyond its own limits"
        )
    remark = None
    if not is_active:
        remark = "the BMC calls its power reading deactivated, though it gives watts"
    return Reading("server", Scope.SERVER, power_w=float(watts), trouble=remark)


def _missing(reason: str) -> Reading:
    return Reading("server", Scope.SERVER, trouble=reason)


def _meaning(message: str) -> str:
    for words, meaning in _MEANINGS:
        if words in message.lower():
            return meaning
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"ipmitool failed: {lines[-1] if lines else 'no message'}"
