"""GPUs through NVIDIA's management library: the energy counter and the polled power, both."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flashsim_prod.energy.meters.base import Accuracy, Meter, Reading, Scope
from flashsim_prod.errors import NodeError

#: NVIDIA states its boards' power to within 5 W
GPU_ACCURACY = Accuracy(gain=0.0, offset_w=5.0, quantum_w=0.01)


class NvmlMeter(Meter):
    """Every GPU of the machine: power [W] and, on Volta and later, energy [J]."""

    name = "nvml"
    accuracy = GPU_ACCURACY

    def __init__(self) -> None:
        import pynvml

        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NodeError(f"nvml: no NVIDIA driver can be asked here: {error}") from error
        count = pynvml.nvmlDeviceGetCount()
        if count == 0:
            pynvml.nvmlShutdown()
            raise NodeError("nvml: the NVIDIA driver finds no GPU on this machine")
        self._devices: dict[str, Any] = {}
        #: why a GPU cannot even be opened, one that fell off the bus for instance
        self._gone: dict[str, str] = {}
        self._stated_w: dict[str, float | None] = {}
        for index in range(count):
            self._open(f"gpu{index}", index)

    def titles(self) -> dict[str, str]:
        """Name and UUID of each channel's GPU."""
        return {channel: self._title(device) for channel, device in self._devices.items()}

    def persistence(self) -> str:
        """Whether the driver stays loaded while nobody uses the GPUs, which decides their idle power."""
        modes = {self._mode(device) for device in self._devices.values()}
        return modes.pop() if len(modes) == 1 else "mixed"

    def read(self) -> tuple[Reading, ...]:
        gone = tuple(Reading(channel, Scope.GPU, trouble=why) for channel, why in self._gone.items())
        return *(self._read(channel, device) for channel, device in self._devices.items()), *gone

    def close(self) -> None:
        self._nvml.nvmlShutdown()

    def _open(self, channel: str, index: int) -> None:
        try:
            device = self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._nvml.NVMLError as error:
            self._gone[channel] = f"NVML cannot open this GPU: {error}"
            return
        self._devices[channel] = device
        try:
            self._stated_w[channel] = (
                self._nvml.nvmlDeviceGetPowerManagementLimitConstraints(device)[1] / 1000
            )
        except self._nvml.NVMLError:
            self._stated_w[channel] = None

    def _title(self, device: object) -> str:
        try:
            return f"{self._nvml.nvmlDeviceGetName(device)} {self._nvml.nvmlDeviceGetUUID(device)}"
        except self._nvml.NVMLError as error:
            return f"unknown: {error}"

    def _mode(self, device: object) -> str:
        try:
            return "on" if self._nvml.nvmlDeviceGetPersistenceMode(device) else "off"
        except self._nvml.NVMLError:
            return "unknown"

    def _read(self, channel: str, device: object) -> Reading:
        # the library counts in mW and mJ
        power_w, no_power = self._thousandth(self._nvml.nvmlDeviceGetPowerUsage, device)
        energy_j, no_energy = self._thousandth(self._nvml.nvmlDeviceGetTotalEnergyConsumption, device)
        limit_w = self.limit_w(Scope.GPU, self._stated_w[channel])
        trouble = None
        if power_w is not None and not 0 < power_w <= limit_w:
            trouble = no_power = f"NVML gives {power_w:g} W, which is no power of this GPU"
            power_w = None
        if no_power and no_energy:
            trouble = f"NVML gives neither power ({no_power}) nor energy ({no_energy})"
        return Reading(channel, Scope.GPU, power_w, energy_j, trouble, limit_w=limit_w)

    def _thousandth(self, ask: Callable[[object], int], device: object) -> tuple[float | None, str | None]:
        try:
            return ask(device) / 1000, None
        except self._nvml.NVMLError as error:
            return None, str(error)


def used_gpus() -> tuple[str, ...]:
    """Channel of the GPU that work takes here: the first that it may see, in the order of the bus."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return (f"gpu{visible}",) if visible.isdigit() else ("gpu0",)
