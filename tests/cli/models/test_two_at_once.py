"""Two commands that would write the same fit: the second is told who is at work, and nothing is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.grid.locks import alone, fit_lock
from tests.untaught import MODEL

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    "words",
    [
        ("fit", MODEL),
        ("fit", MODEL, "--anew"),
        ("all", "--anew"),
        ("fit", MODEL, "--base", "BASE"),
        ("calibrate", "--model", MODEL, "--base", "BASE", "--anew"),
        ("refine", MODEL),
        ("reweight", MODEL, "--base", "BASE"),
    ],
)
def test_a_fit_that_another_command_makes_is_left_to_it(
    cli: Cli, work: Path, base: str, words: tuple[str, ...]
) -> None:
    kept = work / "fits" / MODEL / "flow.checkpoint.safetensors"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with fit_lock(work, MODEL):
        told = cli("train", *(base if word == "BASE" else word for word in words), "--work", str(work))
    assert told.code == 14
    assert f"another command (process {os.getpid()} on " in told.complaint
    assert f"is at work on the fit of {MODEL} in {work}; wait for it to end" in told.complaint
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_other_models_are_fitted_meanwhile(cli: Cli, work: Path) -> None:
    with fit_lock(work, "met"):
        told = cli("train", "fit", MODEL, "--work", str(work), "--steps", "100", "--width", "8")
    assert told.code == 0


def test_kinds_that_another_command_compares(cli: Cli, work: Path) -> None:
    place = work / "kinds" / MODEL
    place.mkdir(parents=True)
    with alone(place, "gan", ""):
        told = cli("train", "compare", MODEL, "--kinds", "gan", "--minutes", "0.001", "--work", str(work))
    assert told.code == 14
    assert f"trains {MODEL} as a gan in {work / 'kinds'}; wait for it to end" in told.complaint


def test_students_that_another_command_teaches(cli: Cli, work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new.students"
    folder.mkdir()
    words = ("train", "distil", "reference", "--output", str(tmp_path / "new"), "--work", str(work))
    with alone(folder, "teaching", ""):
        told = cli(*words, "--models", MODEL)
    assert told.code == 14
    assert f"teaches students for {tmp_path / 'new'}; wait for it to end" in told.complaint
    # where nothing can be taught, nothing is left
    told = cli(*words, "--models", "met")
    assert (told.code, folder.exists()) == (10, False)


def test_nothing_is_held_in_a_folder_of_something_else(cli: Cli, tmp_path: Path) -> None:
    told = cli("train", "refine", MODEL, "--work", str(tmp_path))
    assert told.code == 11
    assert not (tmp_path / "fits").exists()
