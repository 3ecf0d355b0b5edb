"""Records of generators with status codes of their own: flags, taus and flavours follow from the graph."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flashsim_prod.errors import InputError
from flashsim_prod.physics.events import Events
from flashsim_prod.physics.generator.hepmc.file import event_texts, read_head
from flashsim_prod.physics.generator.hepmc.graph import GraphParticles, check_graph
from flashsim_prod.physics.generator.hepmc.record import read_records
from flashsim_prod.physics.generator.hepmc.survey import survey
from flashsim_prod.physics.generator.pythia import of_particles

_PROMPT, _DECAYED, _TAU, _HARD, _FROM_HARD, _LAST = (1 << bit for bit in (0, 1, 2, 7, 8, 13))


def _particles(hepmc: ModuleType, folder: Path, event: Any) -> GraphParticles:
    path = hepmc.write_hepmc(folder / "it.hepmc", [event])
    (record,) = read_records(read_head(str(path)), list(event_texts(str(path))), ["it"])
    particles = GraphParticles.of([record])
    check_graph(particles, ["it"])
    return particles


def _flags(events: Events, pdg_id: int, pt: float) -> int:
    part = events["GenPart"]
    (found,) = part["statusFlags"][(part["pdgId"] == pdg_id) & np.isclose(part["pt"], pt)]
    return int(found)


def test_sherpas_taus_have_decayed_whatever_their_status(hepmc: ModuleType, tmp_path: Path) -> None:
    rows = [
        *hepmc.BEAMS,
        (2, 3, (0.0, 0.0, 60.0), 0.0, (0,)),
        (-2, 3, (0.0, 0.0, -60.0), 0.0, (1,)),
        (15, 3, (60.0, 0.0, 0.0), 1.777, (2, 3)),
        (-15, 3, (-60.0, 0.0, 0.0), 1.777, (2, 3)),
        # the shower is one vertex: all of the hard process goes in, all that is left comes out
        (15, 11, (59.0, 0.0, 0.0), 1.777, (4, 5)),
        (-15, 11, (-58.0, 0.0, 0.0), 1.777, (4, 5)),
        (22, 1, (-1.0, 0.0, 0.0), 0.0, (4, 5)),
        (16, 1, (19.0, 0.0, 0.0), 0.0, (6,)),
        (-211, 1, (25.0, 0.0, 0.0), 0.14, (6,)),
        (111, 2, (15.0, 0.0, 0.0), 0.135, (6,)),
        (22, 1, (8.0, 0.0, 0.0), 0.0, (11,)),
        (22, 1, (7.0, 0.0, 0.0), 0.0, (11,)),
        (-16, 1, (-20.0, 0.0, 0.0), 0.0, (7,)),
        (211, 1, (-38.0, 0.0, 0.0), 0.14, (7,)),
    ]
    particles = _particles(hepmc, tmp_path, hepmc.by_hand(rows))
    events = of_particles(particles)
    # each is a copy of its own, though the first of all mothers is the tau-
    assert particles.previous_copy[[6, 7]].tolist() == [4, 5]
    assert events["GenVisTau"].n_objects == 2
    assert sorted(events["GenVisTau"]["status"].tolist()) == [0, 1]
    hard, last, pion = (_flags(events, 15, 60.0), _flags(events, 15, 59.0), _flags(events, -211, 25.0))
    assert (hard & _HARD, hard & _LAST) == (_HARD, 0)
    assert last & (_DECAYED | _FROM_HARD | _LAST | _PROMPT) == _DECAYED | _FROM_HARD | _LAST | _PROMPT
    assert pion & (_PROMPT | _TAU) == _TAU


def test_herwigs_clusters_name_jets_and_the_signal_vertex_is_the_hard_process(
    hepmc: ModuleType, tmp_path: Path
) -> None:
    rows = [
        *hepmc.BEAMS,
        (21, 11, (0.0, 0.0, 60.0), 0.0, (0,)),
        (21, 11, (0.0, 0.0, -60.0), 0.0, (1,)),
        (5, 11, (60.0, 0.0, 0.0), 4.8, (2, 3)),
        (-5, 11, (-60.0, 0.0, 0.0), 4.8, (2, 3)),
        (5, 11, (58.0, 0.0, 0.0), 4.8, (4,)),
        (21, 11, (2.0, 0.0, 0.0), 0.75, (4,)),
        (81, 11, (60.0, 0.0, 0.0), 6.0, (6, 7)),
        (-511, 11, (50.0, 0.0, 0.0), 5.28, (8,)),
        (211, 1, (10.0, 0.0, 0.0), 0.14, (8,)),
        (411, 2, (30.0, 0.0, 0.0), 1.87, (9,)),
        (13, 1, (20.0, 0.0, 0.0), 0.106, (9,)),
        (-311, 1, (30.0, 0.0, 0.0), 0.5, (11,)),
        (81, 11, (-60.0, 0.0, 0.0), 6.0, (5,)),
        (-211, 1, (-60.0, 0.0, 0.0), 0.14, (14,)),
    ]
    # vertices are numbered as they come: the third is that of the two gluons
    particles = _particles(hepmc, tmp_path, hepmc.by_hand(rows, signal_vertex=-3))
    events = of_particles(particles)
    assert np.flatnonzero(particles.is_hadronising).tolist() == [5, 6, 7]
    order = np.argsort(-events["GenJet"]["pt"], kind="stable")
    assert set(
        zip(events["GenJet"]["partonFlavour"][order], events["GenJet"]["hadronFlavour"][order], strict=True)
    ) == {
        (5, 5),
        (-5, 0),
    }
    hard = set(np.flatnonzero(particles.is_marked_hard).tolist())
    assert hard == {2, 3, 4, 5}
    # the muon is of a hadron that has decayed, though its status does not say so
    assert _flags(events, 13, 20.0) & _PROMPT == 0


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([(22, 1, (1.0, 0.0, 0.0), 0.0, (5,))], r"particle 6 \(13\) is final \(status 1\) but has daughters"),
        ([(21, 1, (1.0, 0.0, 0.0), 0.0, (2, 3))], r"\(21\) is a quark or gluon but final"),
        ([(22, 1, (float("nan"), 0.0, 0.0), 0.0, (2, 3))], r"has a momentum that is not finite"),
    ],
)
def test_a_record_that_would_be_read_wrongly_is_refused(
    more: list[Any], complaint: str, hepmc: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=complaint):
        _particles(hepmc, tmp_path, hepmc.by_hand([*hepmc.muon_pair(), *more]))


def test_a_particle_that_is_its_own_ancestor_is_refused(hepmc: ModuleType, tmp_path: Path) -> None:
    ours = _particles(hepmc, tmp_path, hepmc.by_hand(hepmc.muon_pair()))
    # the Z boson comes from its own muon
    mother = ours.mother.copy()
    mother[4] = 5
    looped = GraphParticles(
        **{**{name: getattr(ours, name) for name in ours.__dataclass_fields__}, "mother": mother}
    )
    with pytest.raises(InputError, match=r"particle 5 \(23\) is its own ancestor"):
        check_graph(looped, ["it"])


def test_what_is_odd_is_told_and_what_nobody_sees_refused(hepmc: ModuleType, tmp_path: Path) -> None:
    def surveyed(rows: list[Any]) -> Any:
        return survey(str(hepmc.write_hepmc(tmp_path / "it.hepmc", [hepmc.by_hand(rows)])))

    kaon = [
        (310, 2, (9.0, 0.0, 0.0), 0.5, (4,)),
        (211, 1, (5.0, 0, 0), 0.14, (9,)),
        (-211, 1, (4.0, 0, 0), 0.14, (9,)),
    ]
    assert surveyed(hepmc.muon_pair()).told == ()
    assert "are decayed, which CMS leaves to the detector" in str(surveyed([*hepmc.muon_pair(), *kaon]).told)
    assert "of the energy of the beams" in str(surveyed(hepmc.muon_pair()[:-1]).told)
    lead = [(1000822080, 4, (0.0, 0.0, 6500.0), 0.0, ()), *hepmc.muon_pair()[1:]]
    with pytest.raises(InputError, match="its beams are 1000822080 and 2212; only proton-proton"):
        surveyed(lead)
