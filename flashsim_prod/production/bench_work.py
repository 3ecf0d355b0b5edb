"""From modes as typed to workloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.site import Device
from flashsim_prod.energy.counting import compiled
from flashsim_prod.energy.record import Configuration, Mode
from flashsim_prod.energy.workload import Idle, Program, Workload, command_launch
from flashsim_prod.errors import RequestError
from flashsim_prod.production.workloads import WorkerProgram, WorkerTask, training_programs, write_fixed_input

#: gen events of an input that is generated; read again and again
_INPUT_EVENTS = 500


@dataclass(frozen=True)
class WorkOptions:
    """What is to be run; see ``flashsim-prod energy-bench --help``."""

    command: str | None = None
    count: str | None = None
    count_file: str | None = None
    copies: int = 1
    threads: int = 1
    gpus: tuple[int, ...] = ()
    inputs: tuple[str, ...] = ()
    card: str = "ttbar"
    oversample: tuple[int, ...] = (10,)
    bundle: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    model: str = "jet_from_genjet"
    steps: int | None = None


def make_workloads(modes: Sequence[Mode], options: WorkOptions, scratch: Path) -> list[Workload]:
    """The workloads of all modes, each mode once.

    Raises
    ------
    RequestError
        If a mode lacks what it needs.
    NodeError
        If there is no GPU for mode gpu.
    """
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
    from flashsim_prod.physics.chain.device import pick_device

    device = Device.CUDA if mode is Mode.GPU else Device.CPU
    pick_device(device)
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
            copies=options.copies,
            threads=options.threads,
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
            copies=options.copies,
            threads=options.threads,
            gpus=tuple(f"gpu{index}" for index in options.gpus),
            detail={"command": options.command or ""},
        ),
        command_launch(options.command or "", options.threads),
        scratch / mode.value,
    )
    if options.count:
        program.patterns = (compiled(options.count),)
    if options.count_file:
        program.count_output = _file_counter(options.count_file)
    return program


def _file_counter(pattern: str) -> Callable[[int], int]:
    """Entries of a copy's ROOT file."""

    def count(copy: int) -> int:
        from flashsim_prod.physics.nanoaod.reader import NanoFile

        with NanoFile(pattern.replace("{copy}", str(copy))) as file:
            return file.n_entries

    return count


def _training(options: WorkOptions, scratch: Path) -> list[Workload]:
    from flashsim_prod.physics.chain.device import pick_device

    if not options.inputs:
        raise RequestError("--mode train needs --input: NANOAOD files with truth to extract from")
    return list(
        training_programs(
            options.inputs,
            options.model,
            steps=options.steps,
            device=pick_device(Device.AUTO),
            threads=options.threads,
            scratch=scratch / "train",
        )
    )
