"""What makes the events of a job: the chain, or the model of an analysis."""

from __future__ import annotations

from typing import Protocol

from flashsim_prod.core.speed import Timings
from flashsim_prod.physics.chain.chain import Chain
from flashsim_prod.physics.chain.devices.work import Evaluator
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.versions.names import writing


class Producer(Protocol):
    """Numbered folds in, events as they are written out.

    Attributes
    ----------
    schema : Schema
        What it makes; an input may bring more.
    timings : Timings
        Is told the time of each stage.
    evaluator : Evaluator
        Who runs its networks; another one may take its place.
    """

    schema: Schema
    timings: Timings
    evaluator: Evaluator

    def produce(self, folds: Events, *, seed: int) -> Events:
        """The events of `folds` that are written, which may be fewer; drawn as a function of `seed` alone."""
        ...

    def specimen(self, fold: Events, *, seed: int) -> Events:
        """The one event of `fold` with all branches, whether it would be written or not."""
        ...


class NanoProducer:
    """The chain, its events written as a version of NanoAOD.

    Parameters
    ----------
    chain : Chain
    version : str
    """

    def __init__(self, chain: Chain, version: str) -> None:
        self.chain, self.timings = chain, chain.timings
        self._way = writing(chain.made_for, version)
        schema = self._way.schema
        self.schema = schema.with_unrefined() if chain.keeps_unrefined else schema

    @property
    def evaluator(self) -> Evaluator:
        """Who runs the chain's networks."""
        return self.chain.evaluator

    @evaluator.setter
    def evaluator(self, evaluator: Evaluator) -> None:
        self.chain.evaluator = evaluator

    def produce(self, folds: Events, *, seed: int) -> Events:
        """All of `folds`, reconstructed."""
        return self._way.written(self.chain.simulate(folds, seed=seed))

    def specimen(self, fold: Events, *, seed: int) -> Events:
        """As `produce`."""
        return self.produce(fold, seed=seed)
