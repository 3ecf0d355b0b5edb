"""This project's own work as a workload to measure: the worker on a fixed input, and training."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod import __version__
from flashsim_prod.core.choices import Device, Mode, RegisterIn
from flashsim_prod.core.options import Sampling
from flashsim_prod.core.request import Request
from flashsim_prod.core.request_files import RequestFolder
from flashsim_prod.core.states import Stage
from flashsim_prod.energy.measuring.workload import Launch, Program, Run
from flashsim_prod.energy.meters.nvml import used_gpus
from flashsim_prod.energy.record import Configuration
from flashsim_prod.errors import MeasurementError
from flashsim_prod.files import write_whole
from flashsim_prod.production.home import VARIABLE
from flashsim_prod.production.job.run import read_report
from flashsim_prod.production.order.folder import worker_command
from flashsim_prod.production.order.library import BundleFound, find_card
from flashsim_prod.production.order.order import Typed, make_order
from flashsim_prod.production.order.plan import Order, make_plan
from flashsim_prod.threads import thread_environment

if TYPE_CHECKING:
    from flashsim_prod.core.report import JobReport

#: gen events of the run that fills caches and tells how fast the work is
_WARM_UP_FOLDS = 2000
#: the work of a warm-up that is done sooner tells too little of how fast the work is [s]
_LEAST_WARM_UP_S = 1.0
#: a warm-up that was too short is repeated with this many times the events, so many times at most
_WARM_UP_GROWTH, _WARM_UPS = 8, 3
#: a run gets work for this many times its time and is stopped when that is over: a machine that turns out
#: faster than it was in the warm-up must not run out of work before the meter has seen enough
_PLENTY = 8


@dataclass(frozen=True)
class WorkerTask:
    """What the worker is to do.

    Attributes
    ----------
    inputs : tuple of str
        Files of generator-level events; read again and again until the run is long enough.
    chunk_events, batch_rows : int or None
        Output events in memory and objects in a network at a time; the site's by default.
    """

    device: Device
    inputs: tuple[str, ...]
    card: str = "ttbar"
    oversample: int = 10
    bundle: str | None = None
    sampling: Sampling | None = None
    chunk_events: int | None = None
    batch_rows: int | None = None
    copies: int = 1
    threads: int = 1

    @property
    def label(self) -> str:
        """Name among the configurations of a measurement."""
        device = "GPU" if self.device is Device.CUDA else "CPU"
        return f"FlashSim {device} x{self.oversample}"


def _students(found: BundleFound) -> dict[str, str]:
    """What of a bundle draws in steps of its own, if anything does."""
    from flashsim_prod.physics.chain.distilled import told_students

    told = told_students(found.bundle.manifest.models) if found.bundle is not None else ""
    return {"students": told} if told else {}


class WorkerProgram(Program):
    """Copies of ``worker simulate``, each with a state folder of its own that is removed after the run."""

    def __init__(self, task: WorkerTask, scratch: Path) -> None:
        order, bundle = make_order(
            Typed.from_mapping(
                {
                    "card": task.card,
                    "oversample": task.oversample,
                    "seed": 1,
                    "inputs": task.inputs,
                    "bundle": task.bundle,
                    "device": task.device,
                    "sampling": task.sampling,
                },
                "the worker's request",
            )
        )
        # a job's networks keep to the cores that its site gives it
        self._order = order.with_resources(
            cpus=task.threads, chunk_events=task.chunk_events, batch_rows=task.batch_rows
        )
        self._task = task
        self._gen_events = max(1, _WARM_UP_FOLDS // task.oversample)
        #: gen events that a run will come to, where that is fewer than it gets
        self._expected: int | None = None
        self._seconds_per_gen_event = 0.0
        detail = {
            "bundle": f"{bundle.ref.path} {bundle.ref.digest[:12]}: {bundle.title}",
            "oversample": str(task.oversample),
            "sampling": order.sampling.model_dump_json(),
            **_students(bundle),
            "chunk_events": str(self._order.site.resources.chunk_events),
            "batch_rows": str(self._order.site.resources.batch_rows or "what suits the device"),
            "inputs": " ".join(task.inputs),
        }
        gpus = used_gpus() if task.device is Device.CUDA else ()
        mode = Mode.GPU if task.device is Device.CUDA else Mode.CPU
        super().__init__(
            Configuration(
                label=task.label,
                mode=mode,
                copies=task.copies,
                threads=task.threads,
                gpus=gpus,
                detail=detail,
            ),
            self._launch,
            scratch,
        )

    def start(self, now_s: float, run_s: float) -> Run:
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self._seconds_per_gen_event:
            return self.start_until(None)
        self._expected = max(1, round(run_s / self._seconds_per_gen_event))
        self._gen_events = _PLENTY * self._expected
        return self.start_until(now_s + run_s)

    def warm_up(self, now_s: Callable[[], float], poll: Callable[[Run], None]) -> None:
        """Run until the report tells how fast it is: once, or with more events where it is very fast."""
        for _ in range(_WARM_UPS):
            self.run_once(now_s, poll)
            report = self._report()
            busy_s = sum(seconds for step, seconds in report.timings_s.items() if step != "startup")
            self._seconds_per_gen_event = busy_s / report.gen_events
            if busy_s >= _LEAST_WARM_UP_S:
                return
            self._gen_events *= _WARM_UP_GROWTH

    def _launch(self, copy: int, folder: Path) -> Launch:
        request = self._request()
        path = folder / "request.yaml"
        write_whole(path, request.to_yaml())
        # its cores are those of its processes
        environment = {VARIABLE: str(folder / "home"), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return Launch(worker_command("simulate", path, 0), environment | thread_environment(1))

    def _request(self) -> Request:
        events = self._gen_events * self._order.oversample
        changes = {
            "source": self._order.source.repeated_for(self._gen_events),
            "events": events,
            "events_per_job": events,
            "catalog": RegisterIn.NONE,
        }
        return _one_job(self._for_a_run().model_copy(update=changes))

    def _for_a_run(self) -> Order:
        """The order, where it is for more events than will be made."""
        if self._expected is None:
            return self._order
        order, resources = self._order, self._order.site.resources
        # of a chunk that is not finished nothing is counted, so none may take longer than the run
        chunk_events = min(resources.chunk_events, max(1, self._expected * order.oversample))
        # most of the events are never made, and need no space on the disk
        rates = order.site.rates.model_copy(
            update={"bytes_per_event": order.site.rates.bytes_per_event / _PLENTY}
        )
        site = order.site.model_copy(update={"rates": rates})
        return order.model_copy(update={"site": site}).with_resources(chunk_events=chunk_events)

    def _report(self) -> JobReport:
        paths = sorted(self.scratch.glob("run*/copy0"))
        report = read_report(RequestFolder(paths[-1]).report(Stage.SIMULATE, 0)) if paths else None
        if report is None or not report.gen_events:
            raise MeasurementError(
                f"{self.configuration.label}: the warm-up left no report in {self.scratch}"
            )
        return report


def write_fixed_input(card: str, path: Path, events: int) -> None:
    """Generate the input that all runs of a measurement read."""
    from flashsim_prod.physics.training.sample import write_generator_sample

    found = find_card(card)
    for _ in write_generator_sample(found, path, energy_tev=found.energies[0].tev, n_events=events, seed=1):
        pass


def training_programs(
    files: Sequence[str], model: str, *, steps: int | None, device: str, threads: int, scratch: Path
) -> list[Program]:
    """Extraction of one model's tables and its fit, each a run from beginning to end."""
    tables = scratch / "tables"
    detail = {"model": model, "files": " ".join(files), "steps": str(steps or "default")}
    base = [sys.executable, "-m", "flashsim_prod.cli", "train"]
    absolute = [str(Path(file).absolute()) for file in files]

    def extract(copy: int, folder: Path) -> Launch:
        # what was extracted last is what the fit takes
        shutil.rmtree(tables, ignore_errors=True)
        return Launch(
            [*base, "extract", *absolute, "--model", model, "--work", str(tables)],
            thread_environment(threads),
        )

    def fit(copy: int, folder: Path) -> Launch:
        (folder / "work").mkdir()
        os.symlink(tables / "tables", folder / "work" / "tables")
        command = [*base, "fit", model, "--work", str(folder / "work"), "--device", device]
        command += ["--threads", str(threads), *(["--steps", str(steps)] if steps else [])]
        return Launch(command, thread_environment(threads))

    gpus = used_gpus() if device == "cuda" else ()
    return [
        _Training(
            Configuration(
                label=f"{name} {model}", mode=Mode.TRAIN, threads=threads, gpus=used, detail=detail
            ),
            launch,
            scratch / name,
        )
        for name, launch, used in (("extraction", extract, ()), ("training", fit, gpus))
    ]


class _Training(Program):
    """A run of training; the first one is unmeasured and leaves the tables that fits take."""

    def warm_up(self, now_s: Callable[[], float], poll: Callable[[Run], None]) -> None:
        if self.configuration.label.startswith("extraction"):
            self.run_once(now_s, poll)


def _one_job(order: Order) -> Request:
    return make_plan(
        order, name="energy-bench", version=1, created=datetime.now(UTC), software_version=__version__
    ).request
