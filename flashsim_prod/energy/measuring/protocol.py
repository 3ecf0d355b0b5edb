"""The order of a measurement: warm-up, then cycles of idle, run, idle in random order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flashsim_prod.energy.measuring.workload import Run, Workload
from flashsim_prod.energy.meters.base import Clock, Meter
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.record import Cycle, Response, Schedule, Window
from flashsim_prod.errors import MeasurementError

#: a run lasts at least this many times refresh + lag
RUN_FACTOR = 100.0
#: the same for a rough figure
QUICK_RUN_FACTOR = 10.0
#: void cycles that are repeated, at most
MAX_REPEATS = 3
#: no run takes longer than a day [s]
_FOREVER_S = 86400.0


class LoadWatch(Protocol):
    """Something that knows how many CPU cores others keep busy."""

    def restart(self, now_s: float) -> None:
        """Count from here on."""
        ...

    def cores(self, now_s: float) -> float:
        """Mean number of cores that others kept busy since then."""
        ...


def make_schedule(
    response: Response,
    *,
    interval_s: float | None = None,
    cycles: int | None = None,
    idle_s: float | None = None,
    run_s: float | None = None,
    foreign_limit_cores: float = 0.5,
    quick: bool = False,
) -> Schedule:
    """The times that suit a meter, unless given.

    Polling at half the refresh sees every reading; polling faster would only repeat them. `run_s` below
    100 (refresh + lag) is refused, below 10 times that for a quick figure.
    """
    follows_s = response.refresh_s + response.lag_s
    least_s = (QUICK_RUN_FACTOR if quick else RUN_FACTOR) * follows_s
    if run_s is not None and run_s < least_s:
        raise MeasurementError(too_short("a run", run_s, least_s, response))
    return Schedule(
        interval_s=interval_s or min(max(response.refresh_s / 2, 0.1), 5.0),
        idle_s=idle_s or (max(10.0, 5 * response.refresh_s) if quick else 120.0),
        run_s=run_s or max(least_s, 15.0 if quick else 60.0),
        cycles=cycles or (3 if quick else 5),
        foreign_limit_cores=foreign_limit_cores,
        quick=quick,
    )


def too_short(what: str, run_s: float, least_s: float, response: Response) -> str:
    """The line that says how long a run must be."""
    return (
        f"{what} of {run_s:.3g} s is too short for this meter (refresh {response.refresh_s:g} s, lag "
        f"{response.lag_s:g} s): it must last at least {least_s:.4g} s; give it more events"
    )


@dataclass
class Bench:
    """Meters, a clock and the times: all that a cycle needs."""

    meters: Sequence[Meter]
    clock: Clock
    origin_s: float
    response: Response
    schedule: Schedule
    watch: LoadWatch | None = None

    def cycle(self, workload: Workload) -> Cycle:
        """Idle, run, idle; every reading kept.

        Raises
        ------
        MeasurementError
            If the workload fails, counts no events, or ends too soon.
        """
        recorder = Recorder(self.meters, self.clock, self.origin_s)
        foreign: dict[str, float] = {}
        before = self._idle(recorder, foreign, "before")
        run_window, run = self._run(recorder, foreign, workload)
        after = self._idle(recorder, foreign, "after")
        return Cycle(
            configuration=workload.configuration.label,
            before=before,
            run=run_window,
            after=after,
            copies=run.counts(),
            channels=recorder.channels(),
            troubles=recorder.troubles(),
            foreign_cores=foreign,
        )

    def warm_up(self, workload: Workload) -> None:
        """Let the workload run once unmeasured."""
        recorder = Recorder((), self.clock, self.origin_s)
        workload.warm_up(recorder.now_s, lambda run: self._follow(recorder, run))

    def _idle(self, recorder: Recorder, foreign: dict[str, float], phase: str) -> Window:
        """Wait until the readings have forgotten what was before; what follows is the window."""
        recorder.poll_until(recorder.now_s() + self.response.settle_s, self.schedule.interval_s)
        start_s = recorder.now_s()
        self._watch_from(start_s)
        recorder.poll_until(start_s + self.schedule.idle_s, self.schedule.interval_s)
        return self._watched(Window(start_s=start_s, end_s=recorder.now_s()), foreign, phase)

    def _run(self, recorder: Recorder, foreign: dict[str, float], workload: Workload) -> tuple[Window, Run]:
        start_s = recorder.now_s()
        self._watch_from(start_s)
        run = workload.start(start_s, self.schedule.run_s)
        try:
            self._follow(recorder, run)
            window = Window(start_s=start_s, end_s=recorder.now_s())
        finally:
            run.stop()
        run.counts()
        least_s = (QUICK_RUN_FACTOR if self.schedule.quick else RUN_FACTOR) * (
            self.response.refresh_s + self.response.lag_s
        )
        if window.length_s < 0.99 * least_s:
            raise MeasurementError(
                too_short(f"{workload.configuration.label}: a run", window.length_s, least_s, self.response)
            )
        return self._watched(window, foreign, "run"), run

    def _follow(self, recorder: Recorder, run: Run) -> None:
        recorder.poll_until(
            recorder.now_s() + _FOREVER_S, self.schedule.interval_s, lambda: run.is_over(recorder.now_s())
        )

    def _watch_from(self, now_s: float) -> None:
        if self.watch:
            self.watch.restart(now_s)

    def _watched(self, window: Window, foreign: dict[str, float], phase: str) -> Window:
        if self.watch:
            foreign[phase] = round(self.watch.cores(window.end_s), 4)
        return window


def run_cycles(
    bench: Bench,
    workloads: Sequence[Workload],
    void_reason: Callable[[Cycle], str | None],
    rng: random.Random,
    *,
    ended: Callable[[Cycle, str | None], None] = lambda cycle, reason: None,
) -> list[Cycle]:
    """Cycles of all workloads, in random order within each round; void ones are repeated a few times.

    Parameters
    ----------
    void_reason : callable
        Why a cycle gives no number, or ``None``.
    ended : callable
        Is told each cycle and, if it is void, why.

    Returns
    -------
    list of Cycle
        Void ones too: they belong to the record.
    """
    done: list[Cycle] = []
    good = {workload.configuration.label: 0 for workload in workloads}

    def measure(workload: Workload) -> None:
        cycle = bench.cycle(workload)
        reason = void_reason(cycle)
        ended(cycle, reason)
        done.append(cycle)
        good[cycle.configuration] += reason is None

    for workload in workloads:
        bench.warm_up(workload)
    for _ in range(bench.schedule.cycles):
        for workload in rng.sample(list(workloads), len(workloads)):
            measure(workload)
    for _ in range(MAX_REPEATS):
        for workload in workloads:
            if good[workload.configuration.label] < bench.schedule.cycles:
                measure(workload)
    return done
