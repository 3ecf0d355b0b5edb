"""Edited files of a campaign, one after another: nothing is made twice, nothing is forgotten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from flashsim_prod.core.campaigns.campaign import Wanted
from flashsim_prod.core.campaigns.matching import Made, match

#: gen events that the input of card 'input' holds
AVAILABLE = 7

_wanted = st.builds(
    Wanted,
    entry=st.just(0),
    card=st.sampled_from(["a", "b"]),
    events=st.sampled_from([10, 20, 30, 40]),
    oversample=st.just(10),
    site=st.sampled_from(["local", "htcondor"]),
) | st.builds(
    Wanted,
    entry=st.just(0),
    card=st.just("input"),
    inputs=st.just(("a.root",)),
    events=st.sampled_from([20, 50, None]),
    oversample=st.just(10),
    site=st.just("local"),
)
_files = st.lists(_wanted, max_size=6, unique_by=lambda one: (one.key, one.site, one.events))


def _run(there: list[Made], wanted: list[Wanted]) -> tuple[list[Made], int]:
    """The samples after a file was run, and how many requests that took."""
    matches, left = match(wanted, there)
    after, requests = list(left), 0
    for one in matches:
        sample = one.made
        if sample is None:
            available = AVAILABLE if one.wanted.inputs else None
            gen_events = one.wanted.gen_events or AVAILABLE
            taken = {each.name for each in [*there, *after]}
            name = next(name for n in count() if (name := f"{one.wanted.key}-{n:03d}") not in taken)
            sample = Made(name, one.wanted.key, one.wanted.site, gen_events, available)
            requests += 1
        elif one.lacking:
            sample = replace(sample, gen_events=sample.gen_events + one.lacking)
            requests += 1
        after.append(sample)
    return after, requests


@settings(max_examples=50)
@given(files=st.lists(_files, min_size=1, max_size=5), order=st.randoms(use_true_random=False))
def test_any_sequence_of_edits(files: list[list[Wanted]], order: object) -> None:
    there: list[Made] = []
    for wanted in files:
        after, _ = _run(there, wanted)
        # nothing that was there is lost or made smaller
        sizes = {one.name: one.gen_events for one in after}
        assert len(sizes) == len(after)
        for one in there:
            assert sizes[one.name] >= one.gen_events
        # all that is wanted is there, each served by a sample of its own that is large enough
        matches, left = match(wanted, after)
        served = [one.made for one in matches]
        assert None not in served
        assert len({one.name for one in served if one}) == len(wanted)
        assert not any(one.lacking for one in matches)
        assert Counter(served) + Counter(left) == Counter(after)
        # the same file again has nothing to do, whatever order its entries are in
        shuffled = list(wanted)
        order.shuffle(shuffled)  # type: ignore[attr-defined]
        for again in (wanted, shuffled):
            assert _run(after, again) == (_run(after, again)[0], 0)
        # as many samples of a kind as were ever wanted at the same time, and no more
        there = after
    most: Counter[str] = Counter()
    for wanted in files:
        most |= Counter(one.key for one in wanted)
    assert Counter(one.key for one in there) == most


def _one(events: int | None, site: str = "local") -> Wanted:
    return Wanted(entry=0, card="a", events=events, oversample=1, site=site)


def _made(name: str, gen_events: int, site: str = "local") -> Made:
    return Made(name, _one(1).key, site, gen_events)


def test_what_fits_best_serves() -> None:
    def names(wanted: list[Wanted], made: list[Made]) -> list[str | None]:
        return [one.made.name if one.made else None for one in match(wanted, made)[0]]

    small, large = _made("small", 10), _made("large", 100)
    assert names([_one(100)], [small, large]) == ["large"]
    assert names([_one(100), _one(20)], [small, large]) == ["large", "small"]
    assert names([_one(10, "htcondor")], [small]) == ["small"], "it is not made again at another site"
    assert names([_one(10, "htcondor"), _one(10)], [small]) == [None, "small"]


def test_how_much_is_lacking() -> None:
    (grown,), _ = match([_one(25)], [_made("a", 10)])
    assert (grown.lacking, grown.beyond) == (15, 0)
    (shrunk,), _ = match([_one(5)], [_made("a", 10)])
    assert (shrunk.lacking, shrunk.beyond) == (0, 5)
    whole = Wanted(entry=0, inputs=("x.root",), oversample=2)
    (rest,), _ = match([whole], [Made("a", whole.key, "local", 3, available=8)])
    assert rest.lacking == 5
