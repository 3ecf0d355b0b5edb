"""The protocol of a measurement of energy: each field declared once, for its file and for its option."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, field_validator

from flashsim_prod.core.choices import AsOption, Mode
from flashsim_prod.core.request import Sampling
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.energy.measuring.counting import compiled
from flashsim_prod.energy.meters.finding import check_name
from flashsim_prod.energy.meters.ipmi import BmcAddress
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.production.measure.per_mode import PerMode, PerModeField

_SECONDS = "SECONDS"
_WIDTH = 100


def _said(error: RequestError, option: str) -> str:
    """What an error says, without what it is about: that is named by who reports it."""
    return str(error).removeprefix(f"{option}: ")


def _events(value: object) -> object:
    """A number of events as typed."""
    if not isinstance(value, str):
        return value
    try:
        return parse_count(value)
    except RequestError as error:
        raise ValueError(_said(error, "events")) from error


class EnergyProtocol(StrictModel):
    """What is measured, by which meters and for how long; ``None`` lets the meter's speed decide.

    A field's description is the help of its option and the comment in a file; `AsOption` tells what the
    option is called. Nothing else has to know a field but what uses it.
    """

    modes: Annotated[tuple[Mode, ...], AsOption("--mode", is_common=True)] = Field(
        default=(Mode.CPU,), min_length=1, description="What to measure; several are run in random order."
    )
    quick: Annotated[bool, AsOption(is_common=True)] = Field(
        default=False, description="A rough figure in about two minutes."
    )
    cycles: Annotated[int | None, AsOption(is_common=True)] = Field(
        default=None, ge=1, description="Cycles of idle, run, idle; 5, or 3 for a rough figure."
    )
    events: Annotated[
        int | None, BeforeValidator(_events), AsOption(metavar="N", is_common=True, typed=str)
    ] = Field(default=None, ge=1, description="Project the cost of this many events: 1000, 10k, 100M, 1.5B.")
    site: Annotated[str, AsOption(is_common=True)] = Field(
        default="local", description="Site whose price and grid intensity are taken."
    )

    meters: Annotated[tuple[str, ...], AsOption("--meter", "NAME", is_common=True)] = Field(
        default=(), description="ipmi, nvml, nvidia-smi, rapl, replay:FILE; all that work by default."
    )
    bmc: Annotated[str | None, AsOption(metavar="[USER@]HOST[:PORT]", is_common=True)] = Field(
        default=None, description="BMC on the network; password from IPMI_PASSWORD."
    )
    refresh_s: Annotated[float | None, AsOption("--refresh", _SECONDS)] = Field(
        default=None, ge=0.05, description="Meter's refresh, if known."
    )
    lag_s: Annotated[float | None, AsOption("--lag", _SECONDS)] = Field(
        default=None, ge=0, description="Meter's lag, if known; goes with its refresh."
    )
    probe_s: Annotated[float | None, AsOption("--probe", _SECONDS)] = Field(
        default=None, ge=2, description="A third of the time to find these."
    )
    interval_s: Annotated[float | None, AsOption("--interval", _SECONDS)] = Field(
        default=None, ge=0.05, description="Between readings."
    )
    max_power_w: Annotated[float | None, AsOption("--max-power", "WATTS")] = Field(
        default=None,
        ge=1,
        description="More is no power of this machine; by default twice what hardware states, else 20 kW a "
        "server, 5 kW a GPU, 1 kW a CPU package.",
    )

    idle_s: Annotated[float | None, AsOption("--idle", _SECONDS)] = Field(
        default=None, ge=1, description="Idle before and after a run."
    )
    run_s: Annotated[float | None, AsOption("--run", _SECONDS)] = Field(
        default=None, ge=1, description="Length of a run of the worker."
    )
    foreign_cores: Annotated[float, AsOption()] = Field(
        default=0.5, ge=0.01, description="Cores that others may keep busy."
    )

    copies: Annotated[PerModeField, AsOption(metavar="N|MODE=N", is_common=True, typed=list[str])] = Field(
        default=PerMode(), description="Copies that run at a time, 1 by default; fullsim=4 for one mode."
    )
    threads: Annotated[PerModeField, AsOption(metavar="N|MODE=N", is_common=True, typed=list[str])] = Field(
        default=PerMode(), description="Threads of each copy, 1 by default; likewise."
    )

    inputs: Annotated[tuple[str, ...], AsOption("--input", "FILE", is_common=True)] = Field(
        default=(), description="Generator-level input; generated if missing."
    )
    card: Annotated[str, AsOption()] = Field(default="ttbar", description="Card of the generated input.")
    oversample: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AsOption()] = Field(
        default=(10,), min_length=1, description="Folds per gen event; several to compare."
    )
    bundle: Annotated[str | None, AsOption(metavar="NAME|PATH")] = Field(
        default=None, description="Bundle of models."
    )
    sampling: Sampling = Field(default=Sampling(), description="How the flows are integrated.")
    chunk_events: Annotated[int | None, AsOption("--chunk", "N")] = Field(
        default=None, ge=1, description="Output events in memory at a time; by default the site's."
    )
    batch_rows: Annotated[int | None, AsOption("--batch", "N")] = Field(
        default=None, ge=1, description="Objects that a network sees at a time; by default the site's."
    )

    command: Annotated[str | None, AsOption(is_common=True)] = Field(
        default=None,
        description="What fullsim and command run, quoted; {copy} and {folder} are filled in.",
    )
    count: Annotated[str | None, AsOption(metavar="REGEX")] = Field(
        default=None, description="How the log tells of an event; a group 'events' is the number so far."
    )
    count_file: Annotated[str | None, AsOption(metavar="FILE")] = Field(
        default=None,
        description="Count the events of this ROOT file instead; {copy} and {folder} are filled in.",
    )
    gpus: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AsOption()] = Field(
        default=(), description="GPU that a command uses; several times for several."
    )

    model: Annotated[str, AsOption()] = Field(
        default="jet_from_genjet", description="Object model that train fits."
    )
    steps: Annotated[int | None, AsOption()] = Field(default=None, ge=100, description="Steps of that fit.")

    @field_validator("meters")
    @classmethod
    def _meters_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for name in value:
                check_name(name)
        except RequestError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("bmc")
    @classmethod
    def _bmc_is_an_address(cls, value: str | None) -> str | None:
        try:
            BmcAddress.parsed(value)
        except RequestError as error:
            raise ValueError(_said(error, "--bmc")) from error
        return value

    @field_validator("count")
    @classmethod
    def _count_is_a_pattern(cls, value: str | None) -> str | None:
        try:
            compiled(value or "")
        except RequestError as error:
            raise ValueError(_said(error, "--count")) from error
        return value

    def with_typed(self, typed: Mapping[str, Any], options: Mapping[str, str]) -> Self:
        """This protocol with what options say, by field; parts of ``sampling`` one by one.

        Parameters
        ----------
        options : mapping
            The option of each field, for errors.

        Raises
        ------
        ConfigError
            If a value is none for its field.
        """
        known = self.model_dump()
        sampling = {"sampling": {**known.pop("sampling"), **typed.get("sampling", {})}}
        # what nobody says is as each bundle has it
        said = sampling if self.wanted_sampling is not None or "sampling" in typed else {}
        return type(self).from_mapping({**known, **typed, **said}, "options", options)

    @property
    def wanted_sampling(self) -> Sampling | None:
        """How flows are to be integrated, if that was said."""
        return self.sampling if "sampling" in self.model_fields_set else None


#: what stands above the first field of each part of a file
_PARTS = {
    "modes": f"What is measured: {', '.join(Mode)}",
    "meters": "Meters",
    "idle_s": "Times",
    "copies": "Load: a number, or one for all and others for some modes: [1, fullsim=4]",
    "inputs": "Modes cpu and gpu: this project's worker (inputs are those of train, too)",
    "command": "Modes fullsim and command",
    "model": "Mode train",
}


def read_protocol(path: Path) -> EnergyProtocol:
    """The protocol in a file.

    Raises
    ------
    ConfigError
        If there is no such file, or it does not follow the schema: file, field, nearest known one.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(f"{path}: this protocol cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this protocol is no text: {error}") from error
    return EnergyProtocol.from_yaml(text, str(path))


def protocol_text(protocol: EnergyProtocol) -> str:
    """A protocol as a file, each field with its comment."""
    values = protocol.model_dump(mode="json")
    lines = ["# flashsim-prod energy-bench run FILE; null lets the meter's speed or the site decide"]
    for name, field in EnergyProtocol.model_fields.items():
        if name in _PARTS:
            lines += ["", f"## {_PARTS[name]}"]
        lines += [f"# {line}" for line in textwrap.wrap(field.description or "", _WIDTH)]
        lines.append(_line(name, values[name]))
    return "\n".join(lines) + "\n"


def write_protocol(protocol: EnergyProtocol, path: Path) -> None:
    """Write a protocol into a new file; `RequestError` if there is one."""
    if path.exists():
        raise RequestError(f"{path} is there already; name another file, or remove it")
    write_whole(path, protocol_text(protocol))


def _line(name: str, value: object) -> str:
    # values on the line of their field, whatever they hold
    flow = None if isinstance(value, list | dict) and value else False
    text = yaml.safe_dump(
        {name: value}, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return str(text).strip()
