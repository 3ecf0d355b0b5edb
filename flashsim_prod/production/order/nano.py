"""Which version of NanoAOD a request is written as, and what its user should know of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle


def chosen_version(wanted: str | None, energy_tev: float, made_for: str) -> str:
    """`wanted`, or what goes with the energy and with what the models were made for.

    Raises
    ------
    RequestError
        If there are no tables of it.
    """
    from flashsim_prod.physics.nanoaod.schema import Schema
    from flashsim_prod.physics.nanoaod.versions.names import default_version

    return Schema.load(wanted or default_version(energy_tev, made_for)).version


def remarks(bundle: Bundle, version: str) -> Iterator[str]:
    """What is not as the version has it if the models of `bundle` were made for another; a line each."""
    from flashsim_prod.physics.chain.compatibility import check_models
    from flashsim_prod.physics.chain.coverage import coverage

    if bundle.nano == version:
        return
    found = coverage(check_models(bundle), bundle.nano, version)
    yield (
        f"NanoAOD {version} by models made for {bundle.nano}: {len(found.left_out)} of their attributes are "
        f"left out, which {version} does not have or means otherwise ({_by_owner(found.left_out)}), and "
        f"{len(found.absent)} of {version} are not made; their names: flashsim-prod bundle show {bundle.name}"
    )
    for name, what in found.otherwise.items():
        yield f"{name} of NanoAOD {version} will hold {what}"


def _by_owner(names: Iterable[str]) -> str:
    """How many branches of each collection or group."""
    numbers = Counter(name.partition("_")[0] for name in names)
    return ", ".join(f"{owner} {number}" for owner, number in sorted(numbers.items()))
