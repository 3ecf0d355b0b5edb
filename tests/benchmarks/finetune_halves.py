"""How near to FullSim a bundle comes by fine-tuning: fitted on half of each file, judged on the other half.

    python tests/benchmarks/finetune_halves.py WORK FILE... [--some FILE...] [--base BUNDLE]

Both ways round. FILEs teach all models and are judged on; those of ``--some`` teach all but leptons, MET, fat
jets and what is of the whole event, and are not judged on. Prints the table of docs/finetune.md; bundles and
reports stay in WORK.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

#: (learned from, judged on)
HALVES = ((":50%", "50%:"), ("50%:", ":50%"))
#: what files of another kind of event are not to teach
WITHOUT = ("muon_*", "electron_*", "fatjet_*", "subjet_*", "met", "event_scalars")


def train(*words: str) -> None:
    """Run a command of ``flashsim-prod train``."""
    subprocess.run(
        [sys.executable, "-m", "flashsim_prod.cli", "train", *words], check=True, stdout=sys.stderr
    )


def both_ways(work: Path, files: list[str], some: list[str], base: str) -> list[dict[str, dict[str, object]]]:
    """The figures of each half, calibrated and fine-tuned."""
    found = []
    for number, (learned, judged) in enumerate(HALVES):
        half = {}
        folder = work / f"half{number}"
        at = ("--work", str(folder))
        train("extract", *files, *at, "--events", learned)
        if some:
            train(
                "extract",
                *some,
                *at,
                "--events",
                learned,
                *(w for one in WITHOUT for w in ("--without", one)),
            )
        for name, command in (("calibrated", ("calibrate",)), ("fine-tuned", ("fit", "all"))):
            started = time.monotonic()
            train(*command, "--base", base, *at)
            seconds = time.monotonic() - started
            bundle, report = folder / name, folder / f"{name}.report"
            train("bundle", str(bundle), *at, "--base", base, "--name", name)
            against = ("--against", *files, "--events", judged, "--output", str(report), "--no-figures")
            train("report", str(bundle), *against)
            half[name] = {**json.loads((report / "report.json").read_text())["against"], "seconds": seconds}
        found.append(half)
    return found


def table(found: list[dict[str, dict[str, object]]]) -> str:
    """As Markdown: before, calibrated and fine-tuned, of each half."""
    lines = ["| | before | calibrated | fine-tuned | floor |", "|---|---|---|---|---|"]
    names = list(found[0]["fine-tuned"]["told_apart"])
    for name in names:
        ways = []
        for half in found:
            calibrated, tuned = (half[how]["told_apart"].get(name) for how in ("calibrated", "fine-tuned"))
            if calibrated and tuned:
                ways.append((tuned["auc_before"], calibrated["auc"], tuned["auc"], tuned["auc_floor"]))
        columns = (", ".join(f"{one:.3f}" for one in column) for column in zip(*ways, strict=True))
        lines.append(f"| {name} | {' | '.join(columns)} |")
    for label in ("red", "amber", "green"):
        ways = [
            (half["fine-tuned"]["before"], half["calibrated"]["after"], half["fine-tuned"]["after"])
            for half in found
        ]
        columns = (
            ", ".join(str(one["lights"][label]) for one in column) for column in zip(*ways, strict=True)
        )
        lines.append(f"| groups {label} | {' | '.join(columns)} | |")
    seconds = (
        ", ".join(f"{half[how]['seconds']:.0f} s" for half in found) for how in ("calibrated", "fine-tuned")
    )
    lines.append(f"| took | | {' | '.join(seconds)} | |")
    for half in found:
        lines.append(f"red: {', '.join(half['fine-tuned']['after']['red'])}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--some", nargs="*", default=[])
    parser.add_argument("--base", default="reference")
    given = parser.parse_args()
    print(table(both_ways(given.work, given.files, given.some, given.base)))
