"""HepMC files that are damaged, mixed or of another kind are told in a line when a request is made."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.generator.hepmc.file import event_texts
from flashsim_prod.physics.generator.hepmc.survey import survey, survey_alike
from flashsim_prod.physics.generator.kinds import kind_of_file


@pytest.fixture
def write(hepmc: ModuleType, tmp_path: Path) -> Callable[..., str]:
    def written(
        name: str = "a.hepmc", events: int = 3, *, form: str = "hepmc3", first: int = 0, **how: object
    ) -> str:
        change = how.pop("change", str)
        rows = [hepmc.by_hand(hepmc.muon_pair(20.0 + first + k), k, **how) for k in range(events)]
        return str(hepmc.write_hepmc(tmp_path / name, rows, form=form, change=change))

    return written


def _without_a_particle(text: str) -> str:
    begin = text.index("\nP")
    return text[:begin] + text[text.index("\nP", begin + 1) :]


@pytest.mark.parametrize("form", ["hepmc3", "hepmc2"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text[: len(text) // 2], "is truncated: it does not end with"),
        (lambda text: text.partition("\nE ")[0], "holds no events|START_EVENT_LISTING|truncated"),
        (lambda text: "", "is empty and so is no HepMC file"),
        (lambda text: "hello\n", "is no HepMC file"),
        (lambda text: "<LesHouchesEvents>\n" + text, "is no HepMC file"),
        (lambda text: text + text, "is several files in one"),
        (lambda text: text.replace("\nE 1 ", "\nE x "), "event 1 cannot be read"),
        (lambda text: _without_a_particle(text), "event 0 cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_a_line(
    form: str,
    change: Callable[[str], str],
    complaint: str,
    write: Callable[..., str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("a.hepmc", "a.hepmc.gz"):
        with pytest.raises(InputError, match=complaint) as told:
            survey(write(name, form=form, change=change))
        assert "\n" not in str(told.value)
    # what reads it says nothing on its own
    assert not any(word in capfd.readouterr().err for word in ("ERROR", "DEBUG"))


def test_events_begin_where_they_begin_whatever_else_has_their_letter(write: Callable[..., str]) -> None:
    path = Path(write(events=40))
    expected = list(event_texts(str(path)))
    assert len(expected) == 40
    text = path.read_text(encoding="utf-8").replace("e+", "E+").replace("e-", "E-")
    other = Path(write("b.hepmc", change=lambda _: text))
    assert [one.lower() for one in event_texts(str(other))] == [one.lower() for one in expected]
    # an exponent in the first place of a line, and at the ends of what is read at a time
    other.write_text(text.replace("\nP 3 ", "\nEP 3 "), encoding="utf-8")
    assert len(list(event_texts(str(other)))) == 40


def test_packed_files_that_are_cut_off_or_damaged_are_told(write: Callable[..., str]) -> None:
    path = Path(write("a.hepmc.gz", 40))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is truncated; copy it again"):
        survey(str(path))
    path.write_bytes(whole[:-8] + b"12345678")
    with pytest.raises(InputError, match="is damaged"):
        survey(str(path))
    with pytest.raises(InputError, match="does not exist"):
        survey(str(path.with_name("b.hepmc")))
    with pytest.raises(InputError, match="are read from disks"):
        survey("ftp://there/a.hepmc")


@pytest.mark.parametrize("form", ["hepmc3", "hepmc2"])
def test_weights_that_nanoaod_cannot_hold_are_refused(
    form: str, write: Callable[..., str], hepmc: ModuleType
) -> None:
    info = hepmc.run_info(["Default", "other"])
    for values, complaint in (
        ((1e39, 1.0), "has a weight of 1e\\+39, more than NanoAOD can hold"),
        ((float("nan"), 1.0), "(has a weight that is not finite|cannot be read: .*weights)"),
        ((0.0, 1.0), "has a weight of 0, by which"),
    ):
        with pytest.raises(InputError, match=f"event 0 {complaint}"):
            survey(write(info=info, weights=values, form=form))
    assert survey(write(info=info, weights=(0.0, 0.0), form=form)).scan.entries == 3
    assert survey(write(info=info, weights=(-2.0, 1.0), form=form)).scan.negative == 3


def test_files_that_are_not_one_sample_are_refused(write: Callable[..., str], hepmc: ModuleType) -> None:
    first = survey(write("a.hepmc"))
    with pytest.raises(
        InputError, match=r"c\.hepmc has not the same weights as .*a\.hepmc: 'Default' is in one only"
    ):
        survey_alike([first, survey(write("c.hepmc", info=hepmc.run_info(["nominal"])))])
    with pytest.raises(InputError, match=r"d\.hepmc and .*a\.hepmc begin with the same event"):
        survey_alike([first, survey(write("d.hepmc", 2))])
    # the same in another form
    with pytest.raises(InputError, match=r"f\.hepmc and .*a\.hepmc begin with the same event"):
        survey_alike([first, survey(write("f.hepmc", form="hepmc2"))])
    assert survey_alike([first, survey(write("e.hepmc", first=9))]) is first


def test_a_file_is_known_by_its_name_or_by_its_first_bytes(write: Callable[..., str], tmp_path: Path) -> None:
    from flashsim_prod.physics.generator.hepmc.kind import HepmcKind

    named = [write(name) for name in ("a.hepmc", "a.hepmc3.gz", "a.HEPMC2", "events.dat")]
    packed = tmp_path / "events.gz"
    packed.write_bytes(gzip.compress(Path(named[0]).read_bytes()))
    assert all(isinstance(kind_of_file(one), HepmcKind) for one in (*named, str(packed)))
    for other in ("a.root", "a.lhe.gz", "https://there/a.root", str(tmp_path), str(tmp_path / "not_there")):
        assert not isinstance(kind_of_file(other), HepmcKind)
