"""The protocol of a measurement: a file that says all of it, each field once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flashsim_prod.core.choices import Mode, Solver
from flashsim_prod.core.request import Sampling
from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.measure.per_mode import PerMode
from flashsim_prod.production.measure.protocol import (
    EnergyProtocol,
    protocol_text,
    read_protocol,
    write_protocol,
)

FULL = EnergyProtocol(
    modes=(Mode.CPU, Mode.FULLSIM),
    quick=True,
    cycles=7,
    events=10**9,
    meters=("ipmi", "replay:a: b.csv"),
    bmc="admin@host:624",
    refresh_s=0.25,
    lag_s=0.0,
    copies=PerMode(2, {Mode.FULLSIM: 4}),
    threads=PerMode(3),
    inputs=("a b.root", "# no comment", "{not: a map}"),
    oversample=(1, 20),
    sampling=Sampling(solver=Solver.AB2, evaluations=5, grid_power=2.0),
    command=f"""sh -c 'echo "it: {{copy}}" # {"x" * 120} é'""",
    count=r"^(?P<events>\d+)\s: done",
    gpus=(0, 3),
)


@pytest.mark.parametrize("protocol", [EnergyProtocol(), FULL], ids=["defaults", "full"])
def test_a_protocol_that_was_written_is_read_the_same(protocol: EnergyProtocol, tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    write_protocol(protocol, path)
    assert read_protocol(path) == protocol
    with pytest.raises(RequestError, match="is there already"):
        write_protocol(EnergyProtocol(), path)
    assert read_protocol(path) == protocol


def test_a_written_protocol_has_every_field_under_its_comment() -> None:
    lines = protocol_text(EnergyProtocol()).splitlines()
    assert list(yaml.safe_load("\n".join(lines))) == list(EnergyProtocol.model_fields)
    for name, field in EnergyProtocol.model_fields.items():
        (place,) = [index for index, line in enumerate(lines) if line.startswith(f"{name}:")]
        assert lines[place - 1].startswith("# ")
        assert (field.description or "")[-20:] in lines[place - 1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("idle: 5", r"p.yaml: unknown key 'idle'; did you mean 'idle_s'\?"),
        ("sampling: {evals: 5}", "p.yaml: unknown key 'sampling.evals'; did you mean 'evaluations'"),
        ("modes: [fulsim]", "p.yaml: modes.0: must be 'gpu', 'cpu'"),
        ("modes: []", "p.yaml: modes: "),
        ("cycles: many", "p.yaml: cycles: 'many' is no whole number"),
        ("idle_s: 0.5", "p.yaml: idle_s: must be greater than or equal to 1"),
        ("copies: [1, fulsim=4]", "p.yaml: copies: 'fulsim=4' is not N or MODE=N"),
        ("copies: 0", "p.yaml: copies: '0' is not N or MODE=N"),
        ("events: 1.5", "p.yaml: events: "),
        ("events: lots", "p.yaml: events: 'lots' is no number; write 1000"),
        ("meters: [impi]", "p.yaml: meters: no meter 'impi'; did you mean 'ipmi'"),
        ("bmc: a@b@c", "p.yaml: bmc: 'a@b@c' is not of the form USER@HOST"),
        ("count: '('", r"p.yaml: count: '\(' is no regular expression"),
        ("- cpu", "p.yaml: expected keys and values, found list"),
        ("modes: [", "p.yaml: not valid YAML"),
    ],
)
def test_a_bad_protocol_is_one_line_with_file_and_field(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=line) as caught:
        read_protocol(path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_protocol_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_protocol(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is no text"):
        read_protocol(tmp_path / "bytes.yaml")


def test_events_may_be_written_as_on_a_command_line() -> None:
    assert EnergyProtocol.from_yaml("events: 100M", "p.yaml").events == 100_000_000


def test_what_is_typed_takes_the_place_of_what_the_file_says() -> None:
    typed = FULL.with_typed({"cycles": 1, "sampling": {"evaluations": 9}}, {})
    assert typed == FULL.model_copy(
        update={"cycles": 1, "sampling": Sampling(solver=Solver.AB2, evaluations=9, grid_power=2.0)}
    )
    with pytest.raises(ConfigError, match=r"^--evaluations: the midpoint solver .* so 5 must be even$"):
        FULL.with_typed(
            {"sampling": {"solver": "midpoint"}}, {"sampling.evaluations": "--evaluations", "cycles": "-"}
        )


def test_the_documented_protocol_is_one() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "energy.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    found = EnergyProtocol.from_yaml(example, "docs/energy.md")
    assert (found.modes, found.copies[Mode.FULLSIM], found.bmc) == (FULL.modes, 4, "admin@host")
