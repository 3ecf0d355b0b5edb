"""The energy that a job used, measured on its node while it runs, if a meter is there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Self

from flashsim_prod.energy.measuring.foreign import busy_s
from flashsim_prod.energy.meters.base import Meter, SystemClock
from flashsim_prod.energy.meters.counter import VoidWindowError
from flashsim_prod.energy.meters.finding import find_meters
from flashsim_prod.energy.meters.nvml import used_gpus
from flashsim_prod.energy.meters.recorder import Recorder
from flashsim_prod.energy.results.attribution import JobEnergy, attribute
from flashsim_prod.errors import FlashSimError

log = logging.getLogger("flashsim_prod.worker")

#: between readings [s]; CPU counters wrap around after a minute or more
_INTERVAL_S = 5.0
#: a reading under way when a job ends is waited for at most this long [s]
_PATIENCE_S = 10.0


class NodeEnergy:
    """Reads the node's meters in a thread for as long as the block runs; a job never fails for it."""

    def __init__(self, meters: Sequence[Meter] | None = None, interval_s: float = _INTERVAL_S) -> None:
        self._meters = _found() if meters is None else meters
        self._interval_s = interval_s
        self._clock = SystemClock()
        self._recorder = Recorder(self._meters, self._clock, self._clock.now_s())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._seconds = self._cpu_share = 0.0
        #: why meters that are there gave no figure
        self.void: str | None = None

    @property
    def seconds(self) -> float:
        """Wall time of the block, once it has ended."""
        return self._seconds

    def __enter__(self) -> Self:
        self._start_s, self._busy_s = time.monotonic(), busy_s()
        if self._meters:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._seconds = time.monotonic() - self._start_s
        (all_before_s, own_before_s), (all_s, own_s) = self._busy_s, busy_s()
        if all_s > all_before_s:
            self._cpu_share = min(1.0, (own_s - own_before_s) / (all_s - all_before_s))
        if self._meters:
            self._thread.join(_PATIENCE_S)

    def of_this_job(self, *, on_gpu: bool) -> JobEnergy | None:
        """The job's part, once the block has ended; ``None`` without a meter that can tell: see `void`."""
        if not self._meters:
            return None
        gpu = used_gpus()[0] if on_gpu else None
        found = None
        try:
            if self._thread.is_alive():
                raise VoidWindowError(f"a meter gave no answer within {_PATIENCE_S:g} s")
            found = attribute(self._recorder.channels(), self._seconds, cpu_share=self._cpu_share, gpu=gpu)
            if found is None:
                raise VoidWindowError(self._untold(gpu))
        except VoidWindowError as error:
            self.void = str(error)
            log.warning("the job's energy is not known: %s", error)
        return found

    def _untold(self, gpu: str | None) -> str:
        troubles = "; ".join(f"{one.channel}: {one.text}" for one in self._recorder.troubles())
        what = f"the job's {gpu}" if gpu else "the job's part of the node"
        return f"no meter tells {what}" + (f" ({troubles})" if troubles else "")

    def _poll(self) -> None:
        while not self._ended.is_set():
            self._recorder.poll()
            self._ended.wait(self._interval_s)
        self._recorder.poll()


def _found() -> Sequence[Meter]:
    try:
        return find_meters((), SystemClock(), patience=1).meters
    except FlashSimError as error:
        log.info("energy is not measured: %s", error)
        return ()
