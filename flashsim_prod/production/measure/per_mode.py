"""A number for all modes of a measurement, and others for some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import BeforeValidator, PlainSerializer

from flashsim_prod.core.choices import Mode
from flashsim_prod.errors import RequestError


@dataclass(frozen=True)
class PerMode:
    """A number for all modes, and others for some: ``--copies 1 --copies fullsim=4``."""

    common: int = 1
    of: Mapping[Mode, int] = field(default_factory=dict)

    @classmethod
    def parsed(cls, option: str, words: Sequence[str]) -> Self:
        """From ``N`` and ``MODE=N`` as typed; `RequestError` names the option."""
        try:
            return cls.of_words(words)
        except ValueError as error:
            raise RequestError(f"{option}: {error}") from error

    @classmethod
    def of_words(cls, words: Sequence[str]) -> Self:
        """The same; `ValueError` names the word that is none."""
        common, of = 1, {}
        for word in words:
            mode, _, number = word.rpartition("=")
            if not number.isdecimal() or int(number) < 1 or (mode and mode not in list(Mode)):
                modes = ", ".join(Mode)
                raise ValueError(f"'{word}' is not N or MODE=N, a mode being one of {modes}")
            if mode:
                of[Mode(mode)] = int(number)
            else:
                common = int(number)
        return cls(common, of)

    def __getitem__(self, mode: Mode) -> int:
        return self.of.get(mode, self.common)


def _read(value: object) -> object:
    if isinstance(value, PerMode):
        return value
    words = value if isinstance(value, list | tuple) else [value]
    return PerMode.of_words([str(word) for word in words])


def _written(value: PerMode) -> int | list[int | str]:
    others = [f"{mode}={number}" for mode, number in value.of.items()]
    return [value.common, *others] if others else value.common


#: as a field of a file: ``4``, or ``[1, fullsim=4]``
PerModeField = Annotated[PerMode, BeforeValidator(_read), PlainSerializer(_written)]
