"""The chain: object models in the order that their declarations give, over a batch of events."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.speed import Timings
from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.compatibility import check_models, check_samplings, weighting
from flashsim_prod.physics.chain.corrections.drawing import Asked, draw
from flashsim_prod.physics.chain.corrections.unrefined import Restored, with_unrefined
from flashsim_prod.physics.chain.devices.here import Here
from flashsim_prod.physics.chain.devices.place import Place
from flashsim_prod.physics.chain.devices.work import Evaluator
from flashsim_prod.physics.chain.fitted import FittedModel, probabilities
from flashsim_prod.physics.chain.model import ObjectModel, Rows
from flashsim_prod.physics.chain.products import production_levels, with_made
from flashsim_prod.physics.definitions.completion import LINKED, link
from flashsim_prod.physics.definitions.jets_muons import of_era
from flashsim_prod.physics.definitions.vertices import MOST_OTHER_VERTICES, other_vertices
from flashsim_prod.physics.eras import DEFAULT
from flashsim_prod.physics.events import WEIGHT, Events, split_name
from flashsim_prod.physics.nanoaod.schema import UNREFINED, conform
from flashsim_prod.physics.nanoaod.versions.names import declared_in
from flashsim_prod.physics.randoms import DrawKeys, Draws

#: is told what a model is asked for: its name, the conditions of each object, and their generator events
Told = Callable[[str, NDArray[np.float32], NDArray[np.int64]], None]


class Chain:
    """All object models of a bundle, ready to simulate.

    Parameters
    ----------
    bundle : Bundle
    device : str or Place
        ``cpu`` or ``cuda``, or how it is to be used as well.
    sampling : Sampling
        How the flows are integrated, but for students, which take steps of their own.
    timings : Timings, optional
        Is told the time of each stage: features, efficiencies, flows, postprocess.
    branches : iterable of str, optional
        Run only the models that make these, and those whose objects they use; by default all.
    keep_unrefined : bool
        Whether events have beside what is refined what it was before.
    only_draws : bool
        As of `FittedModel.load`.

    Raises
    ------
    BundleError
        If the bundle holds a model that this software does not know, or weights that do not fit.

    Attributes
    ----------
    evaluator : Evaluator
        Who runs the networks; another one may take its place.
    levels : list of lists
        What is produced, with the models that produce it, each after all that these use: what is of one level
        needs nothing of it.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str | Place = "cpu",
        sampling: Sampling | None = None,
        timings: Timings | None = None,
        branches: Iterable[str] | None = None,
        keep_unrefined: bool = False,
        only_draws: bool = False,
    ) -> None:
        self.sampling = sampling or Sampling()
        self.timings = timings or Timings()
        self.made_for = bundle.nano
        schema = declared_in(self.made_for)
        self.schema = schema.with_unrefined() if keep_unrefined else schema
        self.keeps_unrefined = keep_unrefined
        self.era = bundle.era
        models = check_models(bundle)
        if branches is not None:
            models = makers(branches, models, weighting(bundle))
        if sampling is not None:
            check_samplings(bundle, sampling)
        place = Place(device) if isinstance(device, str) else device
        fitted = [
            FittedModel.load(
                *(model, bundle.manifest.models[model.name], bundle.tensors(model.name), place),
                only_draws=only_draws,
            )
            for model in models
        ]
        self.evaluator: Evaluator = Here(fitted, self.sampling)
        self.levels = _in_order(fitted)

    def simulate(self, folds: Events, *, seed: int, asked: Told | None = None) -> Events:
        """Reconstructed objects for generator-level events.

        Parameters
        ----------
        folds : Events
            Numbered folds, as `fold_events` gives them.
        seed : int
            The job's seed; with FlashSim_genEvent, FlashSim_fold and the object it decides every number.
        asked : callable, optional
            Is told what each model is asked for.

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
        weights: list[NDArray[np.float64]] = []
        for products in self.levels:
            level = [fitted for _, models in products for fitted in models]
            _check_uses(level, events)
            groups = self._at_a_time(level)
            made = iter([one for models in groups for one in self._run(models, events, seed, weights, asked)])
            with self.timings.step("postprocess"):
                for _, models in products:
                    of_these = with_unrefined([next(made) for _ in models], self.schema)
                    events = with_made(events, [one.model for one in models], of_these)
        with self.timings.step("postprocess"):
            if weights:
                events = events.with_scalars({WEIGHT: np.prod(weights, axis=0).astype(np.float32)})
            return conform(link(_in_era(events, self.era, seed)), self.schema)

    @property
    def groups(self) -> list[tuple[str, list[FittedModel]]]:
        """What is produced, in order, with the models that produce it."""
        return [product for products in self.levels for product in products]

    def _at_a_time(self, level: list[FittedModel]) -> list[list[FittedModel]]:
        """Models of one level that are run together: where networks are at hand one is, for the cache."""
        return [level] if self.evaluator.takes_many else [[one] for one in level]

    def _run(
        self,
        models: Sequence[FittedModel],
        events: Events,
        seed: int,
        weights: list[NDArray[np.float64]],
        told: Told | None,
    ) -> list[Restored]:
        """The objects of each model.

        What events count for by models that weight objects are more of the `weights`.
        """
        step = self.timings.step
        with step("features"):
            sources = [_Source.of(fitted, events) for fitted in models]
        with step("efficiencies"):
            asked = [one for one in sources if one.is_drawn]
            logits = self.evaluator.evaluate([one.fitted.numbers(one.conditions) for one in asked])
            for one, found in zip(asked, logits, strict=True):
                one.repeat(_copies(one, found, seed))
            for one in sources:
                if one.fitted.model.numbered_by:
                    one.repeat(one.given)
        with step("flows"):
            if told is not None:
                for one in sources:
                    told(one.fitted.model.name, one.conditions, one.keys.gen_event)
            found_of = draw(
                [Asked(one.fitted, one.conditions, one.noise(seed), one.origin) for one in sources],
                self.evaluator,
            )
            weights += [
                np.exp(np.bincount(one.rows.event_index, np.log(found.weights), minlength=events.n))
                for one, found in zip(sources, found_of, strict=True)
                if found.weights is not None
            ]
            drawn = [one.fitted.targets(found.latents) for one, found in zip(sources, found_of, strict=True)]
        with step("postprocess"):
            before = [found.unrefined if self.keeps_unrefined else None for found in found_of]
            asked_for = zip(sources, drawn, before, strict=True)
            return [one.restored(found, unrefined) for one, found, unrefined in asked_for]


@dataclass
class _Source:
    """What a model's objects come of, a row each; then the objects, with the conditions of their rows."""

    fitted: FittedModel
    events: Events
    rows: Rows
    conditions: NDArray[np.float32]
    origin: NDArray[np.int64]

    @classmethod
    def of(cls, fitted: FittedModel, events: Events) -> _Source:
        rows = fitted.model.source(events)
        return cls(fitted, events, rows, fitted.model.condition_matrix(rows), np.arange(len(rows)))

    @property
    def is_drawn(self) -> bool:
        """Whether there is a number of objects to be drawn."""
        return self.fitted.model.draws_number and len(self.rows) > 0

    @property
    def given(self) -> NDArray[np.int64]:
        """How many objects each row gives, where its column says so."""
        model = self.fitted.model
        return np.clip(self.rows[model.numbered_by].astype(np.int64), 0, model.most)

    @property
    def keys(self) -> DrawKeys:
        return _keys(self.events, self.rows)

    def repeat(self, copies: NDArray[np.int64]) -> None:
        """From rows to objects, so many of each."""
        origin = np.repeat(np.arange(len(self.rows)), copies)
        rank = np.arange(len(origin)) - np.repeat(np.cumsum(copies) - copies, copies)
        rows = self.rows.take(origin)
        item = rows.item * max(1, self.fitted.model.most) + rank
        self.rows = Rows(rows.event_index, item, rows.columns)
        self.conditions, self.origin = self.conditions[origin], origin

    def restored(
        self, drawn: dict[str, NDArray[np.float64]], unrefined: NDArray[np.float32] | None
    ) -> Restored:
        """What becomes of what was drawn for the objects, and would have become of what it was before."""
        model = self.fitted.model
        before = None if unrefined is None else model.restore(self.fitted.targets(unrefined), self.rows)
        return Restored(model, self.rows, model.restore(drawn, self.rows), before)

    def noise(self, seed: int) -> NDArray[np.float64]:
        """Normal numbers of the objects."""
        stream = f"{self.fitted.model.name}.{self.fitted.kind.name}"
        return Draws(seed, stream).normals(self.keys, self.fitted.n_normals)


def makers(
    branches: Iterable[str], models: Sequence[ObjectModel], always: Container[str] = ()
) -> list[ObjectModel]:
    """Those of `models` that make `branches`, or something that one of these uses or is linked to.

    Those called `always` are among them with what they use: events weigh the same whatever is made of them.
    """
    outputs = {output for model in models for output in model.outputs}
    wanted = {
        output
        for name in branches
        for name in (name.removesuffix(UNREFINED),)
        for output in (name, split_name(name, outputs)[0], *LINKED.get(name, ()), *_counted(name, outputs))
    }
    found = [model for model in models if model.name in always]
    wanted |= {use for model in found for use in model.uses}
    while more := [model for model in models if model not in found and model.outputs & wanted]:
        found += more
        wanted |= {use for model in more for use in model.uses}
    return [model for model in models if model in found]


def _counted(name: str, outputs: Container[str]) -> tuple[str, ...]:
    """What the branch `name` counts, or is drawn from the count of, if that is a model's."""
    if name.split("_")[0] in ("OtherPV", "nOtherPV"):
        return ("PV_npvs",)
    return (name[1:],) if name.startswith("n") and name[1:] in outputs else ()


def _copies(source: _Source, logits: NDArray[np.float32], seed: int) -> NDArray[np.int64]:
    """How many objects each row gives, drawn from what the multiplicity network says."""
    thresholds = np.cumsum(probabilities(logits), axis=1)[:, :-1]
    uniform = Draws(seed, f"{source.fitted.model.name}.multiplicity").uniforms(source.keys, 1)
    copies: NDArray[np.int64] = (uniform > thresholds).sum(axis=1).astype(np.int64)
    return copies


def _keys(events: Events, rows: Rows) -> DrawKeys:
    return DrawKeys(
        events.scalars["FlashSim_genEvent"].astype(np.int64)[rows.event_index],
        events.scalars["FlashSim_fold"].astype(np.int64)[rows.event_index],
        rows.item,
    )


def _in_era(events: Events, era: str, seed: int) -> Events:
    """What of an event no network draws, and is another in each era."""
    if "Jet" in events and era != DEFAULT:
        events = events.with_collections({"Jet": of_era(events["Jet"], era)})
    if "PV_npvs" not in events:
        return events
    # OtherPV needs only the number of vertices and the beam spot
    index = np.arange(events.n)
    keys = _keys(events, Rows(index, np.zeros(events.n, dtype=np.int64), {}))
    normals = Draws(seed, "OtherPV").normals(keys, MOST_OTHER_VERTICES)
    return events.with_collections({"OtherPV": other_vertices(events.scalars, normals, era)})


def _check_uses(models: Iterable[FittedModel], events: Events) -> None:
    for fitted in models:
        for name in fitted.model.uses:
            if name not in events:
                raise InputError(
                    f"the events have no {name}, which the object model {fitted.model.name} needs; "
                    "take input that has it, or a bundle without this model"
                )


def _in_order(fitted: Sequence[FittedModel]) -> list[list[tuple[str, list[FittedModel]]]]:
    """What is produced, each after all that its models use, with the models that produce it, by level."""
    return [
        [(name, [one for one in fitted if one.model.produces == name]) for name in level]
        for level in production_levels([one.model for one in fitted])
    ]
