"""The reference detector's attributes moved to the quantiles and rank correlations of real files.

Every attribute, in the form in which the chain learns it (free of the others, so that what belongs together
stays together), is moved from the distribution that the parametric response gives to that of centrally
produced simulation, source by source: first so that pairs go together as they do there, then in size. The
table holds quantiles and correlations of both sides, and nothing else is known of real events here;
``flashsim-prod validate detector FILES --write FILE`` makes it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from scipy.special import ndtr, ndtri

from flashsim_prod.core.names import NANO_VERSION
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.products import production_order, with_made
from flashsim_prod.physics.chain.registry import AS_DECLARED, plain_models_of, variant_of
from flashsim_prod.physics.definitions import links
from flashsim_prod.physics.detector.draws import Bools, Floats, stream
from flashsim_prod.physics.detector.retuning.table import Source, Table, covariates, parse, parts
from flashsim_prod.physics.events import Collection, Column, Events

#: what tells where an object was before
_OLD = "parametric"
#: normal scores end here
_FARTHEST = 4.0


@cache
def shipped(name: str = "fullsim.txt") -> Table:
    """A table that comes with the package."""
    return parse(files(__package__).joinpath("tables", name).read_text(encoding="utf-8"))


def retuned(events: Events, table: Table, seed: int, version: str = NANO_VERSION) -> Events:
    """`events` of the parametric response with all that `table` knows moved.

    Parameters
    ----------
    version : str
        Of NanoAOD, whose attributes are moved, and whose definitions give what follows from them.
    """
    parametric = events
    there = frozenset((*events.collections, *events.scalars))
    models = [model for model in plain_models_of(version) if model.outputs & there]
    for name in production_order(models):
        makers = [model for model in models if model.produces == name]
        known = any(key.partition(".")[0] in (model.name, name) for model in makers for key in table)
        is_other = variant_of(makers[0]) != AS_DECLARED
        if (known or is_other) and all(use in events for model in makers for use in model.uses):
            made = [_made(parametric, events, model, table, seed) for model in makers]
            events = _relinked(events, with_made(events, makers, made), name)
    return events


def _made(
    parametric: Events, events: Events, model: ObjectModel, table: Table, seed: int
) -> tuple[Rows, dict[str, Column]]:
    """The sources that gave something, and the attributes of what they gave.

    Attributes are held against their sources as both were, and follow these to what they have become.
    """
    then, now = model.source(parametric), model.source(events)
    origins = model.match(parametric, then), model.match(events, now)
    chosen = np.flatnonzero((origins[0] >= 0) & (origins[1] >= 0))
    then, now = (rows.take(origin[chosen]) for rows, origin in zip((then, now), origins, strict=True))
    objects = parametric.scalars if model.scalar else parametric[model.produces].columns
    targets = model.express_targets({name: column[chosen] for name, column in objects.items()}, then)
    new = dict(targets)
    for part, chosen_part in parts(model, then, targets).items():
        # of a source with too few objects in real files, what is known of the whole collection
        key = part if part in table else model.produces
        if key in table and chosen_part.any():
            rng = stream(seed, f"retuned {part}")
            own = {name: column[chosen_part] for name, column in targets.items()}
            given = covariates(model, own, then.take(np.flatnonzero(chosen_part)))
            new |= _put(moved(rng, own, given, table[key]), new, chosen_part)
    restored = model.restore({name: value.astype(np.float64) for name, value in new.items()}, now)
    if not model.scalar:
        restored[_OLD] = chosen
    return now, restored


def _put(found: dict[str, Column], targets: dict[str, Column], chosen: Bools) -> dict[str, Column]:
    """Those of `targets` that were `found` anew, for the objects that were `chosen`."""
    result = {}
    for name, column in found.items():
        result[name] = targets[name].astype(np.float64)
        result[name][chosen] = column
    return result


def moved(
    rng: np.random.Generator, targets: dict[str, Column], given: dict[str, Floats], source: Source
) -> dict[str, Column]:
    """Those of `targets` that the table knows, with the correlations and quantiles of real files.

    Parameters
    ----------
    given : mapping of str to array
        What stays as it is, but has correlations: where an object is, and what it came of.
    """
    columns = {**given, **{name: value.astype(np.float64) for name, value in targets.items()}}
    scores = np.stack(
        [
            ndtri(np.clip(source.before[name].below(rng, columns[name]), ndtr(-_FARTHEST), ndtr(_FARTHEST)))
            for name in source.names
        ],
        axis=1,
    )
    shares = ndtr(np.clip(scores @ source.turn, -_FARTHEST, _FARTHEST))
    found: dict[str, Column] = {}
    for place, name in enumerate(source.names):
        if name in source.after:
            value = source.after[name].at(shares[:, place])
            found[name] = value if targets[name].dtype.kind == "f" else np.rint(value)
    return found


def _relinked(before: Events, after: Events, name: str) -> Events:
    """`after` with photons that name the electrons that they named before, and without what tells them."""
    if name not in after.collections or _OLD not in after[name]:
        return after
    objects, old = after[name], after[name][_OLD]
    # links that the other collections are still matched by
    columns = {key: one[old] for key, one in before[name].columns.items()}
    columns |= {key: one for key, one in objects.columns.items() if key != _OLD}
    after = after.with_collections({name: Collection(objects.counts, columns)})
    if name != "Electron" or "Photon" not in before:
        return after
    photons = before["Photon"]
    place = np.full(before[name].n_objects + 1, -1, np.int64)
    place[old] = np.arange(objects.n_objects)
    electron = place[links.flat(photons["electronIdx"], photons, before[name])]
    return after.with_collections(
        {"Photon": photons.with_columns(electronIdx=links.local(electron, after[name]))}
    )
