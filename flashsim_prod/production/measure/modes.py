"""From the modes of a protocol to workloads."""

from __future__ import annotations

from pathlib import Path

from flashsim_prod.core.choices import Device, Mode
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
from flashsim_prod.production.measure.protocol import EnergyProtocol
from flashsim_prod.production.measure.workloads import (
    WorkerProgram,
    WorkerTask,
    training_programs,
    write_fixed_input,
)

#: gen events of an input that is generated; read again and again
_INPUT_EVENTS = 500


def check_work(protocol: EnergyProtocol) -> None:
    """What can be told before anything is measured or generated.

    Raises
    ------
    RequestError
        If a mode lacks what it needs, or an option is for none of the modes.
    NodeError
        If there is no GPU for mode gpu.
    """
    from flashsim_prod.physics.chain.device import pick_device

    modes = protocol.modes
    if Mode.GPU in modes:
        try:
            pick_device(Device.CUDA)
        except NodeError as error:
            raise NodeError("--mode gpu: torch finds no GPU here; use --mode cpu, or another node") from error
    commands = {Mode.FULLSIM, Mode.COMMAND} & set(modes)
    given = {"--command": protocol.command, "--count": protocol.count, "--count-file": protocol.count_file}
    useless = next((name for name, value in given.items() if value and not commands), None)
    if useless:
        raise RequestError(f"{useless} is for --mode fullsim and --mode command, of which there is none")
    if commands:
        command_launch(protocol.command or "", 1)
    if Mode.TRAIN in modes and not protocol.inputs:
        raise RequestError("--mode train needs --input: NANOAOD files with truth to extract from")


def make_workloads(protocol: EnergyProtocol, scratch: Path) -> list[Workload]:
    """The workloads of all modes, each mode once; an input that is missing is generated, which takes a while.

    Raises
    ------
    FlashSimError
        As by `check_work`, or if an input or bundle cannot be read.
    """
    check_work(protocol)
    made: list[Workload] = []
    for mode in dict.fromkeys(protocol.modes):
        match mode:
            case Mode.GPU | Mode.CPU:
                made += _workers(mode, protocol, scratch)
            case Mode.FULLSIM | Mode.COMMAND:
                made.append(_command(mode, protocol, scratch))
            case Mode.TRAIN:
                made += _training(protocol, scratch)
            case Mode.IDLE:
                made.append(Idle())
    return made


def _workers(mode: Mode, protocol: EnergyProtocol, scratch: Path) -> list[Workload]:
    device = Device.CUDA if mode is Mode.GPU else Device.CPU
    inputs = protocol.inputs
    if not inputs:
        path = scratch / "input.root"
        if not path.exists():
            write_fixed_input(protocol.card, path, _INPUT_EVENTS)
        inputs = (str(path),)
    tasks = [
        WorkerTask(
            device=device,
            inputs=inputs,
            card=protocol.card,
            oversample=oversample,
            bundle=protocol.bundle,
            sampling=protocol.wanted_sampling,
            chunk_events=protocol.chunk_events,
            batch_rows=protocol.batch_rows,
            copies=protocol.copies[mode],
            threads=protocol.threads[mode],
        )
        for oversample in dict.fromkeys(protocol.oversample)
    ]
    return [WorkerProgram(task, scratch / f"{mode.value}-{task.oversample}") for task in tasks]


def _command(mode: Mode, protocol: EnergyProtocol, scratch: Path) -> Workload:
    name = "FullSim" if mode is Mode.FULLSIM else "command"
    program = Program(
        Configuration(
            label=name,
            mode=mode,
            copies=protocol.copies[mode],
            threads=protocol.threads[mode],
            gpus=tuple(f"gpu{index}" for index in protocol.gpus),
            detail={"command": protocol.command or ""},
        ),
        command_launch(protocol.command or "", protocol.threads[mode]),
        scratch / mode.value,
    )
    if protocol.count:
        program.patterns = (compiled(protocol.count),)
    if protocol.count_file:
        program.count_output = _file_counter(protocol.count_file)
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


def _training(protocol: EnergyProtocol, scratch: Path) -> list[Workload]:
    from flashsim_prod.physics.chain.device import pick_device

    return list(
        training_programs(
            protocol.inputs,
            protocol.model,
            steps=protocol.steps,
            device=pick_device(Device.AUTO),
            threads=protocol.threads[Mode.TRAIN],
            scratch=scratch / "train",
        )
    )
