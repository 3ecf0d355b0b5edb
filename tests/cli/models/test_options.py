"""An option that several commands have is described in the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from flashsim_prod.cli.models.bundle import import_
from flashsim_prod.cli.models.changing.refine import refine
from flashsim_prod.cli.models.changing.reweight import reweight
from flashsim_prod.cli.models.changing.tune import calibrate
from flashsim_prod.cli.models.fit import fit
from flashsim_prod.cli.models.train import bundle


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ((calibrate, fit, refine, reweight), "Bundle whose models are the beginning, as: reference"),
        ((bundle, import_), "Bundle that models come from which are not "),
    ],
)
def test_what_a_base_is(commands: tuple[Callable[..., Any], ...], words: str) -> None:
    for command in commands:
        (option,) = get_type_hints(command, include_extras=True)["base"].__metadata__
        assert (option.help.startswith(words), option.metavar) == (True, "BUNDLE")
