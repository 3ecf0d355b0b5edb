"""Cocktails: fractions that add up, and processes that come from somewhere."""

from __future__ import annotations

import pytest

from flashsim_prod.core.training.cocktail import Cocktail
from flashsim_prod.errors import ConfigError

DATASET = "/TTTo2L2Nu/RunIISummer20UL16NanoAODv9-v1/NANOAODSIM"


def cocktail(*processes: dict[str, object], **more: object) -> Cocktail:
    fields = {"name": "c", "title": "t", "era": "UL16postVFP", "tag": "C", "events": 10, **more}
    return Cocktail.from_mapping({**fields, "processes": list(processes)}, "c.yaml")


def test_each_process_has_its_part() -> None:
    found = cocktail(
        {"name": "tt", "fraction": 0.7, "record": 5, "dataset": DATASET},
        {"name": "dy", "fraction": 0.3, "files": ["a.root"]},
    )
    assert found.shares(10) == {"tt": 7, "dy": 3}
    assert found.shares(1) == {"tt": 1, "dy": 1}


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        (
            [{"name": "a", "fraction": 0.7, "record": 1}, {"name": "b", "fraction": 0.4, "record": 2}],
            "add up to 1.1",
        ),
        ([{"name": "a", "fraction": 1.5, "record": 1}], "fraction"),
        ([{"name": "a", "fraction": 1.0}], "a: give a record or a dataset, or else files"),
        (
            [{"name": "a", "fraction": 1.0, "record": 1, "files": ["x.root"]}],
            "give a record or",
        ),
        ([{"name": "a", "fraction": 1.0, "dataset": "/A/B/MINIAODSIM"}], "not the name of a NanoAOD dataset"),
        ([{"name": n, "fraction": 0.5, "record": 1} for n in "ab"], "the record 1 is there twice"),
        ([{"name": "a", "fraction": 0.5, "record": n} for n in (1, 2)], "the name a is there twice"),
        ([], "processes"),
    ],
)
def test_what_makes_no_cocktail(processes: list[dict[str, object]], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        cocktail(*processes)
    assert "\n" not in str(caught.value)
