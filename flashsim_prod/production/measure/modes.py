"""From modes as typed to workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flashsim_prod.core.choices import Device, Mode
from flashsim_prod.core.request import Sampling
from flashsim_prod.energy.measuring.counting import compiled
from flashsim_prod.energy.measuring.workload import (
    CountOutput,
    Idle,
    Program,
    Workload,
    command_launch,
    filled,
)
from flashsim_prod.energy.record import Configuration
from flashsim_prod.errors import MeasurementError, NodeError, RequestError
from flashsim_prod.production.measure.workloads import (
    WorkerProgram,
    WorkerTask,
    training_programs,
    write_fixed_input,
)

#: gen events of an input that is generated; read again and again
_INPUT_EVENTS = 500


@dataclass(frozen=True)
class PerMode:
    """A number for all modes, and others for some: ``--copies 1 --copies fullsim=4``."""

    common: int = 1
    of: Mapping[Mode, int] = field(default_factory=dict)

    @classmethod
    def parsed(cls, option: str, words: Sequence[str]) -> PerMode:
        """From ``N`` and ``MODE=N`` as typed; `RequestError` names the option."""
        common, of = 1, {}
        for word in words:
            mode, _, number = word.rpartition("=")
            if not number.isdecimal() or int(number) < 1 or (mode and mode not in list(Mode)):
                modes = ", ".join(Mode)
                raise RequestError(f"{option}: '{word}' is not N or MODE=N, a mode being one of {modes}")
            if mode:
                of[Mode(mode)] = int(number)
            else:
                common = int(number)
        return cls(common, of)

    def __getitem__(self, mode: Mode) -> int:
        return self.of.get(mode, self.common)


@dataclass(frozen=True)
class WorkOptions:
    """What is to be run; see ``flashsim-prod energy-bench --help``."""

    command: str | None = None
    count: str | None = None
    count_file: str | None = None
    copies: PerMode = field(default_factory=PerMode)
    threads: PerMode = field(default_factory=PerMode)
    gpus: tuple[int, ...] = ()
    inputs: tuple[str, ...] = ()
    card: str = "ttbar"
    oversample: tuple[int, ...] = (10,)
    bundle: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    chunk_events: int | None = None
    batch_rows: int | None = None
    model: str = "jet_from_genjet"
    steps: int | None = None


def check_work(modes: Sequence[Mode], options: WorkOptions) -> None:
    """What can be told before anything is measured or generated.

    Raises
    ------
    RequestError
        If a mode lacks what it needs, or an option is for none of the modes.
    NodeError
        If there is no GPU for mode gpu.
    """
    from flashsim_prod.physics.chain.device import pick_device

    if Mode.GPU in modes:
        try:
            pick_device(Device.CUDA)
        except NodeError as error:
            raise NodeError("--mode gpu: torch finds no GPU here; use --mode cpu, or another node") from error
    commands = {Mode.FULLSIM, Mode.COMMAND} & set(modes)
    given = {"--command": options.command, "--count": options.count, "--count-file": options.count_file}
    useless = next((name for name, value in given.items() if value and not commands), None)
    if useless:
        raise RequestError(f"{useless} is for --mode fullsim and --mode command, of which there is none")
    if commands:
        command_launch(options.command or "", 1)
    if Mode.TRAIN in modes and not options.inputs:
        raise RequestError("--mode train needs --input: NANOAOD files with truth to extract from")


def make_workloads(modes: Sequence[Mode], options: WorkOptions, scratch: Path) -> list[Workload]:
    """The workloads of all modes, each mode once; an input that is missing is generated, which takes a while.

    Raises
    ------
    FlashSimError
        As by `check_work`, or if an input or bundle cannot be read.
    """
    check_work(modes, options)
    made: list[Workload] = []
    for mode in dict.fromkeys(modes):
        match mode:
            case Mode.GPU | Mode.CPU:
                made += _workers(mode, options, scratch)
            case Mode.FULLSIM | Mode.COMMAND:
                made.append(_command(mode, options, scratch))
            case Mode.TRAIN:
                made += _training(options, scratch)
            case Mode.IDLE:
                made.append(Idle())
    return made


def _workers(mode: Mode, options: WorkOptions, scratch: Path) -> list[Workload]:
    device = Device.CUDA if mode is Mode.GPU else Device.CPU
    inputs = options.inputs
    if not inputs:
        path = scratch / "input.root"
        if not path.exists():
            write_fixed_input(options.card, path, _INPUT_EVENTS)
        inputs = (str(path),)
    tasks = [
        WorkerTask(
            device=device,
            inputs=inputs,
            card=options.card,
            oversample=oversample,
            bundle=options.bundle,
            sampling=options.sampling,
            chunk_events=options.chunk_events,
            batch_rows=options.batch_rows,
            copies=options.copies[mode],
            threads=options.threads[mode],
        )
        for oversample in dict.fromkeys(options.oversample)
    ]
    return [WorkerProgram(task, scratch / f"{mode.value}-{task.oversample}") for task in tasks]


def _command(mode: Mode, options: WorkOptions, scratch: Path) -> Workload:
    name = "FullSim" if mode is Mode.FULLSIM else "command"
    program = Program(
        Configuration(
            label=name,
            mode=mode,
            copies=options.copies[mode],
            threads=options.threads[mode],
            gpus=tuple(f"gpu{index}" for index in options.gpus),
            detail={"command": options.command or ""},
        ),
        command_launch(options.command or "", options.threads[mode]),
        scratch / mode.value,
    )
    if options.count:
        program.patterns = (compiled(options.count),)
    if options.count_file:
        program.count_output = _file_counter(options.count_file)
    return program


def _file_counter(pattern: str) -> CountOutput:
    """Entries of a copy's ROOT file, which the run must have written."""

    def count(copy: int, folder: Path, started: float) -> int:
        from flashsim_prod.physics.nanoaod.reader import NanoFile

        path = Path(filled(pattern, copy, folder))
        with NanoFile(str(path)) as file:
            entries = file.n_entries
        if path.stat().st_mtime < started:
            raise MeasurementError(f"--count-file: {path} is older than the run; it was not written by it")
        return entries

    return count


def _training(options: WorkOptions, scratch: Path) -> list[Workload]:
    from flashsim_prod.physics.chain.device import pick_device

    return list(
        training_programs(
            options.inputs,
            options.model,
            steps=options.steps,
            device=pick_device(Device.AUTO),
            threads=options.threads[Mode.TRAIN],
            scratch=scratch / "train",
        )
    )
