"""From a request's source to the events of one job: each kind is opened by the module that knows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import RequestError
from flashsim_prod.physics.generator.source import EventSource

#: by the kind of source, the module whose ``KIND`` opens it; of files, the first that takes one has it
_MODULES = {
    "pythia": "flashsim_prod.physics.generator.pythia",
    "lhe": "flashsim_prod.physics.generator.lhe.kind",
    "nano": "flashsim_prod.physics.generator.existing",
}

#: where a job finds what is called so on the machine that made the request
Locate = Callable[[str], str]


class SourceKind(ABC):
    """One kind of source: what can be said of it when a request is made, and how a job opens it."""

    def takes(self, url: str) -> bool:
        """Whether this file, named as input, is of this kind; by its name, or by its first bytes."""
        return False

    def entries(self, url: str) -> int:
        """The number of events of such a file; `InputError` if it cannot be used."""
        raise NotImplementedError

    @abstractmethod
    def of(self, files: Sequence[InputFile]) -> Source:
        """The source of these files, none for a kind that has none."""

    def card(self, source: Source, named: ProcessCard | None, shower: ProcessCard | None) -> ProcessCard:
        """The card of a request of this source.

        Parameters
        ----------
        source : Source
        named : ProcessCard or None
            The one that was named for the request.
        shower : ProcessCard or None
            The one whose tune and settings were named for the shower.

        Raises
        ------
        RequestError
            If the source needs a card and has none, or cannot have one.
        """
        if named is None:
            raise RequestError("CARD is missing; say which process it is (see: flashsim-prod cards)")
        if shower is not None:
            raise RequestError("--shower is for LHE files as --input; a card has its own settings")
        return named

    @abstractmethod
    def check(self, source: Source, card: ProcessCard) -> None:
        """See, when a request is made, that jobs will not all fail; `FlashSimError` if they would."""

    @abstractmethod
    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> EventSource:
        """The events of `job`; errors as of the source's own class."""


@cache
def find_kind(name: str) -> SourceKind:
    """The kind of this name, as in a request's ``source.kind``."""
    kind: SourceKind = import_module(_MODULES[name]).KIND
    return kind


def kind_of_file(url: str) -> SourceKind:
    """The kind that an input file is of; what no other takes is NanoAOD, or is refused as none."""
    kinds = [find_kind(name) for name in _MODULES]
    return next((kind for kind in kinds if kind.takes(url)), find_kind("nano"))


def kind_without_files() -> SourceKind:
    """The kind of a request that names no input."""
    return find_kind("pythia")
