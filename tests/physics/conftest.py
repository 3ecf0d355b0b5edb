"""Generator events, once for all tests that need some, and fat jets made by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flashsim_prod import resources
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.physics.detector.reference import ReferenceDetector
from flashsim_prod.physics.events import Collection, Events
from flashsim_prod.physics.folding import fold_events


@pytest.fixture(scope="session")
def gen() -> Events:
    """Sixty top quark pairs."""
    from flashsim_prod.physics.generator.pythia import PythiaSource

    path = resources.jobs_dir() / "ttbar.yaml"
    card = ProcessCard.from_yaml(path.read_text(), path.name)
    source = PythiaSource(card, 13.0, n_events=60, seed=11, pileup_seed=12)
    return next(iter(source.chunks(60)))


@pytest.fixture(scope="session")
def reconstruct() -> Callable[..., Events]:
    """Runs the reference detector over generator events, each several times."""
    return _reconstruct


def _reconstruct(gen: Events, oversample: int, seed: int) -> Events:
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": 500, "job_gen_first": 0}
    folds = fold_events(gen, oversample=oversample, gen_first=0, **numbering)
    return ReferenceDetector().simulate(folds, seed=seed)


@pytest.fixture(scope="session")
def boosted_events() -> Callable[..., Events]:
    """Makes generator-level events with one fat jet each: a decay to quarks, its hadrons and two prongs."""
    return _boosted


_LAST_COPY = 1 << 13
#: particle that decays, its mass [GeV], and the two quarks
_BOSONS = {"h_bb": (25, 125.0, (5, -5)), "z_cc": (23, 91.2, (4, -4)), "w_qq": (24, 80.4, (2, -1))}
_HADRONS = {5: 511, 4: 421}


def _boosted(kind: str, n: int, *, pt: float | tuple[float, float] = (300.0, 700.0), seed: int = 1) -> Events:
    """`n` events with one fat jet of `kind`: a key of `_BOSONS`, ``top`` or ``light``.

    A light jet has little mass, shared by two prongs; ``pt`` [GeV] is its value or its range.
    """
    rng = np.random.default_rng(seed)
    low, high = pt if isinstance(pt, tuple) else (pt, pt)
    axis = {
        "pt": rng.uniform(low, high, n),
        "eta": rng.uniform(-1.5, 1.5, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
    }
    mass = {"top": 172.5, "light": 8.0}.get(kind) or _BOSONS[kind][1]
    share = rng.uniform(0.3, 0.5, n)
    distance = np.minimum(mass / (axis["pt"] * np.sqrt(share * (1 - share))), 0.75)
    turn = rng.uniform(-np.pi, np.pi, n)
    prongs = [
        _at(axis, part, (1 - part) * distance, turn + side) for part, side in ((1 - share, 0), (share, np.pi))
    ]
    particles = _particles(kind, axis, prongs, n)
    jet = {**_floats(axis), "mass": np.full(n, max(mass, 30.0), np.float32)}
    heavy = {"h_bb": 5, "z_cc": 4, "top": 5}.get(kind, 0)
    jet |= {
        "partonFlavour": np.full(n, heavy or 1, np.int32),
        "hadronFlavour": np.full(n, heavy, np.uint8),
    }
    one = np.ones(n, np.int64)
    sub = {name: np.stack([prong[name] for prong in prongs], axis=1).ravel() for name in ("pt", "eta", "phi")}
    sub["mass"] = np.full(2 * n, 2.0)
    pileup = rng.poisson(30.0, n)
    scalars = {
        "GenMET_pt": np.full(n, 20.0, np.float32),
        "GenMET_phi": np.zeros(n, np.float32),
        "genWeight": np.ones(n, np.float32),
        "Pileup_nTrueInt": np.full(n, 30.0, np.float32),
        "Pileup_nPU": pileup.astype(np.int32),
        "Pileup_gpudensity": np.full(n, 0.2, np.float32),
        "Pileup_pudensity": np.full(n, 0.5, np.float32),
        "Pileup_sumEOOT": np.full(n, 300, np.int32),
        "Pileup_sumLOOT": np.full(n, 90, np.int32),
    }
    return Events(
        n,
        scalars,
        {
            "GenPart": particles,
            "GenJet": Collection(2 * one, _floats(sub) | _no_flavour(2 * n)),
            "GenJetAK8": Collection(one, jet),
            "SubGenJetAK8": Collection(2 * one, _floats(sub)),
        },
    )


def _at(axis: dict[str, np.ndarray], part: np.ndarray, distance: np.ndarray, angle: np.ndarray) -> dict:
    return {
        "pt": part * axis["pt"],
        "eta": axis["eta"] + distance * np.cos(angle),
        "phi": (axis["phi"] + distance * np.sin(angle) + np.pi) % (2 * np.pi) - np.pi,
    }


def _particles(kind: str, axis: dict, prongs: list[dict], n: int) -> Collection:
    """A heavy particle's decay chain: (pdgId, mother's place in the chain, where it goes)."""
    first, second = prongs
    if kind == "light":
        rows = [(1, -1, axis)]
    elif kind == "top":
        rows = [
            (6, -1, axis),
            (5, 0, first),
            (24, 0, second),
            (24, 2, second),
            (2, 3, second),
            (-1, 3, second),
        ]
        rows += [(511, 1, first), (421, 6, first)]
    else:
        code, _, (one, other) = _BOSONS[kind]
        rows = [(code, -1, axis), (one, 0, first), (other, 0, second)]
        rows += [
            (np.sign(quark) * _HADRONS[abs(quark)], place, prong)
            for place, (quark, prong) in enumerate(((one, first), (other, second)), 1)
            if abs(quark) in _HADRONS
        ]
    columns = {
        name: np.stack([row[2][name] for row in rows], axis=1).ravel().astype(np.float32)
        for name in ("pt", "eta", "phi")
    }
    columns |= {
        "mass": np.zeros(n * len(rows), np.float32),
        "pdgId": np.tile([row[0] for row in rows], n).astype(np.int32),
        "genPartIdxMother": np.tile([row[1] for row in rows], n).astype(np.int32),
        "status": np.full(n * len(rows), 2, np.int32),
        "statusFlags": np.full(n * len(rows), _LAST_COPY, np.int32),
    }
    return Collection(np.full(n, len(rows), np.int64), columns)


def _floats(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: column.astype(np.float32) for name, column in columns.items()}


def _no_flavour(n: int) -> dict[str, np.ndarray]:
    return {"partonFlavour": np.ones(n, np.int32), "hadronFlavour": np.zeros(n, np.uint8)}


@pytest.fixture
def at_http(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Tells the address of a file in `tmp_path`."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda path: f"http://127.0.0.1:{server.server_port}/{path.name}"
        server.shutdown()
