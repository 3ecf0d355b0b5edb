"""What tests of training at a site share: tables of every model, and a node that only pretends to fit."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np

from flashsim_prod.physics.chain.registry import MODELS
from flashsim_prod.physics.training.drawn import table_path
from flashsim_prod.physics.training.fit import LEAST_OBJECTS
from flashsim_prod.physics.training.tables import Table

#: stands for the command line of a node: what a fit leaves, without fitting. Fits wait for the file ``go`` of
#: the work folder; that of `met` fails once, as on a bad node, those that the file ``broken`` names for good
FAKE_FIT = """\
import pathlib, sys, time
words = sys.argv[1:]
if words[:1] == ["-c"]:
    sys.exit(0)
work = pathlib.Path(words[words.index("--work") + 1])
if "bundle" in words:
    drawn = {one.stem for one in (work / "tables" / "full.root").glob("*")}
    lacking = drawn - {one.parent.name for one in work.glob("fits/*/entry.json")}
    if not lacking:
        pathlib.Path(words[words.index("bundle") + 1]).mkdir()
    sys.exit(17 if lacking else 0)
model = words[words.index("fit") + 1]
folder = work / "fits" / model
while not (work / "go").exists():
    time.sleep(0.2)
broken = work / "broken"
if broken.exists() and model in broken.read_text().split():
    sys.exit("this fit is broken")
if model == "met" and not (folder / "once").exists():
    folder.mkdir(parents=True)
    (folder / "once").touch()
    sys.exit(22)
folder.mkdir(parents=True, exist_ok=True)
(folder / "words").write_text(" ".join(words))
(folder / "entry.json").write_text("{}")
"""


def make_tables(work: Path) -> None:
    """As many objects of each model as a fit needs at least."""
    n = LEAST_OBJECTS
    for model in MODELS:
        path = table_path(work / "tables", "full.root", model)
        path.parent.mkdir(parents=True, exist_ok=True)
        conditions = np.zeros((n, len(model.conditions)), dtype=np.float32)
        Table(conditions, np.ones(n, dtype=np.int64), np.arange(n), {}).save(path)


def fake_interpreter(folder: Path) -> Path:
    """An interpreter of a node that only pretends."""
    (folder / "fit.py").write_text(FAKE_FIT)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/fit.py "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return python
