"""Speed of a simulate job's work against that of another commit, both timed in turns on this machine.

Run by hand, from a checkout with its history::

    python tests/benchmarks/speed_against.py [--commit 21d948b] [--events 4000] [--turns 3] [--cpus 2]

Both read the same generator events, which are made first, and run `bench` in a process of its own. What is
compared is CPU time, which neighbours on the machine disturb least, and of all turns the least. The same job
by several processes takes its turn, too: what it gains, its wall time and the cores that it had tell.

The earlier commit draws in 8 evaluations, or as --evaluations says. This one draws as requests do: by
students in few steps where the shipped bundle has them; then the same job by their teachers, in as many
evaluations as the earlier commit, takes its turn as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsim_prod.threads import thread_environment

_HERE = Path(__file__).resolve().parents[2]
#: where networks run
_NETWORKS = ("flows", "efficiencies")

Figures = dict[str, float]
Way = tuple[Path, list[str]]


def main() -> None:
    """Print a row for each figure: before, now, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--commit", default="21d948b", help="what to compare with")
    parser.add_argument("--events", type=int, default=4000, help="output events of a run, ten of a gen event")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2, help="processes of a job that takes its turn, too")
    parser.add_argument("--card", default="ttbar")
    parser.add_argument("--evaluations", type=int, default=8, help="of the earlier commit, and of teachers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _checkout(options.commit, Path(folder)) as before:
        gen = _generator_events(Path(folder) / "home", options.card, options.events // 10)
        ways = _ways(before, options)
        runs: dict[str, list[Figures]] = {name: [] for name in ways}
        for _ in range(options.turns):
            for name, (tree, more) in ways.items():
                runs[name].append(_bench(tree, Path(folder) / "home", options.card, gen, more))
    print(f"load average of a minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    print(f"{options.commit} in {options.evaluations} evaluations; now by {_students() or 'the same'}")
    _show({name: _least(turns) for name, turns in runs.items()})


def _ways(before: Path, options: argparse.Namespace) -> dict[str, Way]:
    """What is timed in turns: where, and the options of `bench`."""
    steps, cpus = ["--evaluations", str(options.evaluations)], ["--cpus", str(options.cpus)]
    has_students = bool(_students())
    # whoever has no students draws as is said
    now = [] if has_students else steps
    return {
        options.commit: (before, steps),
        **({"teachers": (_HERE, steps)} if has_students else {}),
        "now": (_HERE, now),
        f"{options.cpus} cpus": (_HERE, [*now, *cpus]),
    }


def _students() -> str:
    """How the students of the shipped bundle draw; empty if it has none."""
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle
    from flashsim_prod.physics.chain.distilled import told_students

    return told_students(load_bundle(find_bundle("reference")).manifest.models)


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    tree = folder / "before"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=_HERE, check=True)
    try:
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=_HERE, check=True)


def _environment(tree: Path, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        **thread_environment(1),
        "PYTHONPATH": str(tree),
        "FLASHSIM_PROD_HOME": str(home),
    }


def _generator_events(home: Path, card: str, number: int) -> Path:
    command = [sys.executable, "-m", "flashsim_prod.cli", "request", card, "--events", str(number)]
    command += ["--oversample", "1", "--events-per-job", str(number), "--seed", "1", "--name", "gen", "--yes"]
    subprocess.run(command, env=_environment(_HERE, home), cwd=home.parent, check=True, capture_output=True)
    return next((home / "store").rglob("*.root"))


def _bench(tree: Path, home: Path, card: str, gen: Path, more: list[str]) -> Figures:
    command = [sys.executable, "-m", "flashsim_prod.cli", "bench", card, "--input", str(gen)]
    command += ["--oversample", "10", "--no-store", "--json", *more]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, env=_environment(tree, home), cwd=home.parent, stdout=out, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"bench of {tree} ended with {process.returncode}")
        out.seek(0)
        told = json.loads(out.read())
    speed, total = told.get("speed", told), usage.ru_utime + usage.ru_stime
    # CPU time a stage: of one busy thread, its share of the wall time
    stages_s = sum(speed["stages_s"].values()) if speed.get("cpus", 1) > 1 else speed["seconds"]
    scale = 1000 * speed["cpu_s"] / stages_s / speed["events"]
    networks = {name: speed["stages_s"][name] * scale for name in _NETWORKS}
    every = 1000 * speed["cpu_s"] / speed["events"]
    rest = {name: found * scale for name, found in speed["stages_s"].items() if name not in _NETWORKS}
    return {
        "whole, ms/event": every,
        "whole, wall ms/event": 1000 * speed["seconds"] / speed["events"],
        "cores that it had": speed["cpu_s"] / speed["seconds"],
        **{f"{name}, ms/event": found for name, found in networks.items()},
        "all but networks, ms/event": every - sum(networks.values()),
        **{f"  {name}, ms/event": found for name, found in rest.items()},
        "start-up, s": total - speed["cpu_s"],
        "peak memory, MB": usage.ru_maxrss / 1000,
    }


def _least(turns: list[Figures]) -> Figures:
    best = {name: min(turn[name] for turn in turns) for name in turns[0]}
    # of the turn with the least wall time
    quick = min(turns, key=lambda turn: turn["whole, wall ms/event"])
    return best | {"cores that it had": quick["cores that it had"]}


def _show(found: dict[str, Figures]) -> None:
    first, *others = found
    heads = [word for name in others for word in (name, "ratio")]
    print(f"{'CPU time, if not said otherwise':32} {first:>9} " + " ".join(f"{head:>9}" for head in heads))
    for name, value in found[first].items():
        row = [f"{name:32} {value:9.3f}"]
        for other in others:
            # a stage that one way has not is no ratio
            mine = found[other].get(name, float("nan"))
            row.append(f"{mine:9.3f} {value / mine:9.2f}")
        print(" ".join(row))


if __name__ == "__main__":
    main()
