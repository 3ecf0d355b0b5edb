"""From a request's source to the events of one job: each kind is opened by the module that knows it."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import InputError, RequestError
from flashsim_prod.physics.generator.source import EventSource

if TYPE_CHECKING:
    from flashsim_prod.physics.nanoaod.runs import RunSums

#: by the kind of source, the module whose ``KIND`` opens it; of files, the first that takes one has it
_MODULES = {
    "pythia": "flashsim_prod.physics.generator.pythia",
    "lhe": "flashsim_prod.physics.generator.lhe.kind",
    "gridpack": "flashsim_prod.physics.generator.gridpack.kind",
    "hepmc": "flashsim_prod.physics.generator.hepmc.kind",
    "nano": "flashsim_prod.physics.generator.existing",
}

#: where a job finds what is called so on the machine that made the request
Locate = Callable[[str], str]


@dataclass(frozen=True)
class InputFacts:
    """What input tells of its process by itself; None where it does not.

    Attributes
    ----------
    primary : str or None
        Name of its primary dataset.
    datasets : tuple of str
        The datasets that it is of.
    energy_tev : float or None
    cross_section_pb : float or None
    heavy : frozenset of int or None
        PDG ids of the top quarks and bosons that its hard process has in most events.
    is_whole : bool
        Whether the hard process is told whole, so that what `heavy` lacks is not there.
    fallback : str or None
        What its primary dataset may be called where nobody says anything better.
    """

    primary: str | None = None
    datasets: tuple[str, ...] = ()
    energy_tev: float | None = None
    cross_section_pb: float | None = None
    heavy: frozenset[int] | None = None
    is_whole: bool = False
    fallback: str | None = None


class SourceKind(ABC):
    """One kind of source: what can be said of it when a request is made, and how a job opens it."""

    def takes(self, url: str) -> bool:
        """Whether this file, named as input, is of this kind; by its name, or by its first bytes."""
        return False

    def entries(self, url: str) -> int:
        """The number of events of such a file; `InputError` if it cannot be used."""
        raise NotImplementedError

    def identity(self, url: str) -> str | None:
        """What tells this file from another one of its name; a copy has the same.

        ``None`` if that cannot be told; by default it is a digest of all that is in a file on disk.
        """
        return None if "://" in url else digest_of(url)

    @abstractmethod
    def of(self, files: Sequence[InputFile]) -> Source:
        """The source of these files, none for a kind that has none."""

    def require(self, source: Source, needs: Collection[str]) -> None:
        """See that all files have what models need of them; `InputError` with all that they lack."""
        return

    def facts(self, source: Source) -> InputFacts:
        """What the files tell of their process."""
        return InputFacts()

    def showered(
        self, card: ProcessCard, shower: ProcessCard | None, source: Source | None = None
    ) -> ProcessCard:
        """`card` with the tune and the settings of `shower`, or its own ones, of a kind that has a shower.

        What `source` needs of the shower and nobody says is added.

        Raises
        ------
        RequestError
            If a shower was named for a source that has none.
        ConfigError
            If it sets what cannot be set.
        """
        if shower is not None:
            raise RequestError("--shower is for LHE files as --input; leave it out")
        return card

    def settled(self, source: Source, card: ProcessCard) -> Source:
        """`source` as it says of itself once it is known by which `card` its events are showered."""
        return source

    def runs(
        self, source: Source, first: int, number: int, folds: int, locate: Locate | None = None
    ) -> tuple[RunSums, ...]:
        """What gen events [first, first + number) count for, if that is not the sum of their weights.

        Parameters
        ----------
        locate : callable, optional
            Where a job finds the files; without it none is opened, and averages of weights are left out.
        """
        return ()

    def of_card(
        self, card: ProcessCard, shower: ProcessCard | None, energy_tev: float | None
    ) -> tuple[Source, ProcessCard]:
        """The source that `card` names by itself, and the card with what was found of it.

        Raises
        ------
        FlashSimError
            If jobs would all fail at it.
        """
        card = self.showered(card, shower)
        source = self.of(())
        self.check(source, card)
        return source, card

    @abstractmethod
    def check(self, source: Source, card: ProcessCard) -> None:
        """See, when a request is made, that jobs will not all fail; `FlashSimError` if they would."""

    @abstractmethod
    def open(self, source: Source, request: Request, job: SimulateJob, locate: Locate = str) -> EventSource:
        """The events of `job`; errors as of the source's own class."""


def digest_of(path: str) -> str:
    """A digest of all that is in a file; `InputError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def first_event_digest(text: str) -> str:
    """What tells a file by its first event alone."""
    return f"first-event:{hashlib.sha256(text.encode()).hexdigest()}"


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


def kind_of_card(card: ProcessCard) -> SourceKind:
    """The kind of a request that names no input but this card."""
    return find_kind("gridpack") if card.gridpack else kind_without_files()
