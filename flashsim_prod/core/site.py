"""A site: where jobs run and where files land."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SerializationInfo,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from flashsim_prod.core.choices import Device
from flashsim_prod.core.engines import ALWAYS_WRITTEN, EngineRules, LocalRules, load_rules, section_names
from flashsim_prod.core.notices.targets import NotifyField
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import ConfigError

Rules = TypeVar("Rules", bound=EngineRules)
#: the attribute that an engine's section becomes
_RULES = "rules"


class Resources(StrictModel):
    """What one job may use; the splitting keeps within it."""

    cpus: int = Field(default=1, ge=1, description="CPU cores of one job")
    memory_mb: int = Field(default=3000, ge=500, description="memory of one job [MB]")
    walltime_min: float = Field(gt=0, description="limit of one job [min]")
    target_walltime_min: float = Field(gt=0, description="length that jobs are cut to [min]")
    max_file_mb: float = Field(default=2000, gt=0, description="largest output of one job [MB]")
    chunk_events: int = Field(default=1000, ge=1, description="output events in memory at a time")
    batch_rows: int | None = Field(
        default=None,
        ge=1,
        description="objects that a network sees at a time; by default as suits the device",
    )
    gpu_graphs: bool = Field(
        default=False,
        description="on a GPU, the launches of a block are captured once and replayed (CUDA graphs)",
    )
    gpu_half: bool = Field(
        default=False,
        description="on a GPU, matrix products are of half precision: other numbers, whose fidelity was not "
        "measured",
    )

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Written as before there were these ways of a GPU, where none is chosen."""
        written: dict[str, Any] = handler(self)
        return {
            key: value for key, value in written.items() if value or key not in ("gpu_graphs", "gpu_half")
        }


class Rates(StrictModel):
    """How fast the site is, until it has been measured there."""

    generator_hz: float = Field(gt=0, description="gen events generated per second and job")
    flashsim_hz: float = Field(gt=0, description="output events simulated and written per second and job")
    startup_s: float = Field(default=5.0, ge=0, description="time of a job before its first event [s]")
    bytes_per_event: float = Field(default=3000.0, gt=0, description="size of an output event [B]")
    watts: float | None = Field(default=None, gt=0, description="electric power of one running job [W]")


class StorageRules(StrictModel):
    """Where a logical file name is on disk."""

    rse: str = Field(description="name of the storage element in the catalogue")
    prefix: str = Field(
        description="what stands before an LFN, or a CMS storage.json; {home} is the state folder"
    )
    protocol: str = Field(default="XRootD", description="which one of the storage.json's")
    user_lfn: str | None = Field(
        default=None,
        pattern=r"^/store/(user|group)/[A-Za-z0-9_\-./{}]+$",
        description="folder of users' files, {user} being the owner of --scope; "
        "by default Rucio's, /store/user/rucio/{user}",
    )

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Written as before there was another folder, where it is none."""
        written: dict[str, Any] = handler(self)
        return {key: value for key, value in written.items() if key != "user_lfn" or value is not None}


class MergeRules(StrictModel):
    """How outputs are joined and grouped."""

    target_file_mb: float = Field(default=2000, gt=0, description="size of a merged file aimed at [MB]")
    files_per_block: int = Field(default=500, ge=1, description="files of one block of the dataset, at most")


class Electricity(StrictModel):
    """What a kWh comes to where the site is."""

    price_per_kwh: float | None = Field(default=None, ge=0, description="price of a kWh")
    currency: str = Field(default="EUR", description="of the price")
    kg_co2_per_kwh: float | None = Field(default=None, ge=0, description="intensity of the electricity grid")

    def cost(self, energy_kwh: float) -> float | None:
        """Price of an energy in `currency`, if there is one."""
        return None if self.price_per_kwh is None else self.price_per_kwh * energy_kwh

    def co2_kg(self, energy_kwh: float) -> float | None:
        """Carbon dioxide of an energy [kg], if the intensity is known."""
        return None if self.kg_co2_per_kwh is None else self.kg_co2_per_kwh * energy_kwh


class Site(StrictModel):
    """One site: ``site_configs/<name>.yaml``.

    What the site says of its engine is a section of the engine's name, of the type that the engine declares
    (`flashsim_prod.core.engines`); here it is `rules`.
    """

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]*$", description="what it is asked for by; its file's name"
    )
    title: str = Field(description="one line for people")
    engine: str = Field(description="which batch system jobs are handed to")
    slots: int = Field(default=0, ge=0, description="jobs at a time; 0 means one per CPU core")
    device: Device = Field(default=Device.AUTO, description="where the networks run")
    max_attempts: int = Field(default=3, ge=1, le=20, description="tries of a job before it fails for good")
    resources: Resources
    rates: Rates
    storage: StorageRules
    merge: MergeRules = MergeRules()
    electricity: Electricity = Electricity()
    notify: NotifyField = Field(
        default=None,
        description="who is told of requests here that end, fail or idle, unless --notify is given",
    )
    rules: SerializeAsAny[EngineRules] = LocalRules()

    @property
    def threads(self) -> int:
        """Threads of numerical libraries in each process of a job; its cores are those of its processes."""
        return 1 if self.device is Device.CPU else self.resources.cpus

    @property
    def gpus(self) -> int:
        """GPUs that a simulate job is promised."""
        return self.rules.gpus_promised()

    def as_ordered(self, slots: int | None = None) -> Site:
        """The same as it goes into a request: with `slots`, if so many were asked for, and without addresses.

        Requests go to nodes and are shown to others, and who knows an address can write there.
        """
        changes = {"notify": None, **({} if slots is None else {"slots": slots})}
        return self.model_copy(update={key: new for key, new in changes.items() if getattr(self, key) != new})

    def rules_as(self, kind: type[Rules]) -> Rules:
        """The engine's section, if it is of this kind; `ConfigError` otherwise."""
        if not isinstance(self.rules, kind):
            raise ConfigError(f"site {self.name}: its engine '{self.engine}' has no {kind.__name__}")
        return self.rules

    @classmethod
    def known_keys(cls) -> list[str]:
        return [*(key for key in super().known_keys() if key != _RULES), *section_names()]

    @classmethod
    def model_below(cls, key: str) -> type[BaseModel] | None:
        return load_rules(key) if key in section_names() else super().model_below(key)

    @model_validator(mode="wrap")
    @classmethod
    def _section_is_of_its_engine(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return handler(data)
        given: dict[str, Any] = dict(data)
        wrong: list[InitErrorDetails] = []
        if not isinstance(given.get(_RULES, LocalRules()), EngineRules):
            # the name of the attribute is no key of a file
            del given[_RULES]
            wrong.append(_wrong((_RULES,), "", kind="extra_forbidden"))
        try:
            given[_RULES] = _take_rules(given)
        except ValidationError as error:
            wrong += _below(error, (given["engine"],))
        except ConfigError as error:
            wrong.append(_wrong(("engine",), str(error)))
        except ValueError as error:
            wrong.append(_wrong((), str(error)))
        if not wrong:
            return handler(given)
        # the rest may be wrong, too, and is told as well
        try:
            handler(given)
        except ValidationError as error:
            wrong = _below(error) + wrong
        raise ValidationError.from_exception_data(cls.__name__, wrong)

    @model_validator(mode="after")
    def _engine_takes_it(self) -> Self:
        if self.rules.goes_on_alone and not self.slots:
            raise ValueError("slots must say how many jobs are expected to run at a time")
        self.rules.check_limits(self.resources)
        return self

    @model_validator(mode="after")
    def _device_is_asked_for(self) -> Self:
        if self.gpus and self.device is Device.AUTO:
            raise ValueError("device must be cuda where GPUs are asked for (cpu if they are only simulated)")
        if self.rules.goes_on_alone and self.device is Device.CUDA and not self.gpus:
            if not self.rules.gpu_key:
                raise ValueError(f"device cuda: engine {self.engine} asks for no GPUs")
            section = f"{self.engine}.{self.rules.gpu_key}"
            raise ValueError(f"device cuda needs a section {section} that asks for one")
        return self

    @model_serializer(mode="wrap")
    def _with_section(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        rules = written.pop(_RULES, None)
        if self.notify is None:
            written.pop("notify", None)
        if not info.exclude_none:
            written |= dict.fromkeys(ALWAYS_WRITTEN)
        has_section = rules is not None and type(self.rules).model_fields
        return {**written, self.engine: rules} if has_section else written


def _take_rules(given: dict[str, Any]) -> EngineRules:
    """What is said of the site's engine, taken out of `given` together with the sections of others.

    Raises
    ------
    ConfigError
        If there is no such engine.
    ValueError
        If there are sections of other engines, or its own is missing.
    ValidationError
        If the section is not as the engine declares it.
    """
    engine = given.get("engine")
    if _RULES in given:
        return cast("EngineRules", given.pop(_RULES))
    names = {*section_names(), engine if isinstance(engine, str) else ""}
    sections = {name: given.pop(name) for name in names.difference(Site.model_fields) if name in given}
    if not isinstance(engine, str):
        return LocalRules()
    kind = load_rules(engine)
    said = {name: section for name, section in sections.items() if section is not None}
    wanted = {engine} if kind.model_fields or engine in said else set()
    for name in sorted(wanted.symmetric_difference(said)):
        raise ValueError(f"engine {name} and the section '{name}' go together")
    return kind.model_validate(said.get(engine, {}))


def _below(error: ValidationError, path: tuple[str, ...] = ()) -> list[InitErrorDetails]:
    """What is wrong, `path` being where that was found."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(one["type"], one["msg"]),
            loc=(*path, *one["loc"]),
            input=one["input"],
        )
        for one in error.errors()
    ]


def _wrong(path: tuple[str, ...], said: str, *, kind: LiteralString = "value_error") -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, said), loc=path, input=None)
