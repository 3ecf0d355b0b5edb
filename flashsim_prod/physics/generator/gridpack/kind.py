"""Gridpacks as the source of a request: a card names one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from flashsim_prod.core.card import Energy, ProcessCard
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.gridpack import GridpackEvents
from flashsim_prod.core.splitting import SimulateJob
from flashsim_prod.errors import ConfigError, InputError, NodeError
from flashsim_prod.files import local_path
from flashsim_prod.physics.generator.gridpack.pack import Gridpack, find_gridpack, run, unpack
from flashsim_prod.physics.generator.gridpack.source import GridpackSource
from flashsim_prod.physics.generator.kinds import Locate, SourceKind
from flashsim_prod.physics.generator.lhe.branches import branches_of_hard_process
from flashsim_prod.physics.generator.lhe.file import count_events
from flashsim_prod.physics.generator.lhe.kind import settled_told, showered_for, told_of
from flashsim_prod.physics.generator.lhe.shower import check_shower
from flashsim_prod.physics.generator.lhe.survey import Survey, survey

#: events and seed of the run that shows what a gridpack makes
_TRIED, _SEED = 10, 1
#: energies are the same if they agree to this, of themselves
_SAME = 1e-3


class GridpackKind(SourceKind):
    """A gridpack that a card names; it is run once when a request is made, to see what it makes."""

    def of(self, files: Sequence[InputFile]) -> Source:
        raise InputError("a gridpack is named by a card (gridpack:), not as --input")

    def of_card(
        self, card: ProcessCard, shower: ProcessCard | None, energy_tev: float | None
    ) -> tuple[Source, ProcessCard]:
        """The source that `card` names, and the card with all that the shower needs.

        Raises
        ------
        InputError
            If the gridpack is not there, is none, fails here, or is of another energy than the card.
        ConfigError
            If Pythia8 does not take the settings of the shower.
        """
        with tempfile.TemporaryDirectory(prefix="gridpack_") as name:
            folder = Path(name)
            pack = find_gridpack(card.gridpack, folder)
            inside = folder / "run"
            inside.mkdir()
            unpack(pack, inside)
            path = self._tried(pack, inside)
            of = survey(path)
            entry = _energy(card, of, energy_tev)
            card = showered_for(
                card.model_copy(update={"energies": (entry,)}), shower, of.head, card.gridpack
            )
            check_shower(card, of, path)
            source = GridpackEvents(
                # a path is sent to jobs, an address is not
                url=local_path(card.gridpack),
                bytes=pack.bytes,
                sha256=pack.sha256,
                carried=branches_of_hard_process(of),
                told=settled_told(told_of(of), card),
            )
        return source, card

    @staticmethod
    def _tried(pack: Gridpack, inside: Path) -> str:
        try:
            path = str(run(pack, inside, _TRIED, _SEED, 1))
        except NodeError as error:
            # here it tells of the gridpack, before any job: it is not to be ordered
            raise InputError(str(error)) from error
        made = count_events(path)
        if made < _TRIED:
            raise InputError(f"gridpack {pack.url} made {made} events, {_TRIED} were asked for")
        return path

    def check(self, source: Source, card: ProcessCard) -> None:
        # the gridpack has been run and its first event showered, or there would be no source
        return

    def open(
        self, source: Source, request: Request, job: SimulateJob, locate: Locate = str
    ) -> GridpackSource:
        assert isinstance(source, GridpackEvents)
        return GridpackSource(source, request, job, locate)


def _energy(card: ProcessCard, of: Survey, typed: float | None) -> Energy:
    """The card's entry for the energy of the gridpack, with its cross section where the card has none."""
    told = of.head.energy_tev
    entry = next((one for one in card.energies if abs(one.tev - told) <= _SAME * told), None)
    if entry is None or (typed is not None and abs(typed - told) > _SAME * told):
        named = f"--energy {typed:g}" if entry is not None and typed is not None else f"card {card.name}"
        offered = " and ".join(f"{one.tev:g}" for one in card.energies)
        raise ConfigError(
            f"{named}: gridpack {card.gridpack} is of {told:g} TeV"
            + ("" if entry is not None else f", the card of {offered} TeV")
        )
    found = of.head.cross_section_pb
    if entry.cross_section_pb is None and found > 0:
        return entry.model_copy(update={"cross_section_pb": found})
    return entry


KIND = GridpackKind()
