"""Files of campaigns: what they ask for, and what is wrong with them in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from flashsim_prod.core.campaigns.campaign import Campaign, Choices, anchored
from flashsim_prod.core.options import RequestOptions
from flashsim_prod.errors import ConfigError

SUMMER = """
name: summer
defaults: {events: 100k, oversample: 10, sites: local}
requests:
  - cards: [ttbar, dyjets]
    eras: [Run2_2018, Run3_2022]
  - {cards: wjets, events: [1M, 2M], oversample: [1, 5], sites: [local, htcondor], priority: 3}
  - {inputs: [a.root, [b.root, c.root]], events: null, energies: 13}
"""


def _read(text: str) -> Campaign:
    return Campaign.from_yaml(text, "summer.yaml")


def test_each_combination_is_a_request() -> None:
    wanted = list(_read(SUMMER).wanted())
    assert len(wanted) == 4 + 8 + 2
    assert [str(one) for one in wanted[:2]] == [
        "ttbar Run2_2018 x10 at local",
        "ttbar Run3_2022 x10 at local",
    ]
    assert {(one.events, one.oversample, one.site) for one in wanted[4:12]} == {
        (events, folds, site)
        for events in (1_000_000, 2_000_000)
        for folds in (1, 5)
        for site in ("local", "htcondor")
    }
    assert [one.inputs for one in wanted[12:]] == [("a.root",), ("b.root", "c.root")]
    assert [one.priority for one in wanted] == [0] * 4 + [3] * 8 + [0] * 2
    # what is not said is that of the defaults
    assert {one.events for one in wanted[12:]} == {100_000}


def test_what_is_kept_is_what_was_read() -> None:
    campaign = _read(SUMMER)
    kept = yaml.safe_dump(campaign.model_dump(mode="json", exclude_none=True))
    assert list(_read(kept).wanted()) == list(campaign.wanted())


def test_a_key_is_of_contents_alone() -> None:
    def key(**entry: Any) -> str:
        mapping = {"name": "x", "requests": [{"cards": "ttbar", "events": 10, **entry}]}
        (one,) = Campaign.from_mapping(mapping, "x").wanted()
        return one.key

    first = key()
    assert first == "0302268639", "names of requests from before are found by it"
    for same in (
        {"events": "1M"},
        {"sites": "htcondor"},
        {"priority": 5},
        {"device": "cpu"},
        {"catalog": "rucio"},
    ):
        assert key(**same) == first
    others = [
        *({"oversample": 2}, {"seed": 1}, {"bundle": "mine"}, {"eras": "Run2_2018"}, {"energies": 13.6}),
        *({"cards": "wjets"}, {"inputs": "a.root"}, {"sampling": {"solver": "ab2"}}),
        *({"analysis": "mine"}, {"analysis": "yours"}, {"analysis": "mine", "format": "parquet"}),
    ]
    assert len({first, *(key(**other) for other in others)}) == len(others) + 1
    # what it is without a word, too
    assert key(analysis="mine", format="root") == key(analysis="mine")


@pytest.mark.parametrize(
    ("requests", "line"),
    [
        ("[]", "requests: is empty"),
        ("[{events: 5}]", "requests.0: say cards, or inputs"),
        ("[{cards: a, events: 1}, {cards: ttbar}]", "requests.1.events: say how many are wanted"),
        ("[{cards: ttbar, evnts: 3}]", "unknown key 'requests.0.evnts'; did you mean 'events'?"),
        ("[{cards: ttbar, events: many}]", "requests.0.events.0: 'many' is no number; write 1000, 10k"),
        ("[{cards: ttbar, events: 0}]", "requests.0.events.0: must be greater than or equal to 1"),
        ("[{cards: ttbar, events: 1.5}]", "requests.0.events.0: 1.5 is no whole number"),
        ("[{cards: ttbar, events: -1k}]", "requests.0.events.0: '-1k' is no number"),
        ("[{cards: 5, events: 1}]", "requests.0.cards.0: 5 is no text"),
        ("[{cards: ttbar, events: 9, oversample: 20k}]", "requests.0.oversample.0: must be less than"),
        ("[{cards: [ttbar, ttbar], events: 4}]", "requests.0.cards: ttbar is there twice"),
        (
            "[{cards: a, events: 10, oversample: 2}, {cards: a, events: 9, oversample: 2}]",
            "requests.1: a x2 at local is asked for by requests.0 as well; leave one out, or give it another",
        ),
        ("[{cards: a, events: 1, eras: x, energies: 13}]", "requests.0.eras: energies say the same"),
        ("[{inputs: a.root, eras: x}]", "requests.0.eras: the era of inputs is that of their energy"),
        ("[{cards: a, events: 1, xsec: 3}]", "requests.0.xsec: goes with inputs"),
        ("[{cards: a, events: 1, sampling: {evaluations: 3}}]", "requests.0.sampling.evaluations"),
        ("[{cards: a, events: 1, format: parquet}]", "requests.0.format: parquet is of flat ntuples"),
        ("[{cards: a, events: 1, analysis: z, format: csv}]", "requests.0.format"),
        ("[{cards: a, events: 1, analysis: z, bundle: b}]", "requests.0.bundle: is of NANOAOD"),
        ("[{cards: a, events: 1, analysis: z, nano: v9}]", "requests.0.nano: is of NANOAOD"),
        ("[{cards: a, events: 1, analysis: z, keep_unrefined: true}]", "requests.0.keep_unrefined: is of"),
        ("[{cards: a, events: 1, analysis: z, eras: Run2_2018}]", "requests.0.eras: is of bundles of object"),
        ("{cards: ttbar}", "requests: must be a valid tuple"),
        ("[ttbar]", "requests.0: must be a valid dictionary"),
        ("[{cards: a, events: 1}]\nat_once: {local: 0}", "at_once.local: must be greater than or equal to 1"),
        ("[{cards: a, events: 1}]\nbudget: {tb: none}", "budget.tb: 'none' is no number"),
        ("[{cards: a, events: 1}]\nbudgets: {}", "unknown key 'budgets'; did you mean 'budget'?"),
    ],
)
def test_what_is_wrong_is_told_with_entry_and_field(requests: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(f"name: summer\nrequests: {requests}")
    assert str(caught.value).startswith("summer.yaml: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_analysis_takes_the_place_of_the_models_of_other_entries() -> None:
    found = [
        (one.choices.bundle, one.choices.nano, one.choices.analysis, one.choices.format)
        for defaults in ("bundle: b, nano: v9", "analysis: a, format: parquet")
        for one in _read(
            f"name: x\ndefaults: {{events: 9, {defaults}}}\n"
            "requests: [{cards: a}, {cards: b, analysis: z}, {cards: c, bundle: c}]"
        ).wanted()
    ]
    assert found == [
        *[("b", "v9", None, None), (None, None, "z", None), ("c", "v9", None, None)],
        *[(None, None, "a", "parquet"), (None, None, "z", "parquet"), ("c", None, None, None)],
    ]


@pytest.mark.parametrize("name", ["a b", "a.b", "", "../x", "x" * 25])
def test_names_can_begin_those_of_requests(name: str) -> None:
    with pytest.raises(ConfigError, match=r"summer\.yaml: name: "):
        _read(f"name: {json.dumps(name)}\nrequests: [{{cards: a, events: 1}}]")


def test_names_of_files_are_given_to_whoever_knows_their_folder() -> None:
    mapping = {
        "defaults": {"sites": "s"},
        "requests": [{"cards": ["a", 5], "inputs": [["b"], "c"], "analysis": "z"}, "odd"],
        "x": 1,
    }
    found = anchored(mapping, lambda key, word: f"{key}/{word}")
    assert found == {
        "defaults": {"sites": "sites/s"},
        "requests": [
            {"cards": ["cards/a", 5], "inputs": [["inputs/b"], "inputs/c"], "analysis": "analysis/z"},
            "odd",
        ],
        "x": 1,
    }


def test_every_option_of_a_request_can_be_said() -> None:
    """Simulated events are all of run 1; virtual datasets are made one by one."""
    left_out = {"run", "virtual"}
    assert set(RequestOptions.model_fields) - left_out <= set(Choices.model_fields)
