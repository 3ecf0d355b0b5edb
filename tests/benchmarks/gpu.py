"""All that is to be seen on a machine with a GPU, sized for a quarter of an hour of it.

Run by hand, from a checkout::

    python tests/benchmarks/gpu.py prepare FOLDER
    python tests/benchmarks/gpu.py measure FOLDER

``prepare`` makes on a CPU what is read later: generator events, a bundle whose networks have two million
weights each, and training tables. ``measure`` needs a GPU, unless it is told ``--device cpu``: a dataset made
by a job of several processes and one that owns the GPU; whether CPU and GPU draw alike; speed at 2, 8, 20 and
100 evaluations, with CUDA graphs and without, and as requests draw; what an event costs; ten minutes of
training. Steps are processes of their own: one that fails is told of and stops no other. FOLDER/gpu.json
holds all figures.
``--quick`` does a little of everything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashsim_prod.threads import thread_environment

_HERE = Path(__file__).resolve().parents[2]
_EVALUATIONS = (2, 8, 20, 100)
#: five blocks of such a width have two million weights
_WIDTH, _BLOCKS = 300, 5
_MODEL = "jet_from_genjet"
#: the longest that one step takes [s]; all of them together leave the training its ten minutes
_LIMITS_S = {"request": 90, "alike": 60, "bench": 60, "energy": 120, "training": 600}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is done."""

    gen_events: int
    oversample: int
    chunk: int
    evaluations: tuple[int, ...]
    train_events: int
    width: int
    blocks: int

    @classmethod
    def of(cls, quick: bool) -> Size:
        if quick:
            return cls(4, 5, 10, (2,), 50, 16, 1)
        return cls(2000, 10, 1000, _EVALUATIONS, 2000, _WIDTH, _BLOCKS)


def main() -> None:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("prepare", "measure", "_alike"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--cpus", type=int, default=min(8, os.cpu_count() or 1), help="that feed it")
    parser.add_argument("--minutes", type=float, default=14.0, help="for all; the training has what is left")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.folder.absolute(), options.device, options.cpus, options.quick, options.minutes)
    match options.what:
        case "prepare":
            bench.prepare()
        case "measure":
            bench.measure()
        case _:
            print(json.dumps(_alike(bench)))


class Bench:
    """One run of this program."""

    def __init__(self, folder: Path, device: str, cpus: int, quick: bool, minutes: float) -> None:
        self.folder, self.device, self.cpus, self.quick = folder, device, cpus, quick
        self.size, self.end = Size.of(quick), time.monotonic() + 60 * minutes
        self.home, self.gen, self.big = folder / "home", folder / "gen.root", folder / "two_million"
        self.figures: Figures = {}

    def prepare(self) -> None:
        """Inputs of what is measured."""
        sites = self.home / "sites"
        sites.mkdir(parents=True, exist_ok=True)
        text = (_HERE / "site_configs/local.yaml").read_text(encoding="utf-8")
        for name, graphs in (("feeders", "false"), ("graphs", "true")):
            more = (
                f"cpus: {self.cpus}\n  gpu_graphs: {graphs}\n  chunk_events: {self.size.chunk}\n  memory_mb:"
            )
            site = text.replace("name: local", f"name: {name}").replace("memory_mb:", more, 1)
            site = "".join(line for line in site.splitlines(True) if not line.startswith("  cpus: 1"))
            (sites / f"{name}.yaml").write_text(site, encoding="utf-8")
        gen = ["--events", str(self.size.gen_events)]
        self.run("train", "generate", "ttbar", str(self.gen), *gen)
        some = self.folder / "some.root"
        self.run("train", "generate", "ttbar", str(some), "--events", str(self.size.train_events))
        full = self.folder / "full.root"
        self.run("train", "reference", str(some), "--output", str(full), "--folds", "5")
        self.run("train", "extract", str(full), "--model", _MODEL, "--work", str(self.folder / "training"))
        _large_bundle(self.big, self.size)

    def measure(self) -> None:
        """All steps, each told of when it is done; then a table."""
        self.figures |= {"machine": platform.node(), "device": self.device, "cpus": self.cpus}
        self.step("request", self._request)
        self.step("alike", self._draws_alike)
        for bundle in ("reference", str(self.big)):
            for site in ("feeders", "graphs"):
                for evaluations in self.size.evaluations:
                    name = f"bench {Path(bundle).name} {site} {evaluations}"
                    self.step(name, lambda b=bundle, s=site, e=evaluations: self._bench(b, s, e))
        # by students, where the shipped bundle has them; evaluations that are said are of their teachers
        self.step("bench reference feeders", lambda: self._bench("reference", "feeders"))
        self.step("energy", self._energy)
        self.step("training", self._training)
        (self.folder / "gpu.json").write_text(json.dumps(self.figures, indent=1), encoding="utf-8")
        for name, found in self.figures.items():
            print(f"{name:32} {found if not isinstance(found, dict) else ', '.join(_told(found))}")

    def step(self, name: str, do: Callable[[], Figures]) -> None:
        """Do one step, or say why there are no figures of it."""
        start = time.monotonic()
        try:
            found = do()
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found = {"failed": str(error).strip().rpartition("\n")[2]}
        self.figures[name] = found | {"took_s": round(time.monotonic() - start, 1)}
        print(f"{name}: {', '.join(_told(self.figures[name]))}", file=sys.stderr, flush=True)

    def run(self, *words: str, limit_s: float | None = None) -> Any:
        """What a command prints as JSON, or its text."""
        return _ran([sys.executable, "-m", "flashsim_prod.cli", *words], self._environment(), limit_s)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **thread_environment(1),
            "PYTHONPATH": str(_HERE),
            "FLASHSIM_PROD_HOME": str(self.home),
        }

    def _limit_s(self, name: str) -> float:
        # where a CPU does it, nobody waits for a device
        limit_s = _LIMITS_S[name] * (1 if self.device == "cuda" else 20)
        return max(1.0, min(limit_s, self.end - time.monotonic()))

    def _request(self) -> Figures:
        words = ["request", "ttbar", "--input", str(self.gen), "--oversample", str(self.size.oversample)]
        words += ["--device", self.device, "--site", "feeders", "--slots", "1", "--seed", "1", "--json"]
        made = self.run(*words, limit_s=self._limit_s("request"))
        report = next((self.home / "requests").rglob("*simulate*.json"))
        told = json.loads(report.read_text(encoding="utf-8"))
        kept = ("device", "processes", "peak_rss_mb", "timings_s")
        return {"state": made["state"], "events": made["events"], **{name: told[name] for name in kept}}

    def _draws_alike(self) -> Figures:
        command = [sys.executable, str(Path(__file__)), "_alike", str(self.folder), "--device", self.device]
        return dict(_ran([*command, *self._quick()], self._environment(), self._limit_s("alike")))

    def _bench(self, bundle: str, site: str, evaluations: int | None = None) -> Figures:
        words = ["bench", "ttbar", "--input", str(self.gen), "--oversample", str(self.size.oversample)]
        words += ["--bundle", bundle, "--site", site, "--device", self.device, "--no-store", "--json"]
        words += ["--evaluations", str(evaluations)] if evaluations else []
        found = self.run(*words, limit_s=self._limit_s("bench"))
        return {name: round(found[name], 3) for name in ("events_hz", "seconds", "cpu_s")} | found["stages_s"]

    def _energy(self) -> Figures:
        mode = "gpu" if self.device == "cuda" else "cpu"
        words = ["energy-bench", "--mode", mode, "--input", str(self.gen), "--threads", str(self.cpus)]
        words += ["--output", str(self.folder / "energy.json"), "--quick", "--json"]
        words += ["--meter", "nvml"] if self.device == "cuda" else []
        return {"result": self.run(*words, limit_s=self._limit_s("energy"))}

    def _training(self) -> Figures:
        """A fit of as many steps as there is time for, by the pace of two short ones."""
        few, more = (100, 200) if self.quick else (200, 1200)
        short_s, long_s = self._fitted(few), self._fitted(more)
        pace = max(1e-6, (long_s - short_s) / (more - few))
        # a third again for the network of numbers, and some for what is not a step
        steps = 100 if self.quick else max(100, int((self._limit_s("training") - 2 * short_s) / pace / 1.4))
        took = self._fitted(steps)
        return {"ms_per_step": round(1000 * pace, 3), "steps": steps, "fit_s": round(took, 1)}

    def _fitted(self, steps: int) -> float:
        start = time.monotonic()
        words = ["train", "fit", _MODEL, "--work", str(self.folder / "training"), "--steps", str(steps)]
        words += ["--width", str(self.size.width), "--blocks", str(self.size.blocks)]
        words += ["--device", self.device, "--anew", "--json"]
        self.run(*words, limit_s=self._limit_s("training"))
        return time.monotonic() - start

    def _quick(self) -> list[str]:
        return ["--quick"] if self.quick else []


def _ran(command: list[str], environment: dict[str, str], limit_s: float | None) -> Any:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:5])} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def _told(found: Figures) -> Iterator[str]:
    for name, value in found.items():
        yield f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _large_bundle(folder: Path, size: Size) -> None:
    """The shipped models with networks of another size, which have learned nothing: they cost as much."""
    from dataclasses import replace

    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.compatibility import check_models
    from flashsim_prod.physics.chain.fitted import FittedModel
    from flashsim_prod.physics.training.assemble import build_bundle, save_fitted
    from flashsim_prod.physics.training.optimise import FitSettings
    from flashsim_prod.physics.training.record import FitRecord

    bundle = load_bundle(find_bundle("reference"))
    fits, record = {}, FitRecord(1, 1, FitSettings(), {"flow": [(0, 1.0, 1.0)]})
    for model in check_models(bundle):
        known = FittedModel.load(model, bundle.manifest.models[model.name], bundle.tensors(model.name))
        larger = known.kind.declared_size(known.model, width=size.width, blocks=size.blocks)
        # numbers of objects as they are: the work of the others is a function of them
        larger = replace(larger, classifier=known.size.classifier, knots=known.size.knots)
        made = FittedModel.untrained(known.model, known.standardiser, known.gaussianisers, size=larger)
        for name in set(made.networks) & {"multiplicity"}:
            made = made.with_networks({**made.networks, name: known.networks[name]})
        fits[model.name] = folder.parent / "fits" / model.name
        save_fitted(made, record, fits[model.name])
    build_bundle(fits, folder, name="two_million", title="for speed", tag="Large", training_sample=("none",))


def _alike(bench: Bench) -> Figures:
    """How CPU and GPU differ: counts of collections, values, and what networks give before it is rounded."""
    import numpy as np

    from flashsim_prod import resources
    from flashsim_prod.core.card import ProcessCard
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.chain import Chain
    from flashsim_prod.physics.chain.devices.place import Place
    from flashsim_prod.physics.folding import fold_events
    from flashsim_prod.physics.generator.pythia import PythiaSource

    card = ProcessCard.from_yaml((resources.jobs_dir() / "ttbar.yaml").read_text(), "ttbar.yaml")
    n = min(60, bench.size.gen_events)
    gen = next(iter(PythiaSource(card, 13.0, n_events=n, seed=11, pileup_seed=12).chunks(n)))
    numbering = {"run": 1, "first_event": 1, "first_lumi": 1, "gen_events_per_lumi": n, "job_gen_first": 0}
    folds = fold_events(gen, oversample=bench.size.oversample, gen_first=0, **numbering)
    bundle = load_bundle(find_bundle("reference"))
    chains = [Chain(bundle, device=place) for place in (Place(), Place(bench.device))]
    here, there = (chain.simulate(folds, seed=3) for chain in chains)
    same_counts = {
        name: bool((one.counts == there[name].counts).all()) for name, one in here.collections.items()
    }
    off = 0.0
    for fitted, other in zip(*([m for _, ms in chain.groups for m in ms] for chain in chains), strict=True):
        rng = np.random.default_rng(1)
        conditions = rng.normal(size=(3000, len(fitted.model.conditions))).astype(np.float32)
        normals = rng.normal(size=(3000, fitted.n_normals))
        pair = [one.latents(conditions, normals, chains[0].sampling) for one in (fitted, other)]
        off = max(off, float(np.abs(pair[0] - pair[1]).max()))
    return {
        "events": folds.n,
        "collections_with_other_counts": sorted(name for name, same in same_counts.items() if not same),
        "largest_difference_of_normal_numbers": off,
        "is_within_1e-4": off < 1e-4,
    }


if __name__ == "__main__":
    main()
