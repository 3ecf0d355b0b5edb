"""Models that refuse unknown keys and say which known one was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from flashsim_prod.errors import ConfigError

#: so many names are suggested at most
_MOST_SUGGESTED = 3
#: longer lists, as that of the branches of a file, help nobody
_MOST_LISTED = 100


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` with those of `known` that are near `word`, else all of them if few."""
    names = sorted(set(known))
    near = _near(word, names)
    if not near and len(names) > _MOST_LISTED:
        return ""
    if not near:
        return f"; known: {', '.join(names)}"
    return f"; did you mean {' or '.join(repr(name) for name in near)}?"


def _near(word: str, names: list[str]) -> list[str]:
    """What was mistyped, else what begins with `word` or has it within, else what is a little like it."""
    wanted = word.casefold()
    mistyped = get_close_matches(wanted, [name.casefold() for name in names], n=1, cutoff=0.8)
    if mistyped:
        return [name for name in names if name.casefold() == mistyped[0]][:1]
    if len(wanted) > 1:
        for fits in (str.startswith, str.__contains__):
            found = [name for name in names if fits(name.casefold(), wanted)]
            if found:
                return found[:_MOST_SUGGESTED]
    return get_close_matches(word, names, n=1, cutoff=0.5)


class StrictModel(BaseModel):
    """Immutable, with every key known and every type right."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")

    @classmethod
    def from_mapping(cls, mapping: object, where: str, options: Mapping[str, str] | None = None) -> Self:
        """The model that `mapping` describes.

        Parameters
        ----------
        mapping : object
            What a YAML or JSON file holds; anything but a mapping is refused.
        where : str
            The file it came from, for the error.
        options : mapping, optional
            For values that were typed: the option of each key, which errors name in the place of both.

        Raises
        ------
        ConfigError
            One line that names the file, the key and what is wrong with it.
        """
        if not isinstance(mapping, Mapping):
            raise ConfigError(f"{where}: expected keys and values, found {type(mapping).__name__}")
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            told = "; ".join(_explain(cls, one, options or {}) for one in _causes(error.errors()))
            raise ConfigError(told if options else f"{where}: {told}") from error

    @classmethod
    def from_yaml(cls, text: str, where: str) -> Self:
        """The model in a YAML text; errors as for `from_mapping`."""
        try:
            mapping = yaml.load(text, Loader=_LOADER)
        except yaml.YAMLError as error:
            raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
        return cls.from_mapping(mapping, where)

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys that a mapping may have."""
        return list(cls.model_fields)

    @classmethod
    def model_below(cls, key: str) -> type[BaseModel] | None:
        """The model of what is below a key; ``None`` if that has no keys of its own."""
        field = cls.model_fields.get(key)
        return None if field is None else _model_in(field.annotation)

    def to_yaml(self) -> str:
        """The model as YAML, keys in the order of their declaration."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


# libyaml's loader is ten times faster where PyYAML was built with it
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from an error further inside (a list that lost its bad entries)."""
    inner = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return [error for error in errors if error["loc"] not in inner]


#: what a value of the wrong kind is not, by pydantic's name for the error
_IS_NO = {
    "int_parsing": "whole number",
    "int_type": "whole number",
    "int_from_float": "whole number",
    "float_parsing": "number",
    "float_type": "number",
    "string_type": "text",
}


def _explain(model: type[StrictModel], error: ErrorDetails, options: Mapping[str, str]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the file"
    # an option that is given several times is a list, of whose places its user knows nothing
    where = options.get(where) or options.get(where.split(".")[0], where)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'{nearest(str(error['loc'][-1]), _keys(model, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"the key '{where}' is missing"
    if error["type"] in _IS_NO:
        return f"{where}: {error['input']!r} is no {_IS_NO[error['type']]}"
    if error["type"] == "too_short" and not error["input"]:
        return f"{where}: is empty"
    if error["type"] == "string_pattern_mismatch":
        pattern = error["msg"].removeprefix("String should match pattern ").strip("'")
        return f"{where}: {error['input']!r} is not of the form {pattern}"
    said = error["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    return f"{where}: {said}"


def _keys(model: type[StrictModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys known at `path` below `model`."""
    for part in path:
        below = model.model_below(str(part))
        model = below if below is not None and issubclass(below, StrictModel) else model
    return model.known_keys()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation like ``Energy`` or ``tuple[Energy, ...]`` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
