"""The chain: object models in the order that their declarations give, over a batch of events."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.speed import Timings
from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_models
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.products import production_order, with_made
from flashsim_prod.physics.definitions.completion import LINKED, link
from flashsim_prod.physics.definitions.vertices import MOST_OTHER_VERTICES, other_vertices
from flashsim_prod.physics.events import Column, Events, split_name
from flashsim_prod.physics.nanoaod.reader import conform
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.randoms import DrawKeys, Draws


class Chain:
    """All object models of a bundle, ready to simulate.

    Parameters
    ----------
    bundle : Bundle
    device : str
        ``cpu`` or ``cuda``.
    sampling : Sampling
        How the flows are integrated.
    timings : Timings, optional
        Is told the time of each stage: features, efficiencies, flows, postprocess.
    batch_rows : int, optional
        Objects that a network sees at a time. Another number than the default rounds sums differently, and
        so changes the last digits of what is drawn.
    branches : iterable of str, optional
        Run only the models that make these, and those whose objects they use; by default all.

    Raises
    ------
    BundleError
        If the bundle holds a model that this software does not know, or weights that do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        sampling: Sampling | None = None,
        timings: Timings | None = None,
        batch_rows: int | None = None,
        branches: Iterable[str] | None = None,
    ) -> None:
        self.sampling = sampling or Sampling()
        self.timings = timings or Timings()
        self.made_for = bundle.nano
        self.schema = Schema.default()
        models = check_models(bundle)
        if branches is not None:
            models = makers(branches, models)
        fitted = [
            FittedModel.load(
                model, bundle.manifest.models[model.name], bundle.tensors(model.name), device, batch_rows
            )
            for model in models
        ]
        self.groups = _in_order(fitted)

    def simulate(self, folds: Events, *, seed: int) -> Events:
        """Reconstructed objects for generator-level events.

        Parameters
        ----------
        folds : Events
            Numbered folds, as `fold_events` gives them.
        seed : int
            The job's seed; with FlashSim_genEvent, FlashSim_fold and the object it decides every number.

        Returns
        -------
        Events
            The same events with all collections and scalars that the bundle's models produce.

        Raises
        ------
        InputError
            If the events lack a collection or a scalar that a model uses.
        """
        events = folds
        for _, models in self.groups:
            _check_uses(models, events)
            made = [self._run(fitted, events, seed) for fitted in models]
            with self.timings.step("postprocess"):
                events = with_made(events, [one.model for one in models], made)
        with self.timings.step("postprocess"):
            return conform(link(_with_other_vertices(events, seed)), self.schema)

    def _run(self, fitted: FittedModel, events: Events, seed: int) -> tuple[Rows, dict[str, Column]]:
        """The objects of one model: the row that each came from, and its attributes."""
        model, step = fitted.model, self.timings.step
        with step("features"):
            rows = model.source(events)
            conditions = model.condition_matrix(rows)
        with step("efficiencies"):
            copies = _copies(fitted, conditions, rows, _keys(events, rows), seed)
            origin = np.repeat(np.arange(len(rows)), copies)
            rank = np.arange(len(origin)) - np.repeat(np.cumsum(copies) - copies, copies)
            rows = rows.take(origin)
            rows = Rows(rows.event_index, rows.item * max(1, model.most) + rank, rows.columns)
        with step("flows"):
            stream = f"{model.name}.{fitted.kind.name}"
            noise = Draws(seed, stream).normals(_keys(events, rows), fitted.n_normals)
            drawn = fitted.sample(conditions[origin], noise, self.sampling, sets=origin)
        with step("postprocess"):
            return rows, model.restore(drawn, rows)


def makers(branches: Iterable[str], models: Sequence[ObjectModel]) -> list[ObjectModel]:
    """Those of `models` that make `branches`, or something that one of these uses or is linked to."""
    outputs = {output for model in models for output in model.outputs}
    wanted = {
        output
        for name in branches
        for output in (name, split_name(name, outputs)[0], *LINKED.get(name, ()), *_counted(name, outputs))
    }
    found: list[ObjectModel] = []
    while more := [model for model in models if model not in found and model.outputs & wanted]:
        found += more
        wanted |= {use for model in more for use in model.uses}
    return [model for model in models if model in found]


def _counted(name: str, outputs: Container[str]) -> tuple[str, ...]:
    """What the branch `name` counts, or is drawn from the count of, if that is a model's."""
    if name.split("_")[0] in ("OtherPV", "nOtherPV"):
        return ("PV_npvs",)
    return (name[1:],) if name.startswith("n") and name[1:] in outputs else ()


def _copies(
    fitted: FittedModel, conditions: NDArray[np.float32], rows: Rows, keys: DrawKeys, seed: int
) -> NDArray[np.int64]:
    """How many objects each row gives: as its column says, or drawn from the multiplicity network."""
    if fitted.model.numbered_by:
        return np.clip(rows[fitted.model.numbered_by].astype(np.int64), 0, fitted.model.most)
    if not fitted.model.most:
        return np.ones(len(keys), dtype=np.int64)
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    thresholds = np.cumsum(fitted.probabilities(conditions), axis=1)[:, :-1]
    uniform = Draws(seed, f"{fitted.model.name}.multiplicity").uniforms(keys, 1)
    copies: NDArray[np.int64] = (uniform > thresholds).sum(axis=1).astype(np.int64)
    return copies


def _keys(events: Events, rows: Rows) -> DrawKeys:
    return DrawKeys(
        events.scalars["FlashSim_genEvent"].astype(np.int64)[rows.event_index],
        events.scalars["FlashSim_fold"].astype(np.int64)[rows.event_index],
        rows.item,
    )


def _with_other_vertices(events: Events, seed: int) -> Events:
    """OtherPV, which needs no network: only the number of vertices and the beam spot."""
    if "PV_npvs" not in events:
        return events
    index = np.arange(events.n)
    keys = _keys(events, Rows(index, np.zeros(events.n, dtype=np.int64), {}))
    normals = Draws(seed, "OtherPV").normals(keys, MOST_OTHER_VERTICES)
    return events.with_collections({"OtherPV": other_vertices(events.scalars, normals)})


def _check_uses(models: Iterable[FittedModel], events: Events) -> None:
    for fitted in models:
        for name in fitted.model.uses:
            if name not in events:
                raise InputError(
                    f"the events have no {name}, which the object model {fitted.model.name} needs; "
                    "take input that has it, or a bundle without this model"
                )


def _in_order(fitted: Sequence[FittedModel]) -> list[tuple[str, list[FittedModel]]]:
    """What is produced, each after all that its models use, with the models that produce it."""
    order = production_order([one.model for one in fitted])
    return [(name, [one for one in fitted if one.model.produces == name]) for name in order]
