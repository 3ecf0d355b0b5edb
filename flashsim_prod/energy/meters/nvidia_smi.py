"""GPUs through the program ``nvidia-smi``, where the library cannot be loaded."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from flashsim_prod.energy.meters.base import Meter, Reading, Scope
from flashsim_prod.energy.meters.nvml import GPU_ACCURACY
from flashsim_prod.errors import NodeError

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class _Answer:
    """What nvidia-smi said.

    Attributes
    ----------
    power : dict
        By channel, as it stands there.
    sentences : tuple of str
        What stands where rows should be: a GPU that fell off the bus has none.
    """

    power: dict[str, str]
    sentences: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """The sentences in one line."""
        return "; ".join(self.sentences)


class NvidiaSmiMeter(Meter):
    """Polled power of every GPU of the machine [W]."""

    name = "nvidia-smi"
    accuracy = GPU_ACCURACY

    def __init__(self) -> None:
        program = shutil.which("nvidia-smi")
        if program is None:
            raise NodeError(
                "nvidia-smi: the program is not on PATH; is this machine's NVIDIA driver installed?"
            )
        self._command = [program, "--query-gpu=index,power.draw", "--format=csv,noheader,nounits"]
        answer = self._ask()
        if not answer.power:
            raise NodeError(f"nvidia-smi: {answer.complaint or 'it lists no GPU on this machine'}")
        self._channels = tuple(answer.power)
        self.lost = answer.sentences

    def read(self) -> tuple[Reading, ...]:
        answer = self._ask()
        gone = answer.complaint or "nvidia-smi no longer lists this GPU"
        return tuple(
            self._reading(channel, answer.power[channel])
            if channel in answer.power
            else Reading(channel, Scope.GPU, trouble=gone)
            for channel in self._channels
        )

    def _ask(self) -> _Answer:
        try:
            done = subprocess.run(
                self._command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return _Answer({}, (f"no answer within {_TIMEOUT_S:g} s",))
        except OSError as error:
            return _Answer({}, (f"it cannot be run: {error.strerror}",))
        answer = _answer(done.stdout, done.stderr if done.returncode else "")
        if done.returncode and not answer.power and not answer.sentences:
            return _Answer({}, (f"it ended with code {done.returncode}",))
        return answer

    def _reading(self, channel: str, cell: str) -> Reading:
        try:
            power_w = float(cell)
        except ValueError:
            # [N/A], [Not Supported], [Unknown Error]: missing, not zero
            return Reading(channel, Scope.GPU, trouble=f"nvidia-smi gives {cell or 'nothing'} for its power")
        if not 0 < power_w <= self.limit_w(Scope.GPU):
            return Reading(
                channel, Scope.GPU, trouble=f"nvidia-smi gives {power_w:g} W, which is no power of a GPU"
            )
        return Reading(channel, Scope.GPU, power_w=power_w)


def _answer(rows: str, complaints: str) -> _Answer:
    """Rows begin with the number of a GPU; all else is for people."""
    power: dict[str, str] = {}
    sentences: list[str] = []
    for line in rows.splitlines():
        index, _, cell = line.partition(",")
        if index.strip().isdecimal():
            power[f"gpu{int(index)}"] = cell.strip()
        elif line.strip():
            sentences.append(" ".join(line.split()))
    sentences += [" ".join(line.split()) for line in complaints.splitlines() if line.strip()]
    return _Answer(power, tuple(dict.fromkeys(sentences)))
