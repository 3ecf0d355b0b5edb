"""A file that is given twice, under whatever name, is not taken for two files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.chain.registry import find_model
from flashsim_prod.physics.event_range import EventRange
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.nanoaod.writer import NanoWriter
from flashsim_prod.physics.training.sample import write_reference_sample
from flashsim_prod.physics.training.tables import extract_file, load_tables, table_sizes
from flashsim_prod.physics.validation.dataset.figures import DatasetFidelity
from flashsim_prod.physics.validation.dataset.page import Validation
from flashsim_prod.physics.validation.dataset.samples import read_sample
from flashsim_prod.physics.validation.detector.sides import Part, read_sides
from flashsim_prod.physics.validation.models.held_out import inspect_all

V9 = Schema.load("v9")
MET = find_model("met")


def quiet(*now: object) -> None:
    """No progress is shown."""


@pytest.fixture(scope="module")
def once(gen, reconstruct, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copies") / "once.root"
    with NanoWriter(path, schema=V9, provenance={}) as writer:
        writer.write(reconstruct(gen, 1, seed=3))
    return path


@pytest.fixture
def twice(once: Path, tmp_path: Path) -> list[str]:
    other = tmp_path / "other.root"
    shutil.copy(once, other)
    return [str(once), str(other)]


def _sample(urls: Sequence[str], tmp_path: Path) -> None:
    read_sample(urls, "", max_events=100, progress=quiet, same_dataset=False)


def _dataset(urls: Sequence[str], tmp_path: Path) -> None:
    read_sample(urls, "", max_events=100, progress=quiet, same_dataset=True)


def _held_out(urls: Sequence[str], tmp_path: Path) -> None:
    inspect_all(urls)


def _detector(urls: Sequence[str], tmp_path: Path) -> None:
    read_sides(urls, part=Part.ALL, seed=1, schema=V9, progress=quiet)


def _reconstructed(urls: Sequence[str], tmp_path: Path) -> None:
    list(write_reference_sample(urls, tmp_path / "full.root", folds=1, seed=1))


@pytest.mark.parametrize("read", [_sample, _dataset, _held_out, _detector, _reconstructed])
def test_copies_are_refused(
    read: Callable[[Sequence[str], Path], None], twice: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"other\.root and .*once\.root are copies of one file; its events"):
        read(twice, tmp_path)
    with pytest.raises(InputError, match=r"once\.root is given twice; its events would count twice"):
        read([twice[0]] * 2, tmp_path)


def test_that_a_dataset_is_compared_with_itself_is_told(twice: list[str]) -> None:
    samples = [read_sample([url], "", max_events=9, progress=quiet, same_dataset=True) for url in twice]
    fidelity = DatasetFidelity((), (), ())
    made = Validation("", *samples, True, fidelity, True, (), {}, ("a note",))
    (note, told) = made.summary()["notes"]
    assert (note, told) == (
        "a note",
        "once.root is of the dataset and of the reference: the same events cannot differ",
    )
    unlike = replace(samples[1], files=(replace(samples[1].files[0], identity=("1", 2)),))
    assert replace(made, reference=unlike).told == ("a note",)


def test_tables_of_a_copy_are_refused(twice: list[str], tmp_path: Path) -> None:
    list(extract_file(twice[0], [MET], tmp_path, part=EventRange.parse(":50%")))
    with pytest.raises(InputError, match=r"other\.root is a copy of .*once\.root, which .* is of"):
        list(extract_file(twice[1], [MET], tmp_path))
    # other events of it are other events
    list(extract_file(twice[1], [MET], tmp_path, part=EventRange.parse("50%:")))
    assert len(load_tables(tmp_path, MET).number) == table_sizes(tmp_path, MET)[0]


def test_tables_of_copies_that_were_drawn_side_by_side_are_not_learned_from(
    twice: list[str], tmp_path: Path
) -> None:
    for url, folder in zip(twice, ("a", "b"), strict=True):
        list(extract_file(url, [MET], tmp_path / folder))
    shutil.copy(tmp_path / "b/met/other.safetensors", tmp_path / "a/met")
    with pytest.raises(InputError, match=r"are of copies of one file .*remove the tables of one"):
        load_tables(tmp_path / "a", MET)
