"""``request.yaml``: files from before load as ever, and whatever comes later leaves their digests alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import yaml
from pydantic import Field

from flashsim_prod.core import request as request_module
from flashsim_prod.core.card import ProcessCard
from flashsim_prod.core.options import RequestOptions
from flashsim_prod.core.request import Request
from flashsim_prod.core.sources.base import InputFile, Source
from flashsim_prod.core.sources.nano import NanoFiles
from flashsim_prod.core.sources.pythia import PythiaEvents
from flashsim_prod.errors import ConfigError

FROZEN = Path(__file__).parent / "frozen"
#: digests that these files have had since they were written
DIGESTS = {
    "pythia": "b89e6e9821a195d1c93324cdbea458ddd4ab03b98213532e4aa9ffa877bf3172",
    "nano": "fe87bf6d4969d6322031fdb3517655c59c8390d6c30d20b7b7134e37bfbd6467",
}


def _text(name: str) -> str:
    return (FROZEN / f"{name}.yaml").read_text(encoding="utf-8")


def _mapping(name: str, **changes: Any) -> dict[str, Any]:
    return {**yaml.safe_load(_text(name)), **changes}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_file_from_before_is_read_and_written_as_ever(name: str) -> None:
    request = Request.from_yaml(_text(name), name)
    assert request.source.kind == name
    assert request.digest() == DIGESTS[name]
    assert request.to_yaml() == _text(name)


@pytest.mark.parametrize("name", DIGESTS)
def test_the_code_is_written_last_and_is_no_part_of_the_digest(name: str) -> None:
    request = Request.from_mapping(_mapping(name, code="0123456789ab"), "request.yaml")
    assert request.digest() == DIGESTS[name]
    assert request.to_yaml() == f"{_text(name)}code: 0123456789ab\n"
    with pytest.raises(ConfigError, match="code"):
        Request.from_mapping(_mapping(name, code="0.1.0"), "request.yaml")


def test_files_without_inputs_or_with_none_ask_for_the_generator() -> None:
    mapping = _mapping("pythia")
    del mapping["inputs"]
    for given in (mapping, {**mapping, "inputs": []}, {**mapping, "source": {"kind": "pythia"}}):
        request = Request.from_mapping(given, "request.yaml")
        assert request.source == PythiaEvents()
        assert request.digest() == DIGESTS["pythia"]


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ([{"url": "a.root", "entrys": 3}], r"unknown key 'inputs\.0\.entrys'; did you mean 'entries'\?"),
        ([{"url": "a.root", "entries": "x"}], r"inputs\.0\.entries: 'x' is no whole number"),
        ([{"url": "a.root"}], r"the key 'inputs\.0\.entries' is missing"),
        ("a.root", r"inputs: must be a valid tuple"),
    ],
)
def test_faults_of_input_files_are_told_of_the_key_that_is_in_the_file(inputs: object, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        Request.from_mapping(_mapping("nano", inputs=inputs), "request.yaml")


def test_other_faults_are_told_beside_those_of_input_files() -> None:
    changed = _mapping("nano", inputs=[{"url": "a.root"}], sead=3)
    with pytest.raises(ConfigError, match=r"inputs\.0\.entries.*unknown key 'sead'; did you mean 'seed'"):
        Request.from_mapping(changed, "request.yaml")


def test_a_source_is_named_once_and_of_a_known_kind() -> None:
    with pytest.raises(ConfigError, match="'inputs' and 'source' both say where events come from"):
        Request.from_mapping(_mapping("nano", source={"kind": "pythia"}), "request.yaml")
    mapping = _mapping("pythia", source={"kind": "powheg"})
    del mapping["inputs"]
    with pytest.raises(ConfigError, match=r"source: .*'powheg'.*'pythia', 'nano'"):
        Request.from_mapping(mapping, "request.yaml")


class _Weighted(Source):
    """A kind that came later."""

    kind: Literal["weighted"] = "weighted"
    runs_generator: ClassVar[bool] = True
    files: tuple[InputFile, ...] = Field(min_length=1)

    def generator(self, card: ProcessCard) -> str:
        return f"weighted, tune {card.tune}"

    def headline(self, energy_tev: float) -> str:
        return "weighted events"


class _Later(Request):
    """A request of a version that has one more option and one more kind of source."""

    source: Annotated[PythiaEvents | NanoFiles | _Weighted, Field(discriminator="kind")] = PythiaEvents()  # type: ignore[assignment]
    smearing: float = 1.0


@pytest.mark.parametrize("name", DIGESTS)
def test_what_came_later_leaves_old_digests_alone(name: str) -> None:
    request = _Later.from_yaml(_text(name), name)
    assert request.digest() == DIGESTS[name]
    assert request.to_yaml() == _text(name)
    other = _Later.from_mapping(_mapping(name, smearing=1.5), name)
    assert other.digest() != DIGESTS[name]
    assert other.to_yaml() == f"{_text(name)}smearing: 1.5\n"
    assert _Later.from_yaml(other.to_yaml(), name) == other


def test_a_later_kind_of_source_is_the_key_source() -> None:
    source = _Weighted(files=(InputFile(url="/a.lhe", entries=9000),))
    request = _Later.from_yaml(_text("pythia"), "a").model_copy(update={"source": source})
    written = yaml.safe_load(request.to_yaml())
    assert "inputs" not in written
    assert written["source"]["kind"] == "weighted"
    assert _Later.from_yaml(request.to_yaml(), "a") == request
    assert request.digest() != DIGESTS["pythia"]


def test_an_option_that_came_later_has_a_default() -> None:
    later = set(RequestOptions.model_fields) - set(request_module._FIRST_FORM)
    assert not [name for name in later if RequestOptions.model_fields[name].is_required()]
