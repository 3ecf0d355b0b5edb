"""GPUs through the program ``nvidia-smi``, where the library cannot be loaded."""

from __future__ import annotations

import csv
import shutil
import subprocess

from flashsim_prod.energy.meter import Meter, Reading, Scope
from flashsim_prod.energy.nvml import GPU_ACCURACY
from flashsim_prod.errors import NodeError

_TIMEOUT_S = 10.0


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
        lines = self._ask()
        if isinstance(lines, str):
            raise NodeError(f"nvidia-smi: {lines}")
        self._channels = [f"gpu{row[0]}" for row in lines]
        if not self._channels:
            raise NodeError("nvidia-smi: it lists no GPU on this machine")

    def read(self) -> tuple[Reading, ...]:
        lines = self._ask()
        if isinstance(lines, str):
            return tuple(Reading(channel, Scope.GPU, trouble=lines) for channel in self._channels)
        rows = {f"gpu{row[0]}": row for row in lines}
        return tuple(_reading(channel, rows.get(channel)) for channel in self._channels)

    def _ask(self) -> list[list[str]] | str:
        """The rows of the answer, or why there are none."""
        try:
            done = subprocess.run(
                self._command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {_TIMEOUT_S:g} s"
        except OSError as error:
            return f"it cannot be run: {error.strerror}"
        if done.returncode != 0:
            said = " ".join((done.stdout + " " + done.stderr).split())
            return said or f"it ended with code {done.returncode}"
        return [row for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True) if row]


def _reading(channel: str, row: list[str] | None) -> Reading:
    if row is None or len(row) < 2:
        return Reading(channel, Scope.GPU, trouble="nvidia-smi no longer lists this GPU")
    try:
        power_w = float(row[1])
    except ValueError:
        # [N/A], [Not Supported], [Unknown Error]: missing, not zero
        return Reading(channel, Scope.GPU, trouble=f"nvidia-smi gives {row[1]} for its power")
    if not 0 < power_w < 5000:
        return Reading(
            channel, Scope.GPU, trouble=f"nvidia-smi gives {power_w:g} W, which is no power of a GPU"
        )
    return Reading(channel, Scope.GPU, power_w=power_w)
