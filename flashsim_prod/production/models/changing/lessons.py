"""What students are taught by: conditions of tables, or of a chain's run on a cocktail."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flashsim_prod.errors import InputError
from flashsim_prod.files import read_text, write_whole
from flashsim_prod.production.order.library import find_card

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle
    from flashsim_prod.physics.training.distilling.sources import Sources
    from flashsim_prod.production.models.changing.distilling import DistilDisplay, DistilOptions

#: shares of the generator events that a chain is run on where there are no tables: something for every model
COCKTAIL = {
    "ttbar": 0.20,
    "dyjets": 0.20,
    "wjets": 0.10,
    "photon_jets": 0.10,
    "qcd_flat": 0.10,
    "vbf_htautau": 0.10,
    "zh_bb": 0.05,
    "qcd": 0.05,
    "zprime_tt": 0.05,
    "graviton_hh": 0.05,
}


class Lessons:
    """Where the conditions of each model come from: tables, or a chain's run on a cocktail, made once."""

    def __init__(
        self,
        teachers: Bundle,
        work: Path | None,
        folder: Path,
        options: DistilOptions,
        display: DistilDisplay,
    ) -> None:
        self._teachers, self._work, self._folder = teachers, work, folder
        self._options, self._display = options, display
        #: lines on tables whose weights nobody looks at
        self.weights: tuple[str, ...] = ()
        self.origin = (
            f"{options.events} generator events x {options.oversample}, seed {options.seed}"
            if work is None
            else "tables"
        )

    @property
    def _most(self) -> int:
        """Objects of each model that are kept."""
        return max(self._options.objects, 200_000)

    @property
    def _terms(self) -> str:
        """What tells a run of the chain from others: another bundle asks its models for other things."""
        return f"{self.origin}, bundle {self._teachers.digest}, at most {self._most} of all cards"

    @property
    def are_named(self) -> bool:
        """Whether somebody named the models, so that one without a lesson is an error."""
        return bool(self._options.models)

    def of(self, name: str) -> Sources:
        """Of one model; `InputError` if there are too few objects, or tables do not go with the bundle."""
        from flashsim_prod.physics.training.distilling.settings import LEAST_OBJECTS, too_few

        found = self._gathered(name) if self._work is None else self._tabulated(name, self._work)
        if len(found) < LEAST_OBJECTS:
            raise InputError(f"{name}: {too_few(len(found))}")
        return found

    def _tabulated(self, name: str, work: Path) -> Sources:
        from flashsim_prod.physics.chain.compatibility import DECLARED
        from flashsim_prod.physics.training.distilling.sources import Sources
        from flashsim_prod.physics.training.drawn import told_weights
        from flashsim_prod.physics.training.tuning.folder import table_for

        table = table_for(DECLARED[name], work / "tables", self._teachers)
        self.weights += told_weights(table, work / "tables" / name)
        return Sources.of_table(table, self._teachers.manifest.models[name])

    def _gathered(self, name: str) -> Sources:
        from flashsim_prod.physics.training.distilling.sources import Sources

        folder = self._folder / "asked"
        whole = folder / "all"
        if not whole.is_file() or read_text(whole).strip() != self._terms:
            shutil.rmtree(folder, ignore_errors=True)
            self._gather(folder)
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            raise InputError(f"{name}: nothing asks for it in these events; give more --events")
        return Sources.load(path)

    def _gather(self, folder: Path) -> None:
        """Run the chain on a cocktail, and keep what each model is asked for."""
        from flashsim_prod.physics.chain.chain import Chain
        from flashsim_prod.physics.training.distilling.cocktail import folds_of
        from flashsim_prod.physics.training.distilling.sources import gather

        options = self._options
        cards = [(find_card(card), max(1, round(share * options.events))) for card, share in COCKTAIL.items()]
        total, done = options.oversample * sum(number for _, number in cards), 0

        def told(events: int) -> None:
            nonlocal done
            done += events
            self._display.step("cocktail", done, total)

        batches = folds_of(cards, options.oversample, options.seed)
        found = gather(Chain(self._teachers), batches, options.seed, self._most, told)
        folder.mkdir(parents=True, exist_ok=True)
        for model, sources in found.items():
            sources.save(folder / f"{model}.safetensors")
        write_whole(folder / "all", self._terms + "\n")
