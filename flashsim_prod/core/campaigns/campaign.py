"""A campaign: what its file says, and the requests that this comes to."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from flashsim_prod.core.choices import Device, FileFormat, RegisterIn
from flashsim_prod.core.notices.targets import Notify, NotifyField
from flashsim_prod.core.options import MAX_OVERSAMPLE, SEED_END, Registration, Sampling
from flashsim_prod.core.sizes import parse_count
from flashsim_prod.core.splitting import gen_events_for
from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import RequestError

#: requests of one campaign, at most
MAX_REQUESTS = 10_000
#: digits of a key in the names of requests
_KEY_DIGITS = 10
#: options that decide what is in a sample
_OF_CONTENTS = (
    *("bundle", "seed", "primary", "xsec", "shower", "nano", "keep_unrefined"),
    *("analysis", "format"),
)
#: what an entry says, and which defaults it takes the place of: other ways to say it, other sorts of files
_INSTEAD_OF: Mapping[str, tuple[str, ...]] = {
    "eras": ("energies",),
    "energies": ("eras",),
    "bundle": ("analysis", "format"),
    "analysis": ("bundle", "nano", "keep_unrefined"),
}


def _several(value: object) -> object:
    """A single value is a list of one."""
    return value if value is None or isinstance(value, list | tuple) else (value,)


def _count(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_count(value)
    except RequestError as error:
        raise ValueError(str(error).partition(": ")[2]) from error


Count = Annotated[int, Field(ge=1), BeforeValidator(_count, json_schema_input_type=int | str)]
Folds = Annotated[
    int, Field(ge=1, le=MAX_OVERSAMPLE), BeforeValidator(_count, json_schema_input_type=int | str)
]


class _WrongError(ValueError):
    """What of a file makes no sense, and where that is."""

    def __init__(self, where: tuple[str | int, ...], said: str) -> None:
        super().__init__(said)
        self.where = where


class Choices(StrictModel):
    """What an entry asks for: one request for each combination of the fields that have several values."""

    cards: tuple[str, ...] | None = Field(default=None, min_length=1, description="names or files of cards")
    inputs: tuple[tuple[str, ...], ...] | None = Field(
        default=None,
        min_length=1,
        description="files of events, globs, URLs or rucio:SCOPE:NAME; a list in the list is one request",
    )
    events: tuple[Count, ...] | None = Field(
        default=None, min_length=1, description="output events: 1000, 10k, 100M; of inputs all by default"
    )
    oversample: tuple[Folds, ...] | None = Field(
        default=None, min_length=1, description="output events per generator event; 1 by default"
    )
    eras: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="pileup profiles that the cards offer, as Run2_2018"
    )
    energies: tuple[float, ...] | None = Field(
        default=None, min_length=1, description="centre-of-mass energies that the cards offer [TeV]"
    )
    sites: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names or files of sites; local by default"
    )
    priority: int | None = Field(default=None, description="the higher, the earlier; 0 by default")
    bundle: str | None = Field(default=None, description="name or folder of the models")
    analysis: str | None = Field(
        default=None, description="name or folder of an analysis' bundle: flat ntuples, in NANOAOD's place"
    )
    format: FileFormat | None = Field(
        default=None, description="of the files of an analysis' ntuples; root by default"
    )
    seed: int | None = Field(
        default=None, ge=0, lt=SEED_END, description="decides all numbers drawn; random by default"
    )
    primary: str | None = Field(default=None, description="primary dataset of inputs, if they tell none")
    xsec: float | None = Field(default=None, gt=0, description="cross section of inputs [pb]")
    shower: str | None = Field(default=None, description="card or file of settings for LHE events")
    nano: str | None = Field(default=None, description="version of NanoAOD, as v9")
    sampling: Sampling | None = None
    device: Device | None = Field(default=None, description="where the networks run; the site's by default")
    keep_unrefined: bool | None = Field(
        default=None, description="write beside what a bundle refines what it was before"
    )
    slots: int | None = Field(default=None, ge=1, description="jobs at a time; the site's by default")
    events_per_job: Count | None = Field(default=None, description="output events of a job")
    catalog: RegisterIn | None = Field(default=None, description="where to register; local by default")
    registration: Registration | None = None
    notify: NotifyField = Field(
        default=None,
        description="who is told of requests that end, fail or idle: https://..., mailto:NAME@HOST",
    )

    @field_validator("cards", "eras", "sites", mode="before", json_schema_input_type=str | list[str] | None)
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        return _several(value)

    @field_validator(
        "events", "oversample", mode="before", json_schema_input_type=int | str | list[int | str] | None
    )
    @classmethod
    def _one_number_is_a_list_of_one(cls, value: object) -> object:
        return _several(value)

    @field_validator("energies", mode="before", json_schema_input_type=float | list[float] | None)
    @classmethod
    def _one_energy_is_a_list_of_one(cls, value: object) -> object:
        return _several(value)

    @field_validator("inputs", mode="before", json_schema_input_type=str | list[str | list[str]] | None)
    @classmethod
    def _one_file_is_a_list_of_one(cls, value: object) -> object:
        """Each input is a file, or a list of those that make one request."""
        several = _several(value)
        return tuple(map(_several, several)) if isinstance(several, list | tuple) else several

    def over(self, defaults: Choices) -> Choices:
        """These choices, and those of `defaults` where nothing is said."""
        said = {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}
        others = {name: getattr(defaults, name) for name in Choices.model_fields}
        # of those that exclude each other, the entry's own
        for one in said.keys() & _INSTEAD_OF.keys():
            others |= dict.fromkeys(_INSTEAD_OF[one])
        return Choices.model_construct(**{**others, **said})


class Wanted(StrictModel):
    """One request that a campaign wants.

    Attributes
    ----------
    entry : int
        Which entry of the file it is of.
    events : int or None
        Output events; ``None`` for all that the input holds.
    """

    entry: int
    card: str | None = None
    inputs: tuple[str, ...] = ()
    events: int | None = None
    oversample: int = 1
    era: str | None = None
    energy_tev: float | None = None
    site: str = "local"
    choices: Choices = Choices()

    @property
    def gen_events(self) -> int | None:
        """Generator events that this takes; ``None`` for all that the input holds."""
        return None if self.events is None else gen_events_for(self.events, self.oversample)

    @property
    def priority(self) -> int:
        """The higher, the earlier."""
        return self.choices.priority or 0

    @property
    def key(self) -> str:
        """Stands for all that decides what is in a sample but its size: not for events, nor for the site."""
        made_of = {
            "card": self.card,
            "inputs": list(self.inputs),
            "oversample": self.oversample,
            "era": self.era,
            "energy_tev": self.energy_tev,
            **{name: getattr(self.choices, name) for name in _OF_CONTENTS},
            "sampling": self.choices.sampling and self.choices.sampling.model_dump(mode="json"),
        }
        if self.choices.format is FileFormat.ROOT:
            # which it is without a word, too
            made_of["format"] = None
        # what is not said is left out, so that what can be said later changes no key
        said = {name: value for name, value in made_of.items() if value not in (None, [])}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]

    def __str__(self) -> str:
        what = self.card or (self.inputs[0] if self.inputs else "?")
        more = f" at {self.energy_tev:g} TeV" if self.energy_tev is not None else ""
        return f"{what}{more}{f' {self.era}' if self.era else ''} x{self.oversample} at {self.site}"


class Budget(StrictModel):
    """What all requests of a campaign may come to together."""

    events: Count | None = Field(default=None, description="output events")
    tb: float | None = Field(default=None, gt=0, description="size of the datasets [TB]")
    kwh: float | None = Field(default=None, gt=0, description="electric energy [kWh]")


class Campaign(StrictModel):
    """Requests that are made, looked at and ended together."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,23}$", description="begins the names of all its requests"
    )
    title: str = Field(default="", description="one line for people")
    defaults: Choices = Field(default=Choices(), description="what entries have that do not say otherwise")
    budget: Budget = Budget()
    at_once: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="by the name of a site: jobs at a time there, of all requests"
    )
    requests: tuple[Choices, ...] = Field(min_length=1, description="what is to be made")

    @model_validator(mode="wrap")
    @classmethod
    def _entries_make_sense(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(data)
        try:
            made._check_once()
        except _WrongError as error:
            wrong = InitErrorDetails(
                type=PydanticCustomError("value_error", "{said}", {"said": str(error)}),
                loc=error.where,
                input=None,
            )
            raise ValidationError.from_exception_data(cls.__name__, [wrong]) from error
        return made

    def _check_once(self) -> None:
        """See that each request is asked for once, and entries make sense; `_WrongError` otherwise."""
        seen: dict[tuple[object, ...], Wanted] = {}
        for number, one in enumerate(self.wanted()):
            if number >= MAX_REQUESTS:
                raise _WrongError(("requests",), f"more than {MAX_REQUESTS:,} are better several campaigns")
            own = (one.key, one.site, one.gen_events)
            if own in seen:
                raise _WrongError(
                    ("requests", one.entry),
                    f"{one} is asked for by requests.{seen[own].entry} as well; "
                    "leave one out, or give it another seed",
                )
            seen[own] = one

    def telling(self, notify: Notify | None) -> Self:
        """The same with others to be told of all that is made, if there are any."""
        if notify is None:
            return self
        entries = [self.defaults, *self.requests]
        defaults, *requests = (one.model_copy(update={"notify": notify}) for one in entries)
        return self.model_copy(update={"defaults": defaults, "requests": tuple(requests)})

    def wanted(self) -> Iterator[Wanted]:
        """All requests, in the order of the file."""
        for entry, own in enumerate(self.requests):
            choices = own.over(self.defaults)
            _check_axes(entry, choices)
            energies: tuple[tuple[str | None, float | None], ...] = ((None, None),)
            if choices.eras:
                energies = tuple((era, None) for era in choices.eras)
            elif choices.energies:
                energies = tuple((None, tev) for tev in choices.energies)
            for card, inputs, events, oversample, (era, tev), site in itertools.product(
                choices.cards or (None,),
                choices.inputs or ((),),
                choices.events or (None,),
                choices.oversample or (1,),
                energies,
                choices.sites or ("local",),
            ):
                yield Wanted(
                    entry=entry,
                    card=card,
                    inputs=inputs,
                    events=events,
                    oversample=oversample,
                    era=era,
                    energy_tev=tev,
                    site=site,
                    choices=choices,
                )


def _check_axes(entry: int, choices: Choices) -> None:
    """See that the fields of an entry go together; `_WrongError` otherwise."""

    def refuse(field: str | None, said: str) -> None:
        raise _WrongError(("requests", entry) if field is None else ("requests", entry, field), said)

    if not choices.cards and not choices.inputs:
        refuse(None, "say cards, or inputs")
    if not choices.inputs and not choices.events:
        refuse("events", "say how many are wanted; only inputs have an end")
    for field in ("primary", "xsec"):
        if not choices.inputs and getattr(choices, field) is not None:
            refuse(field, "goes with inputs; of a card it is in its file")
    if choices.eras and choices.energies:
        refuse("eras", "energies say the same in numbers; leave one out")
    _check_analysis(choices, refuse)
    if choices.eras and choices.inputs:
        refuse("eras", "the era of inputs is that of their energy; leave it out")
    for field in ("cards", "inputs", "events", "oversample", "eras", "energies", "sites"):
        values = getattr(choices, field) or ()
        twice = next((one for position, one in enumerate(values) if one in values[:position]), None)
        if twice is not None:
            refuse(field, f"{twice} is there twice")


def _check_analysis(choices: Choices, refuse: Callable[[str | None, str], None]) -> None:
    """Refuse what does not go with an analysis, or only with one."""
    if choices.analysis is None:
        if choices.format not in (None, FileFormat.ROOT):
            refuse("format", f"{choices.format} is of flat ntuples, with analysis; NANOAOD is root")
        return
    for field in ("bundle", "nano", "keep_unrefined"):
        if getattr(choices, field):
            refuse(field, "is of NANOAOD, and analysis makes flat ntuples; leave one out")
    if choices.eras:
        refuse("eras", "is of bundles of object models, and analysis of none; say energies")


def anchored(mapping: Mapping[str, Any], anchor: Callable[[str, str], str]) -> dict[str, Any]:
    """What a file of a campaign holds, with each word that can name a file as `anchor` gives it.

    Parameters
    ----------
    mapping : mapping
        As read; what is wrong with it is left to be told by the model.
    anchor : callable
        From a key and a word to the word.
    """
    words = {"cards", "inputs", "sites", "bundle", "analysis", "shower"}

    def moved(key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [moved(key, one) for one in value]
        return anchor(key, value) if isinstance(value, str) else value

    def entry(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: moved(key, one) if key in words else one for key, one in value.items()}

    found = dict(mapping)
    if "defaults" in found:
        found["defaults"] = entry(found["defaults"])
    if isinstance(found.get("requests"), list):
        found["requests"] = [entry(one) for one in found["requests"]]
    return found
