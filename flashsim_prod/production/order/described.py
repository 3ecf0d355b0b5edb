"""Cards and site files for people and editors: YAML with every field's description, and JSON schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from textwrap import wrap
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticUndefined

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.engines import EngineRules, engine_names, load_rules
from flashsim_prod.core.site import Site
from flashsim_prod.core.strict import StrictModel

_WIDTH = 110
#: a site's field that a file has under the name of its engine
_RULES = "rules"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def commented_yaml(model: type[BaseModel], values: Mapping[str, Any]) -> str:
    """YAML of `values` with the description of every field of `model`; what has no value is commented out.

    A number sign and a space begin a description, a number sign alone what can be made a key by removing it.
    """
    return "\n".join(_fields(model, values)) + "\n"


def _fields(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        if name == _RULES and model is Site:
            yield from _section(values)
        else:
            yield from _field(name, info, values)


def _section(values: Mapping[str, Any]) -> Iterator[str]:
    """What a site says of its engine."""
    kind = load_rules(values["engine"])
    if kind.model_fields:
        yield f"# {_first_line(kind)}"
        yield f"{values['engine']}:"
        yield from _indented(_fields(kind, values[values["engine"]]))


def _field(name: str, info: FieldInfo, values: Mapping[str, Any]) -> Iterator[str]:
    inner = _model_of(info.annotation)
    yield from (f"# {line}" for line in wrap(_description(info, inner), _WIDTH))
    if name in values and inner and isinstance(values[name], Mapping):
        yield f"{name}:"
        yield from _indented(_fields(inner, values[name]))
    elif name in values and inner:
        yield from (f"#   {field}: {_description(one, None)}" for field, one in inner.model_fields.items())
        yield f"{name}:"
        yield from (f"  - {_flow(one)}" for one in values[name])
    elif name in values:
        yield from _dumped(name, values[name])
    elif inner:
        yield f"#{name}:"
        yield from (f"#{line}" for line in _indented(_fields(inner, {})))
    else:
        default = info.get_default(call_default_factory=True)
        shown = "..." if default is PydanticUndefined else default
        yield from (f"#{line}" for line in _dumped(name, shown))


def _description(info: FieldInfo, inner: type[BaseModel] | None) -> str:
    choices = _choices(info.annotation)
    said = info.description or (_first_line(inner or info.annotation) if inner or choices else "")
    return f"{said.removesuffix('.')}: {', '.join(choices)}" if choices else said


def _first_line(described: Any) -> str:
    return (described.__doc__ or "").split("\n")[0]


def _choices(annotation: Any) -> list[str]:
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    return [str(one.value) for one in annotation] if is_enum else []


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_of, get_args(annotation))), None)


def _plain(value: Any) -> Any:
    """What YAML writes as people do: whole numbers without a point."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _dumped(name: str, value: Any) -> list[str]:
    text: str = yaml.safe_dump(
        {name: _plain(value)}, sort_keys=False, allow_unicode=True, width=_WIDTH, indent=2
    )
    # items of a list stand below its key
    return [f"  {line}" if line.startswith("- ") else line for line in text.splitlines()]


def _flow(value: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(
        _plain(value), sort_keys=False, allow_unicode=True, default_flow_style=True, width=10_000
    )
    return text.strip()


def _indented(lines: Iterator[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines)


# ---- for editors


def card_schema() -> dict[str, Any]:
    """The JSON schema of cards."""
    return {"$schema": DIALECT, **ProcessCard.model_json_schema()}


def site_schema() -> dict[str, Any]:
    """The JSON schema of site files: of every engine that is here, its section, which goes with it alone."""
    engines = {name: load_rules(name) for name in engine_names()}
    sections = {name: kind for name, kind in engines.items() if kind.model_fields}
    models: list[type[StrictModel]] = [Site, *sections.values()]
    refs, whole = models_json_schema([(one, "validation") for one in models])
    defs: dict[str, Any] = whole["$defs"]
    site = defs.pop(_name_of(refs[Site, "validation"]))
    properties = {name: one for name, one in site["properties"].items() if name != _RULES}
    properties["engine"] = {**properties["engine"], "enum": list(engines)}
    for name, kind in sections.items():
        properties[name] = {"anyOf": [refs[kind, "validation"], {"type": "null"}]}
    defs.pop(EngineRules.__name__, None)
    return {
        "$schema": DIALECT,
        **site,
        "properties": properties,
        "allOf": [_goes_with(name) for name in sections],
        "$defs": defs,
    }


def _name_of(ref: Mapping[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _goes_with(engine: str) -> dict[str, Any]:
    """The section of an engine is there if, and only if, the site is of this engine."""
    is_of = {"properties": {"engine": {"const": engine}}, "required": ["engine"]}
    return {
        "if": is_of,
        "then": {"required": [engine], "properties": {engine: {"type": "object"}}},
        "else": {"properties": {engine: {"type": "null"}}},
    }
