"""What every kind of source of generator-level events says of itself; nothing is opened here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.strict import StrictModel


class CarriedBranch(StrictModel):
    """A branch of the input that output files have as it is, beyond what every version of NanoAOD declares.

    Attributes
    ----------
    collection : str or None
        Whose attribute it is; its own name for a plain array (``LHEPdfWeight``), ``None`` for a scalar.
    """

    name: str
    type: str = Field(description="as numpy calls it")
    title: str = ""
    collection: str | None = None


class InputFile(StrictModel):
    """A file of generator-level events."""

    url: str
    entries: int = Field(ge=1)
    bytes: int | None = Field(default=None, ge=0)
    lfn: str | None = Field(default=None, description="its name in the catalogue that it was found in")
    dataset: str | None = Field(default=None, description="the catalogue's dataset that it is of")
    identity: str | None = Field(
        default=None, description="what tells it from another file of its name: its UUID, or a digest"
    )

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without an identity where none is known, as before any was: digests of such requests stay."""
        fields: dict[str, Any] = handler(self)
        return {key: value for key, value in fields.items() if key != "identity" or value is not None}

    @property
    def is_url(self) -> bool:
        """Whether it is opened by its address from anywhere, rather than on a disk of this machine."""
        return "://" in self.url


class Source(StrictModel):
    """A source of generator-level events, with all that a job needs to find its own.

    Attributes
    ----------
    kind : str
        Its name in ``request.yaml``; which class it is.
    files : tuple of InputFile
        None of a kind that needs none.
    runs_generator : bool
        Whether a generator is run: its rate then counts in plans, its settings are the card's, and the time
        of its events is that of the stage ``generate``.
    seeds_by_event : bool
        Whether all that is drawn for an event depends on its number in the dataset and not on the job that
        it is in, so that a request gives the same events however it is split.
    """

    kind: str
    runs_generator: ClassVar[bool]
    seeds_by_event: ClassVar[bool] = False

    files: tuple[InputFile, ...] = Field(default=(), description="that jobs read from, end to end")

    @property
    def available(self) -> int | None:
        """Generator events that it has; ``None`` if there is no end to them."""
        return sum(file.entries for file in self.files) if self.files else None

    @property
    def stage(self) -> str:
        """What making its events is called where time is told by stages."""
        return "generate" if self.runs_generator else "read"

    @property
    def parents(self) -> tuple[str, ...]:
        """Datasets that its files are of, each once."""
        return tuple(dict.fromkeys(file.dataset for file in self.files if file.dataset))

    @property
    def sent(self) -> tuple[InputFile, ...]:
        """Files that have to be brought to a job that does not see the disks of this machine."""
        return tuple(file for file in self.files if not file.is_url)

    def sent_for(self, first: int, number: int) -> tuple[InputFile, ...]:
        """Those of them that a job of the generator events [first, first + number) needs."""
        return tuple(file for file in self.opened_for(first, number) if not file.is_url)

    def more_branches(self) -> tuple[CarriedBranch, ...]:
        """Branches that output files have because the input has them."""
        return ()

    def contents(self) -> tuple[tuple[str, str], ...]:
        """What becomes of the input, in labelled lines for people; none where nothing is read."""
        return ()

    def vetoes(self, card: ProcessCard) -> bool:
        """Whether the shower that `card` sets up may throw events away, so that the numbers of events in jobs
        and requests are of those that are tried; how many are left is known afterwards."""
        return False

    def files_of(self, first: int, number: int) -> Iterator[InputFile]:
        """The files that hold some of the generator events [first, first + number), counted from 0."""
        begin = 0
        for file in self.files:
            end = begin + file.entries
            if begin < first + number and end > first:
                yield file
            begin = end

    def opened_for(self, first: int, number: int) -> tuple[InputFile, ...]:
        """The files that a job of these generator events opens: theirs, and the first one, which decides for
        all jobs which branches there are and what the shower starts with."""
        return tuple(dict.fromkeys((*self.files[:1], *self.files_of(first, number))))

    def repeated_for(self, gen_events: int) -> Self:
        """The same, its files named again and again until there are `gen_events`: for measurements only."""
        rounds = 1 if self.available is None else -(-gen_events // self.available)
        return self.model_copy(update={"files": self.files * rounds})

    def generator(self, card: ProcessCard) -> str:
        """What made the events, as output files tell it."""
        raise NotImplementedError

    def summary(self, card: ProcessCard) -> str:
        """What it is, in a line for people."""
        return self.generator(card)

    def headline(self, energy_tev: float) -> str:
        """What it is, in a few words."""
        raise NotImplementedError
