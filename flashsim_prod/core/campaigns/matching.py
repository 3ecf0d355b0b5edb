"""What a campaign's file wants, against what there is: pure, so that nothing is made twice or forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flashsim_prod.core.campaigns.campaign import Wanted


@dataclass(frozen=True)
class Made:
    """A sample of a campaign that there is: a request and its extensions.

    Attributes
    ----------
    name : str
        Of the request.
    key : str
        Of what it is a sample.
    site : str
        Where the request was made.
    gen_events : int
        Of all of them.
    available : int or None
        Gen events that the input holds; ``None`` if there is no end to them.
    """

    name: str
    key: str
    site: str
    gen_events: int
    available: int | None = None

    def target(self, wanted: Wanted) -> int:
        """Gen events that `wanted` asks of this sample."""
        gen_events = wanted.gen_events
        return (self.available or self.gen_events) if gen_events is None else gen_events


@dataclass(frozen=True)
class Match:
    """A request that is wanted, and the sample that serves it; ``None`` if it is new."""

    wanted: Wanted
    made: Made | None

    @property
    def lacking(self) -> int:
        """Gen events by which the sample has to grow."""
        return 0 if self.made is None else max(0, self.made.target(self.wanted) - self.made.gen_events)

    @property
    def beyond(self) -> int:
        """Gen events that there are beyond those that are wanted."""
        return 0 if self.made is None else max(0, self.made.gen_events - self.made.target(self.wanted))


def match(wanted: Iterable[Wanted], made: Iterable[Made]) -> tuple[list[Match], list[Made]]:
    """Which sample serves each request that is wanted, and which samples serve none.

    A sample serves at most one. Samples of the right size go before others, those at the site before those
    elsewhere, and those that have to grow before those that are too large.
    """
    left = sorted(made, key=lambda one: one.name)
    open_ = list(wanted)
    found: dict[int, Made] = {}
    order = sorted(range(len(open_)), key=lambda index: (open_[index].gen_events or 0, index))
    for fits in _ROUNDS:
        for index in order:
            if index in found:
                continue
            one = open_[index]
            chosen = _best([each for each in left if each.key == one.key and fits(one, each)], one)
            if chosen is not None:
                found[index] = chosen
                left.remove(chosen)
    return [Match(one, found.get(index)) for index, one in enumerate(open_)], left


def _is_exact(wanted: Wanted, made: Made) -> bool:
    return made.target(wanted) == made.gen_events


#: what counts as serving, the best first
_ROUNDS: Sequence[Callable[[Wanted, Made], bool]] = (
    lambda wanted, made: _is_exact(wanted, made) and made.site == wanted.site,
    _is_exact,
    lambda wanted, made: made.site == wanted.site,
    lambda wanted, made: True,
)


def _best(samples: Sequence[Made], wanted: Wanted) -> Made | None:
    """The largest of those that are not too large, else the smallest of the others."""
    growing = [one for one in samples if one.gen_events <= one.target(wanted)]
    if growing:
        return max(growing, key=lambda one: one.gen_events)
    return min(samples, key=lambda one: one.gen_events, default=None)
