"""Generator-level events to the ntuple of an analysis, by the model in its bundle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flashsim_prod.core.request import Sampling
from flashsim_prod.core.speed import Timings
from flashsim_prod.errors import BundleError, InputError
from flashsim_prod.physics.analysis.model import Regression
from flashsim_prod.physics.analysis.schemas import NUMBERS, flat_schema
from flashsim_prod.physics.chain.bundle import Bundle
from flashsim_prod.physics.chain.devices.here import Here
from flashsim_prod.physics.chain.devices.place import Place
from flashsim_prod.physics.chain.devices.work import Evaluator
from flashsim_prod.physics.chain.fitted import FittedModel
from flashsim_prod.physics.events import Column, Events
from flashsim_prod.physics.randoms import DrawKeys, Draws


def regression_of(bundle: Bundle) -> Regression:
    """The analysis of a bundle.

    Raises
    ------
    BundleError
        If it is a bundle of object models, or does not hold the analysis that it declares.
    """
    analysis, models = bundle.manifest.analysis, bundle.manifest.models
    if analysis is None:
        raise BundleError(
            f"{bundle.path}: a bundle of object models, which makes NANOAOD; give it by --bundle, or make "
            "one of an analysis: flashsim-prod train analysis CONFIG.yaml"
        )
    if set(models) != {analysis.name}:
        raise BundleError(
            f"{bundle.path}: of the analysis {analysis.name}, but it has models {', '.join(sorted(models))}"
        )
    return Regression(analysis, str(bundle.path))


class AnalysisProducer:
    """The model of an analysis, ready to draw.

    Parameters
    ----------
    bundle : Bundle
    device : str or Place
    sampling : Sampling
        How it is integrated, if it is a continuous flow.
    timings : Timings, optional
        Is told the time of each stage: features, efficiencies, flows, postprocess.

    Attributes
    ----------
    schema : Schema
    evaluator : Evaluator
        Who runs the networks; another one may take its place.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str | Place = "cpu",
        sampling: Sampling | None = None,
        timings: Timings | None = None,
    ) -> None:
        self.regression = regression_of(bundle)
        model = self.regression.model
        self.fitted = FittedModel.load(
            model,
            bundle.manifest.models[model.name],
            bundle.tensors(model.name),
            Place(device) if isinstance(device, str) else device,
        )
        self.schema = flat_schema(self.regression.analysis.ntuple())
        self.timings = timings or Timings()
        self.sampling = sampling or Sampling()
        self.evaluator: Evaluator = Here([self.fitted], self.sampling)

    def produce(self, folds: Events, *, seed: int) -> Events:
        """The folds that pass the selection, each with its own draws."""
        return self._made(folds, seed, select=True)

    def specimen(self, fold: Events, *, seed: int) -> Events:
        """`fold` with variables as if it passed."""
        return self._made(fold, seed, select=False)

    def _made(self, folds: Events, seed: int, *, select: bool) -> Events:
        for name in self.regression.gen_needs:
            if name not in folds:
                raise InputError(f"the events have no {name}, which the analysis {self._name} needs")
        keys = DrawKeys(
            folds.scalars["FlashSim_genEvent"].astype(np.int64),
            folds.scalars["FlashSim_fold"].astype(np.int64),
            np.zeros(folds.n, dtype=np.int64),
        )
        with self.timings.step("features"):
            first, of_gen = _distinct(keys.gen_event)
            rows = self.regression.rows(folds.take(first))
            conditions = self.fitted.model.condition_matrix(rows)
        with self.timings.step("efficiencies"):
            kept = np.arange(folds.n)
            if select:
                passing = self.fitted.probabilities(conditions, by=self.evaluator)[of_gen, 1]
                kept = np.flatnonzero(Draws(seed, f"{self._name}.passes").uniforms(keys, 1)[:, 0] < passing)
        with self.timings.step("flows"):
            chosen = DrawKeys(keys.gen_event[kept], keys.fold[kept], keys.item[kept])
            stream = f"{self._name}.{self.fitted.kind.name}"
            noise = Draws(seed, stream).normals(chosen, self.fitted.n_normals)
            drawn = self.fitted.sample(conditions[of_gen[kept]], noise, self.sampling, by=self.evaluator)
        with self.timings.step("postprocess"):
            made = self.regression.restore(drawn, rows.take(of_gen[kept]))
            return Events(len(kept), {**_numbers(folds, kept), **made})

    @property
    def _name(self) -> str:
        return self.regression.analysis.name


def _distinct(gen_event: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place of each generator event's first fold, and which of them each fold is of."""
    new = np.append(True, gen_event[1:] != gen_event[:-1])[: len(gen_event)]
    return np.flatnonzero(new), np.cumsum(new) - 1


def _numbers(folds: Events, kept: NDArray[np.int64]) -> dict[str, Column]:
    return {name: folds.scalars[name][kept] for name in NUMBERS}
