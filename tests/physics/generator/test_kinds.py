"""Each kind of source in a request is opened by the module that knows it."""

from __future__ import annotations

from typing import get_args

import pytest

from flashsim_prod.core.sources.kinds import AnySource
from flashsim_prod.physics.generator import kinds
from flashsim_prod.physics.generator.existing import NanoKind
from flashsim_prod.physics.generator.pythia import PythiaKind


def test_every_kind_that_a_request_can_name_is_opened() -> None:
    named = {one.model_fields["kind"].default for one in get_args(get_args(AnySource)[0])}
    assert named == set(kinds._MODULES)
    assert all(isinstance(kinds.find_kind(name), kinds.SourceKind) for name in named)


@pytest.mark.parametrize("url", ["/a.root", "root://there//a.root", "/a.txt", "/no_extension"])
def test_what_no_other_kind_takes_is_nanoaod_or_refused_as_such(url: str) -> None:
    assert isinstance(kinds.kind_of_file(url), NanoKind)


def test_without_files_it_is_the_generator() -> None:
    assert isinstance(kinds.kind_without_files(), PythiaKind)
