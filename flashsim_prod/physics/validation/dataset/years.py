"""Which version of NanoAOD and which years samples are of, and what of two samples is not the same thing."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.detectors import LEARNED_FROM, are_apart, detector_of_file, together
from flashsim_prod.physics.era_of_file import era_of_file
from flashsim_prod.physics.eras import ERAS, era_of_version
from flashsim_prod.physics.nanoaod.reader import NanoFile
from flashsim_prod.physics.nanoaod.versions.names import made_otherwise, other_things


@dataclass(frozen=True)
class Years:
    """What a sample is of.

    Attributes
    ----------
    nano : str
        Version of NanoAOD whose meaning its attributes have; empty if nothing tells it.
    era : str
        Data-taking period, that of the version if nothing tells it; empty if it is one that is not known.
    is_told : bool
        Whether something tells the period.
    detector : str
        Digest of the reference detector that made it, or that its models learned from; empty if that is
        not known.
    """

    nano: str = ""
    era: str = ""
    is_told: bool = False
    detector: str = ""

    @property
    def told(self) -> str:
        """The period, for people."""
        if not self.era:
            return "years that are not known here"
        by = "" if self.is_told else f", as all of NanoAOD {self.nano} that do not say it"
        return f"{ERAS[self.era].told} ({self.era}{by})"


#: of what nothing is said
UNKNOWN = Years()


def years_of(file: NanoFile) -> Years:
    """What the events of a file are of."""
    about = file.provenance()
    made_for = about.get("made_for_nano", ())
    nano = made_for[0] if made_for else file.version
    try:
        era = era_of_file(file)
    except InputError:
        return Years(nano, "", True)
    detector = detector_of_file(about) or together(about.get(LEARNED_FROM, ()))
    return Years(nano, era or era_of_version(nano), bool(era), detector)


def not_the_same(first: Years, second: Years) -> dict[str, str]:
    """Branches that have one name in both and are not the same thing, and why."""
    return other_things(first.nano, second.nano) if first.nano and second.nano else {}


def refuse_other_meaning(where: str, of_file: Years, bundle: Bundle, products: Container[str]) -> None:
    """`InputError` if a file means another thing by attributes of `products` than the models of a bundle."""
    other = not_the_same(of_file, Years(bundle.nano))
    if hit := sorted({owner for name in other if (owner := name.partition("_")[0]) in products}):
        raise InputError(
            f"{where} is NanoAOD {of_file.nano}, and bundle {bundle.name} was made for {bundle.nano}: "
            f"attributes of {', '.join(hit)} are not the same in both; take files of {bundle.nano}, or name "
            "models with --model"
        )


def of_other_years(where: str, of_file: Years, bundle: Bundle) -> str:
    """What must be known of a file that is not of a bundle's years; empty if it is."""
    mine = Years(bundle.nano, bundle.era, bundle.manifest.era is not None)
    if not of_file.nano or of_file.era == mine.era:
        return ""
    return f"{where} is of {of_file.told}, and bundle {bundle.name} of {mine.told}: they are not to agree"


def differences(sample: Years, reference: Years, collections: Container[str]) -> Iterator[str]:
    """What a reader must know of two samples that are not of the same years or version, in lines.

    `collections` are those that are compared.
    """
    if (sample.era, bool(sample.nano)) != (reference.era, bool(reference.nano)):
        yield f"the dataset is of {sample.told}, the reference of {reference.told}: they are not to agree"
    elif are_apart(sample.detector, reference.detector):
        yield (
            f"the dataset is of reference detector {sample.detector}, the reference of {reference.detector}: "
            "they are not to agree"
        )
    if not sample.nano or not reference.nano:
        return
    for name, (mine, theirs) in made_otherwise(sample.nano, reference.nano).items():
        if name in collections:
            yield f"{name}: the dataset has {mine}, the reference {theirs}"
    if other := not_the_same(sample, reference):
        yield (
            f"not compared, since NanoAOD {sample.nano} and {reference.nano} mean another thing by it: "
            f"{', '.join(sorted(other))}"
        )
