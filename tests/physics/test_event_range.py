"""Parts of files: what is typed, which events that are, and what a training sample says of them."""

from __future__ import annotations

import pytest

from flashsim_prod.errors import RequestError
from flashsim_prod.physics.event_range import WHOLE, EventRange, told


@pytest.mark.parametrize(
    ("text", "n", "events"),
    [
        ("0:300", 500, (0, 300)),
        ("300:", 500, (300, 500)),
        (":50%", 501, (0, 250)),
        ("50%:", 501, (250, 501)),
        ("20%:40%", 10, (2, 4)),
        ("100:900", 500, (100, 500)),
        (None, 7, (0, 7)),
    ],
)
def test_a_part_of_a_file(text: str | None, n: int, events: tuple[int, int]) -> None:
    part = EventRange.parse(text)
    assert part.of(n, "a.root") == events
    assert EventRange.parse(str(part)).of(n, "a.root") == events if text else part.is_whole


@pytest.mark.parametrize("text", ["", ":", "5", "a:b", "-1:5", "0:101%", "1:2:3", "0.5:", "٣:5"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="--events"):
        EventRange.parse(text)


def test_a_part_without_events_is_refused() -> None:
    for text in ("500:", "7:7", "9:3", ":0%"):
        with pytest.raises(RequestError, match=r"a\.root has 500 events, none of them there"):
            EventRange.parse(text).of(500, "a.root")


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(weight: float) -> None:
    with pytest.raises(RequestError, match="a weight is a number above 0"):
        EventRange.parse(None, weight)


def test_two_halves_do_not_meet_and_the_whole_meets_both() -> None:
    first, second = EventRange.parse(":50%"), EventRange.parse("250:")
    sample = [told("real", str(first), 0.5), "others, events 0:500", "a line of words"]
    assert first.meets(sample, "real", 500)
    assert not second.meets(sample, "real", 500)
    assert second.meets(sample, "real", 502)
    assert WHOLE.meets(sample, "real", 500)
    assert second.meets(["real"], "real", 500)
    assert second.meets([told("real", "", 0.5)], "real", 500)
    assert not WHOLE.meets(["realistic"], "real", 500)


def test_what_the_models_of_another_bundle_learned_from_is_not_held_out():
    inner = "3 models of bundle older (0123456789ab): old; odd, events 0:10"
    for way in ("of", "began as those of"):
        sample = [
            "mine",
            f"25 models {way} bundle a (b) (0123456789ab): real, events 0:250, weight 0.5; {inner}",
        ]
        assert WHOLE.meets(sample, "mine", 500)
        assert WHOLE.meets(sample, "old", 500)
        assert not WHOLE.meets(sample, "older", 500)
        assert EventRange.parse("0:300").meets(sample, "real", 500)
        assert not EventRange.parse("250:").meets(sample, "real", 500)
        assert not EventRange.parse("10:").meets(sample, "odd", 500)
