"""A request's options are those of its model: each can be typed, and what is typed arrives."""

from __future__ import annotations

import inspect

import pytest
from pydantic import BaseModel

from flashsim_prod.cli.requests.request import request
from flashsim_prod.core.options import RequestOptions
from flashsim_prod.errors import RequestError
from flashsim_prod.production.order.order import Typed

#: simulated events are all of run 1; other steps than students take are their teachers'
NOT_TYPED = {"run", "teachers"}
#: where an option is called otherwise, for short
SHORT = {"lifetime_days": "lifetime"}


def _names(model: type[BaseModel]) -> list[str]:
    """The fields of the model, those of a model within it in its place."""
    found = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        is_model = isinstance(inner, type) and issubclass(inner, BaseModel)
        found += _names(inner) if is_model else [name]
    return found


def test_every_option_of_the_model_is_one_of_the_command() -> None:
    of_command = set(inspect.signature(request).parameters)
    wanted = [SHORT.get(name, name) for name in _names(RequestOptions) if name not in NOT_TYPED]
    assert set(wanted) <= of_command


def test_what_is_not_typed_has_its_default() -> None:
    typed = Typed(card="ttbar", seed=None, device=None, events=None)
    assert (typed.oversample, typed.wanted_device, typed.inputs) == (1, None, ())
    assert typed.seed != Typed(card="ttbar").seed, "drawn anew"
    assert Typed(card="ttbar", oversample="1k", device="auto").chosen()["oversample"] == 1000


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"oversample": "20k"}, "--oversample: at most 10000 folds per gen event"),
        ({"oversample": "many"}, "--oversample"),
        ({"seed": -1}, "--seed: -1 is not from 0 to 9223372036854775807"),
    ],
)
def test_wrong_numbers_are_told_by_the_option(wrong: dict[str, object], line: str) -> None:
    with pytest.raises(RequestError, match=line):
        Typed.from_mapping({"card": "ttbar", **wrong}, "options")
