"""Options of a command that are the fields of a model: declared there, once, each with its `AsOption`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from flashsim_prod.cli.completing import Completer
from flashsim_prod.core.choices import AsOption
from flashsim_prod.core.strict import StrictModel

Command = TypeVar("Command", bound=Callable[..., None])
_TYPED = "COMMANDLINE"


@dataclass(frozen=True)
class FieldOptions:
    """What the fields of a model are as options.

    Attributes
    ----------
    model : type
        Fields without an `AsOption` are none, but for those in `parts`.
    parts : mapping
        Of fields that are models themselves: an option of each of their fields, as other commands have it.
    completers : mapping
        By field.
    """

    model: type[StrictModel]
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    completers: Mapping[str, Completer] = field(default_factory=dict)

    def given_to(self, *, rare: bool = True, hidden: bool = False) -> Callable[[Command], Command]:
        """Give a command these options, in the place of its ``**fields``.

        Parameters
        ----------
        rare : bool
            Whether also those that are not common.
        hidden : bool
            Whether ``--help`` is silent about these.
        """

        def give(command: Command) -> Command:
            own = [
                one
                for one in inspect.signature(command, eval_str=True).parameters.values()
                if one.kind is not inspect.Parameter.VAR_KEYWORD
            ]
            # a command's own options, such as --json, stand last
            first = [one for one in own if one.default is inspect.Parameter.empty or _is_argument(one)]
            last = [one for one in own if one not in first]
            options = [
                one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for one in (*first, *self._parameters(rare, hidden), *last)
            ]
            vars(command)["__signature__"] = inspect.Signature(options)
            command.__annotations__ = {one.name: one.annotation for one in options}
            return command

        return give

    def typed(self, context: typer.Context, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What was typed of them, by field of the model; of its parts, by theirs."""

        def given(names: Iterable[str]) -> dict[str, Any]:
            return {name: fields[name] for name in names if name in fields and _was_typed(context, name)}

        nested = {name: part for name, options in self.parts.items() if (part := given(options))}
        return given(self.model.model_fields) | nested

    @property
    def names(self) -> dict[str, str]:
        """The option of each field, those of parts as ``field.part``."""
        own = {
            name: option.of(name)
            for name, info in self.model.model_fields.items()
            if (option := _option(info))
        }
        return own | {
            f"{name}.{part}": AsOption().of(part) for name, options in self.parts.items() for part in options
        }

    def _parameters(self, rare: bool, hidden: bool) -> Iterable[inspect.Parameter]:
        for name, info in self.model.model_fields.items():
            option = _option(info)
            if option is not None and (rare or option.is_common):
                is_hidden = hidden and not option.is_common
                yield _parameter(name, _typer_type(info, option), self._shown(name, info, option, is_hidden))
            elif rare and name in self.parts:
                yield from self._parts_of(name, info, hidden)

    def _parts_of(self, name: str, info: FieldInfo, hidden: bool) -> Iterable[inspect.Parameter]:
        for part, annotation in self.parts[name].items():
            kind, shown = get_args(annotation)
            if hidden:
                shown = copy(shown)
                shown.hidden = True
            yield _parameter(part, (kind, getattr(info.default, part)), shown)

    def _shown(self, name: str, info: FieldInfo, option: AsOption, is_hidden: bool) -> Any:
        return typer.Option(
            option.of(name),
            metavar=option.metavar,
            min=None if option.typed else _bound(info),
            help=info.description,
            autocompletion=self.completers.get(name),
            hidden=is_hidden,
        )


def _parameter(name: str, kind: tuple[Any, Any], shown: Any) -> inspect.Parameter:
    # types that are known only now are none that a type checker could read
    annotated: Any = Annotated
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=kind[1], annotation=annotated[kind[0], shown]
    )


def _is_argument(parameter: inspect.Parameter) -> bool:
    return any(type(one).__name__ == "ArgumentInfo" for one in get_args(parameter.annotation))


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == _TYPED


def _option(info: FieldInfo) -> AsOption | None:
    return next((one for one in info.metadata if isinstance(one, AsOption)), None)


def _typer_type(info: FieldInfo, option: AsOption) -> tuple[Any, Any]:
    """What typer makes of an option's words, and its default: none where several can be given."""
    if option.typed is not None:
        return option.typed | None, None
    if get_origin(info.annotation) is tuple:
        return list[_plain(get_args(info.annotation)[0])] | None, None  # type: ignore[misc]
    return info.annotation, info.default


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _bound(info: FieldInfo) -> Any:
    """The least value of a field, or of each of several."""
    item = get_args(info.annotation)[0] if get_origin(info.annotation) is tuple else None
    inner = [one for extra in get_args(item)[1:] for one in getattr(extra, "metadata", [])]
    found = (getattr(one, "ge", None) for one in (*info.metadata, *inner))
    return next((bound for bound in found if bound is not None), None)
