"""A machine whose true joules are known, on a clock whose hours pass in moments."""

from __future__ import annotations

from dataclasses import dataclass, field

from bmc_sim import Bmc, PowerModel, Realism

from flashsim_prod.energy.measuring.workload import Run, Workload
from flashsim_prod.energy.meters.base import Accuracy, Meter, Reading
from flashsim_prod.energy.meters.ipmi import parse_reply
from flashsim_prod.energy.record import Configuration, CopyCount, Mark


@dataclass
class FastClock:
    """Time that passes only when somebody waits."""

    t_s: float = 0.0

    def now_s(self) -> float:
        return self.t_s

    def sleep(self, seconds: float) -> None:
        self.t_s += max(0.0, seconds)


@dataclass
class Machine:
    """A machine whose true power is known, with a BMC on the same clock."""

    clock: FastClock
    realism: Realism
    idle_w: float = 160.0
    load_w: float = 253.0
    is_loaded: bool = False
    model: PowerModel = field(init=False)

    def __post_init__(self) -> None:
        self.model = PowerModel(
            lambda t_s: self.load_w if self.is_loaded else self.idle_w, self.realism, self.clock.now_s()
        )

    def load(self, on: bool) -> None:
        """Switch the load on or off, now."""
        self.model.advance(self.clock.now_s())
        self.is_loaded = on
        # a step, of which the model's trapezoids would make a ramp of one tick
        self.model.true_w = self.load_w if on else self.idle_w

    def true_j(self) -> float:
        """Energy since the start [J]."""
        self.model.advance(self.clock.now_s())
        return self.model.true_j

    def bmc(self) -> Bmc:
        """Its BMC."""
        return Bmc(self.model, self.clock.now_s)


class TextMeter(Meter):
    """The machine's BMC without a process for each reading: ipmitool's text through the same parser."""

    name = "ipmi"

    def __init__(self, machine: Machine, gain: float = 0.0) -> None:
        self._machine = machine
        self.accuracy = Accuracy(gain=gain, offset_w=0.0, quantum_w=1.0)

    def read(self) -> tuple[Reading, ...]:
        self._machine.model.advance(self._machine.clock.now_s())
        watts, lowest, highest, _ = self._machine.model.readings(5.0)
        return (
            parse_reply(
                f"    Instantaneous power reading:                   {watts} Watts\n"
                f"    Minimum during sampling period:                {lowest} Watts\n"
                f"    Maximum during sampling period:                {highest} Watts\n"
                "    Power reading state is:                   activated\n"
            ),
        )


class Work(Workload):
    """Work that loads the machine and makes events at a steady rate."""

    def __init__(
        self, machine: Machine, *, hz: float = 20.0, label: str = "work", run_s: float | None = None
    ) -> None:
        self.configuration = Configuration(label=label, mode="command")  # type: ignore[arg-type]
        self.machine, self.hz, self._run_s = machine, hz, run_s
        self.true_j = 0.0
        self.events = 0

    def start(self, now_s: float, run_s: float) -> Run:
        return _Work(self, now_s, now_s + (self._run_s or run_s))


class _Work(Run):
    def __init__(self, work: Work, start_s: float, end_s: float) -> None:
        self._work, self._start_s, self._end_s = work, start_s, end_s
        self._marks: list[Mark] = []
        work.machine.load(True)
        self._start_j = work.machine.true_j()

    def is_over(self, now_s: float) -> bool:
        events = int((now_s - self._start_s) * self._work.hz)
        if events > (self._marks[-1].events if self._marks else 0):
            self._marks.append(Mark(t_s=now_s, events=events))
        if now_s < self._end_s:
            return False
        self._work.true_j += self._work.machine.true_j() - self._start_j
        self._work.events += events
        return True

    def counts(self) -> tuple[CopyCount, ...]:
        return (CopyCount(events=self._marks[-1].events if self._marks else 0, marks=tuple(self._marks)),)

    def stop(self) -> None:
        self._work.machine.load(False)
