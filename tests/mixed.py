"""A bundle of models of all kinds, corrected in all ways, in the place of some of the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.choices import WeightUse
from flashsim_prod.physics.chain.bundle import Bundle, find_bundle, load_bundle, read_model
from flashsim_prod.physics.chain.corrections import refiner, reweighter
from flashsim_prod.physics.chain.corrections.section import RefinerSection, ReweighterSection
from flashsim_prod.physics.chain.model import ObjectModel
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.folding import fold_events
from flashsim_prod.physics.generator.pythia import PythiaSource
from flashsim_prod.physics.training.assemble import build_bundle, fitted_entry, save_fitted
from flashsim_prod.physics.training.correcting.folder import Unseen, leave
from flashsim_prod.physics.training.fit import untrained
from flashsim_prod.physics.training.optimise import FitSettings
from flashsim_prod.physics.training.record import FitRecord
from flashsim_prod.physics.training.table import Table
from flashsim_prod.physics.training.tables import extract

#: kind and corrections of each model that is not the shipped flow
MODELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "event_scalars": ("gan", "weight"),
        "met": ("gan", "refine", "resample"),
        "jet_from_genjet": ("spline", "resample"),
        "jet_from_pileup": ("bibae", "refine"),
        "tau_from_jet": ("cloud",),
        "jet_constituents": ("cloud",),
    }
)


def mixed_bundle(folder: Path) -> Bundle:
    """Such a bundle in `folder`: models that draw as the reference detector's events are distributed."""
    events = _events()
    fits = {}
    for name, (kind, *corrections) in MODELS.items():
        model = find_model(name)
        table = extract(events, model)
        fits[name] = folder / "fits" / name
        _save(model, table, kind, fits[name])
        for correction in corrections:
            found = _unseen(model, table, fits[name])
            leave(_refined(found) if correction == "refine" else _reweighted(found, correction), folder)
    about = {"name": "mixed", "title": "all kinds", "tag": "Mixed", "training_sample": ("s",)}
    return build_bundle(fits, folder / "mixed", base=load_bundle(find_bundle("reference")), **about)


def _events() -> Events:
    """Thirty top quark pairs, each reconstructed twice, with what their jets are made of."""
    path = resources.jobs_dir() / "ttbar.yaml"
    card = ProcessCard.from_yaml(path.read_text(), path.name)
    gen = next(iter(PythiaSource(card, 13.0, n_events=30, seed=11, pileup_seed=12).chunks(30)))
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(gen, oversample=2, gen_first=0, **numbering)
    return ReferenceDetector(constituents=True).simulate(folds, seed=3)


def _save(model: ObjectModel, table: Table, kind: str, folder: Path) -> None:
    fitted = untrained(model, table, 1, kind=kind)
    with torch.no_grad():
        # what is at rest would see neither conditions nor the others of its set
        for network in fitted.networks.values():
            for weight in network.parameters():
                weight.add_(0.03 * torch.randn(weight.shape))
    losses = {kind: [(0, 1.0, 1.0)]}
    save_fitted(fitted, FitRecord(len(table.number), len(table.row), FitSettings(), losses), folder)


def _unseen(model: ObjectModel, table: Table, folder: Path) -> Unseen:
    entry = fitted_entry(folder, model.name)
    return Unseen(model, entry, read_model(folder, entry), table)


def _refined(found: Unseen) -> Unseen:
    gaussianisers = found.fitted.gaussianisers
    moves = refiner.moving(found.model, gaussianisers)
    section = RefinerSection(of=found.digest, moves=moves, width=8, blocks=1)
    network = refiner.untrained(found.model, section)
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    return found.corrected(refiner.Refiner.trained(section, network, gaussianisers), {})


def _reweighted(found: Unseen, use: str) -> Unseen:
    section = ReweighterSection(
        of=found.digest,
        use=WeightUse(use),
        candidates=2,
        least=0.05,
        most=20.0,
        scale=1.0,
        shift=0.0,
        mean=1.0,
        classifier=(8,),
        knots=4,
    )
    network = reweighter.classifier(found.model, section.classifier, section.knots)
    network.spread_knots(torch.randn(500, network.knots.shape[0]))
    return found.corrected(reweighter.Reweighter.trained(section, network), {})
