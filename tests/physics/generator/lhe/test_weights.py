"""Which branch each weight of an LHE file becomes part of, and what the branch says of it."""

from __future__ import annotations

from flashsim_prod.physics.generator.lhe.weights import (
    OTHER,
    PDF,
    SCALE,
    branch_titles,
    declared_weights,
    sorted_into_branches,
)


def _ids(header: str) -> dict[str, list[str]]:
    branches = sorted_into_branches(declared_weights(f"<initrwgt>{header}</initrwgt>"))
    return {name: [one.id for one in its] for name, its in branches.items()}


def _group(name: str, *texts: str, combine: str = "none", first: int = 1) -> str:
    rows = "".join(f'<weight id="{first + n}"> {text} </weight>' for n, text in enumerate(texts))
    return f"<weightgroup name='{name}' combine='{combine}'>{rows}</weightgroup>"


def test_scales_come_in_the_order_of_nanoaod() -> None:
    texts = [f"muR={mur} muF={muf}" for muf in (1.0, 2.0, 0.5) for mur in (1.0, 0.5, 2.0)]
    # of [0.5, 0.5], [0.5, 1], [0.5, 2], [1, 0.5] ...
    assert _ids(_group("scale_variation", *texts)) == {SCALE: ["8", "2", "5", "7", "1", "4", "9", "3", "6"]}


def test_groups_are_told_by_their_names_or_by_what_is_in_them() -> None:
    header = (
        _group("mystery", "renscfact=2d0 facscfact=1d0", "renscfact=0.5d0 facscfact=1d0")
        + _group("NNPDF31_nnlo", "PDF=303600", "PDF=303601", first=11)
        + _group("PDF_variation", "other", first=21)
        + _group("anything", "x", combine="hessian", first=31)
        + _group("mg_reweighting", "set param_card dim6 1 0.1", first=41)
        + "<weight id='lone'></weight>"
    )
    assert _ids(header) == {SCALE: ["2", "1"], PDF: ["11", "12"], OTHER: ["21", "31", "41", "lone"]}


def test_scales_that_are_chosen_otherwise_are_no_scale_factors() -> None:
    header = _group("Central scale variation", "muR=2.0 muF=2.0", "muR=2 muF=2 dyn_scale_choice=HT")
    assert _ids(header) == {SCALE: ["1"], OTHER: ["2"]}


def test_what_stands_twice_is_one_weight() -> None:
    once = "<initrwgt>" + _group("scale", "muR=1 muF=1") + "</initrwgt>"
    assert len(declared_weights(once + "<init>" + once)) == 1
    assert declared_weights("<header></header>") == ()
    assert sorted_into_branches(()) == {}


def test_titles_name_each_entry() -> None:
    header = f"<initrwgt>{_group('w', 'c &gt; 0')}<weight id='7' MUR='2.0'/> </weight></initrwgt>"
    titles = branch_titles(sorted_into_branches(declared_weights(header)))
    assert titles[OTHER] == (
        "LHE reweighting weights (w_var / w_nominal); [0] is id 1 (c > 0); [1] is id 7 (MUR=2.0)"
    )
