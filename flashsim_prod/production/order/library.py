"""Cards, sites and bundles by name: what can be requested, where it can run, and what makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from flashsim_prod import resources
from flashsim_prod.core.analyses.ntuple import Ntuple
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.request import BundleRef, Sampling
from flashsim_prod.core.site import Site
from flashsim_prod.core.sizes import counted
from flashsim_prod.core.sources.base import InputFile
from flashsim_prod.core.strict import StrictModel, nearest
from flashsim_prod.errors import ConfigError, FlashSimError, RequestError
from flashsim_prod.files import read_text

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle

Model = TypeVar("Model", bound=StrictModel)


@dataclass(frozen=True)
class Shelf(Generic[Model]):
    """One kind of file that users name: how it is called, what it holds and where it is looked for.

    Attributes
    ----------
    kind : str
        For people.
    model : type
    folders : callable
        Where files are found by their names.
    own : callable
        The one of them that is the user's own.
    """

    kind: str
    model: type[Model]
    folders: Callable[[], list[Path]]
    own: Callable[[], Path]

    def names(self) -> list[str]:
        """All names that are known."""
        return sorted({path.stem for folder in self.folders() for path in folder.glob("*.yaml")})

    def find(self, name_or_file: str) -> Model:
        """What is called so, or is in a file; errors as of `find_card`."""
        path = self.locate(name_or_file)
        by_name = os.sep not in name_or_file and path.name == f"{name_or_file}.yaml"
        found = self.model.from_yaml(self.text(path), self._told(name_or_file, path, by_name))
        named = getattr(found, "name", path.stem)
        if by_name and named != path.stem:
            raise ConfigError(
                f"{path}: name: '{named}' is not the file's name; "
                f"write '{path.stem}' there, or call the file {named}.yaml"
            )
        return found

    def locate(self, name_or_file: str) -> Path:
        """The file of this name, or this file; `RequestError` if there is none."""
        if os.sep not in name_or_file:
            # whatever is called so: what it is, if no file, is told when it is read
            places = [folder / f"{name_or_file}.yaml" for folder in self.folders()]
            files = [path for path in places if os.path.lexists(path)]
            if len({self.text(path) for path in files}) > 1:
                raise RequestError(
                    f"{self.kind} '{name_or_file}' is in {' and '.join(map(str, files))}, and they differ; "
                    "rename one of them, or say which one, as a path"
                )
            if files:
                return files[0]
        if os.sep in name_or_file or name_or_file.endswith((".yaml", ".yml")):
            return Path(name_or_file).expanduser()
        raise RequestError(f"no {self.kind} '{name_or_file}'{nearest(name_or_file, self.names())}")

    def text(self, path: Path) -> str:
        """What is in a file."""
        try:
            return read_text(path)
        except OSError as error:
            raise RequestError(f"{path}: this {self.kind} file cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RequestError(f"{path}: this {self.kind} file is not text") from error

    def all(self, broken: Callable[[str], None] | None = None) -> list[Model]:
        """All that have a name, in that order; `broken`, if given, is told what is wrong with others."""
        found = []
        for name in self.names():
            try:
                found.append(self.find(name))
            except FlashSimError as error:
                if broken is None:
                    raise
                broken(str(error))
        return found

    def _told(self, name_or_file: str, path: Path, by_name: bool) -> str:
        """How errors call a file: as it was typed; a user's own, found by its name, with its folder."""
        if not by_name:
            return name_or_file
        return str(path) if path.parent == self.own() else path.name


CARDS = Shelf("card", ProcessCard, resources.card_folders, resources.own_cards_dir)
SITES = Shelf("site", Site, resources.site_folders, resources.own_sites_dir)


def find_card(name_or_file: str) -> ProcessCard:
    """The card of this name, shipped or the user's own, or the one in a file.

    Raises
    ------
    RequestError
        If there is no such card (the nearest name is suggested), or there are two that differ.
    ConfigError
        If the file does not follow the schema.
    """
    return CARDS.find(name_or_file)


def find_site(name_or_file: str) -> Site:
    """The site of this name, shipped, brought by an engine or the user's own, or in a file.

    Errors are as for `find_card`.
    """
    return SITES.find(name_or_file)


def all_cards(broken: Callable[[str], None] | None = None) -> list[ProcessCard]:
    """Every card, by name; see `Shelf.all`."""
    return CARDS.all(broken)


def all_sites(broken: Callable[[str], None] | None = None) -> list[Site]:
    """Every site, by name; see `Shelf.all`."""
    return SITES.all(broken)


@dataclass(frozen=True)
class BundleFound:
    """The bundle that an order is bound to, verified.

    Attributes
    ----------
    needs : frozenset of str
        Generator-level collections and scalars that its models use.
    missing : tuple of str
        What its files will be without, a line each.
    bundle : Bundle
        None where no event is to be made.
    ntuple : Ntuple, optional
        What it makes, if that is an analysis' and no NANOAOD.
    """

    ref: BundleRef
    tag: str
    title: str
    needs: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    bundle: Bundle | None = None
    ntuple: Ntuple | None = None

    def draws(self, sampling: Sampling) -> str:
        """How attributes are drawn: by students in steps of their own, and by all other flows as asked."""
        from flashsim_prod.physics.chain.distilled import told_students

        if self.bundle is None or self.ntuple is not None:
            return ""
        asked = f": {sampling.solver} in {counted(sampling.evaluations, 'evaluation')}"
        students = told_students(self.bundle.manifest.models)
        return f"{students}; others{asked}" if students else f"flows{asked}"

    def check_refines(self, *, asked: bool) -> None:
        """`RequestError` if what is unrefined is asked for, and nothing that the bundle draws is refined."""
        if not asked or self.bundle is None:
            return
        if not any(one.refiner for one in self.bundle.manifest.models.values()):
            raise RequestError(
                f"--keep-unrefined: no model of bundle {self.bundle.name} is refined (see: train refine); "
                "leave it out, or take another --bundle"
            )

    def check_sampling(self, sampling: Sampling) -> None:
        """`BundleError` if the bundle has a correction of draws that are integrated otherwise."""
        from flashsim_prod.physics.chain.compatibility import check_samplings

        if self.bundle is not None:
            check_samplings(self.bundle, sampling)


def asked_energy(
    era: str, energy_tev: float | None, told: Callable[[], float | None], card: ProcessCard | None
) -> float | None:
    """Energy of the collisions that are asked for [TeV]; ``None`` if nothing tells it.

    Parameters
    ----------
    era, energy_tev
        As typed.
    told : callable
        What the input says.
    card : ProcessCard, optional
        Whose first energy counts where nothing else does.
    """
    from flashsim_prod.physics.eras import find_era

    if era:
        return find_era(era).energy_tev
    tev = energy_tev if energy_tev is not None else told()
    return card.energies[0].tev if tev is None and card is not None else tev


def default_bundle(energy_tev: float | None, wanted_nano: str | None) -> str | None:
    """The bundle of collisions of this energy, if they have one of their own; ``None``: that of all others.

    Parameters
    ----------
    wanted_nano : str, optional
        Version of NanoAOD that was asked for; one of other years is not for these models.
    """
    from flashsim_prod.core.names import NANO_VERSION
    from flashsim_prod.physics.chain.bundle import DEFAULT_OF, imported_bundles, shipped_bundles
    from flashsim_prod.physics.nanoaod.versions.names import default_version

    if energy_tev is None:
        return None
    version = default_version(energy_tev, NANO_VERSION)
    name = DEFAULT_OF.get(version)
    if name is None or wanted_nano not in (None, version):
        return None
    return name if name in (*shipped_bundles(), *imported_bundles()) else None


def find_checked_bundle(name_or_path: str | None) -> BundleFound:
    """A bundle by name (``None``: the default one) or by path, every digest checked, that jobs can run.

    Raises
    ------
    BundleError
        If it is missing, not whole, its models are not those that this software declares, or a correction
        is of another one.
    """
    from flashsim_prod.physics.chain.bundle import DEFAULT, find_bundle, load_bundle
    from flashsim_prod.physics.chain.compatibility import (
        check_corrections,
        check_models,
        check_needs,
        told_missing,
    )

    wanted = name_or_path or DEFAULT
    bundle = load_bundle(find_bundle(wanted))
    # what every job would fail at
    models = check_models(bundle)
    check_needs(bundle)
    check_corrections(bundle)
    made = {output for model in models for output in model.outputs}
    needs = frozenset(use for model in models for use in model.uses if use not in made)
    return BundleFound(
        BundleRef(path=name_of(bundle), digest=bundle.digest),
        bundle.manifest.tag,
        f"{bundle.title} ({bundle.era})" if bundle.manifest.era else bundle.title,
        needs,
        told_missing(bundle.manifest.models),
        bundle,
    )


def name_of(bundle: Bundle) -> str:
    """What requests call a bundle: by its name if it is shipped, else by its folder."""
    is_shipped = bundle.path.parent == resources.bundles_dir()
    return bundle.path.name if is_shipped else str(bundle.path)


def drawn_with(found: BundleFound, wanted: Sampling | None) -> tuple[BundleFound, Sampling]:
    """The bundle with what draws as is wanted: without its students, where these take other steps.

    Raises
    ------
    BundleError
        If the bundle has a correction of draws that are integrated otherwise.
    """
    if found.bundle is None:
        return found, wanted or Sampling()
    from flashsim_prod.physics.chain import teachers

    bundle, sampling = teachers.drawn_with(found.bundle, wanted)
    found = replace(found, bundle=bundle)
    found.check_sampling(sampling)
    return found, sampling


def find_analysis(name_or_path: str) -> BundleFound:
    """The bundle of an analysis by name or path, every digest checked, that jobs can run.

    Raises
    ------
    BundleError
        If it is missing, not whole, or of no analysis.
    """
    from flashsim_prod.physics.analysis.producer import AnalysisProducer
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    bundle = load_bundle(find_bundle(name_or_path))
    # what every job would fail at
    regression = AnalysisProducer(bundle).regression
    return BundleFound(
        BundleRef(path=str(bundle.path), digest=bundle.digest),
        bundle.manifest.tag,
        bundle.title,
        frozenset(regression.gen_needs),
        bundle=bundle,
        ntuple=regression.analysis.ntuple(),
    )


def written_as(wanted: str | None, energy_tev: float, bundle: Bundle) -> tuple[str, tuple[str, ...]]:
    """The version of NanoAOD that is written, and what is not quite as that has it.

    `RequestError` if there are no tables of the one `wanted`.
    """
    from flashsim_prod.physics.chain.coverage import remarks
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.nanoaod.versions.names import default_version

    version = Schema.load(wanted or default_version(energy_tev, bundle.nano)).version
    return version, tuple(remarks(bundle, version))


def in_era(
    card: ProcessCard,
    energy_tev: float | None,
    bundle: BundleFound,
    wanted: str = "",
    files: Sequence[InputFile] = (),
) -> tuple[ProcessCard, tuple[str, ...]]:
    """The card with the pileup of the bundle's era, and what its user should know of that.

    Parameters
    ----------
    wanted : str
        The era that was asked for, if one was.
    files : sequence of InputFile
        That take the place of the generator.

    Raises
    ------
    ConfigError
        If an era is not known.
    RequestError
        If the request is of another era than the bundle.
    """
    from flashsim_prod.physics.eras import OfBundle, era_in

    energy = card.energy(energy_tev)
    if bundle.bundle is None or bundle.ntuple is not None or energy is None:
        if wanted and bundle.ntuple is not None:
            raise RequestError("--era is of bundles of object models, --analysis of none: leave it out")
        return card, ()
    own = OfBundle(bundle.bundle.name, bundle.bundle.era, is_said=bundle.bundle.manifest.era is not None)
    profile, remarks = own.profile_for(energy.pileup, energy.tev, wanted)
    for name in dict.fromkeys(file.dataset or file.lfn or file.url for file in files):
        remarks += own.check_told(era_in(name), name, wanted)
    energies = tuple(
        one.model_copy(update={"pileup": profile}) if one is energy else one for one in card.energies
    )
    return card.model_copy(update={"energies": energies}), remarks
