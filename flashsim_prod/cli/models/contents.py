"""``bundle show``: a bundle, or one of its models, on the terminal and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from flashsim_prod.cli.models.changing.distil import OTHER_EVALUATIONS, drawn_with, print_students
from flashsim_prod.cli.show import console, table
from flashsim_prod.production.models.contents import (
    BundleContents,
    HeldOutFigures,
    HeldOutReport,
    InVersion,
    ModelContents,
    OneModel,
)


def contents_for_programs(found: BundleContents | OneModel) -> dict[str, Any]:
    """What ``--json`` says: the entries of the manifest, and where they are from."""
    if isinstance(found, BundleContents):
        lacks = {one.name: one.lacks for one in found.models if one.lacks}
        nano = {"made_for": found.nano, "versions": [asdict(one) for one in found.versions]}
        eras = {"era": found.era, "of_other_eras": found.of_other_eras}
        about = {"path": found.path, "digest": found.digest, "lacks": lacks, "nano": nano}
        return {**about, **found.manifest, **eras}
    name = found.model.name
    fidelity = [
        {"compared_with": report.compared_with, "files": report.files, **asdict(report.models[name])}
        for report in found.reports
    ]
    about = {"bundle": found.bundle, "bundle_digest": found.bundle_digest, "model": name}
    return {**about, "lacks": found.model.lacks, **found.entry, "fidelity": fidelity}


def print_bundle(found: BundleContents) -> None:
    """Its models in a table, and how close they came in another."""
    software = ", ".join(f"{name} {version}" for name, version in found.software.items())
    _print_lines(
        f"{found.name}  {found.title}",
        f"digest {found.digest}",
        f"made {found.created:%Y-%m-%d} with {software}",
        "trained on " + "; ".join(found.training_sample),
        *_eras(found),
        f"reference detector {'; '.join(found.detectors)}",
    )
    numbers = ("SEES", "DRAWS", "WEIGHTS", "OBJECTS", "SEED")
    listing = table("MODEL", "PRODUCES", *numbers, right=numbers, whole=("MODEL",))
    for one in found.models:
        columns = (len(one.conditions), len(one.targets), one.parameters, one.fit.get("objects", 0))
        seed = str(one.fit.get("seed", "-"))
        listing.add_row(one.name, one.produces, *(f"{number:,}" for number in columns), seed)
    console().print(listing)
    _print_lines(*_kinds(found.models))
    _print_lines(*(f"{one.name} lacks {one.told_lacks}" for one in found.models if one.lacks))
    students = [one.student for one in found.models if one.student is not None]
    if students:
        print_students(students)
    if any(one.taken for one in students):
        _print_lines(OTHER_EVALUATIONS)
    for version in found.versions:
        _print_lines(*_in_version(version, found.nano))
    for report in found.reports:
        _print_report(report)


def _kinds(models: Sequence[ModelContents]) -> Iterator[str]:
    """Of which kinds models are, if not all are of one, and what is done to their draws, in lines."""
    of_kind: dict[str, list[str]] = {}
    for one in models:
        of_kind.setdefault(one.kind, []).append(one.name)
    most = max(of_kind, key=lambda kind: len(of_kind[kind]))
    others = [f"{', '.join(names)} ({kind})" for kind, names in of_kind.items() if kind != most]
    if others:
        yield f"all are of kind {most}, but {'; '.join(others)}"
    yield from (f"{one.name} is {one.corrected}" for one in models if one.corrected)


def _eras(found: BundleContents) -> Iterator[str]:
    """Which era the models stand for, in lines."""
    yield f"era {found.era}" + ("" if found.is_era_said else f", as all of {found.nano} that do not say it")
    for era in sorted(set(found.of_other_eras.values())):
        names = [name for name, other in found.of_other_eras.items() if other == era]
        yield f"    of {era} are {', '.join(names)}"


def _in_version(found: InVersion, made_for: str) -> Iterator[str]:
    """What becomes of the models in a version of NanoAOD, in lines."""
    if found.version == made_for:
        yield f"NanoAOD {found.version}: what the models were fitted to"
    else:
        yield (
            f"NanoAOD {found.version}: {len(found.renamed)} of their attributes have other names, "
            f"{len(found.left_out)} are left out, {len(found.absent)} of {found.version} are not made"
        )
    for name, what in found.otherwise.items():
        yield f"    {name} holds {what}"
    for why in dict.fromkeys(found.left_out.values()):
        names = [name for name, reason in found.left_out.items() if reason == why]
        yield f"    left out, {why}: {', '.join(names)}"


def _print_report(found: HeldOutReport) -> None:
    files = ", ".join(f"{name} ({events:,} events)" for name, events in found.files.items())
    with_what = f"{found.compared_with} {found.detector}".rstrip()
    _print_lines(
        f"held out: {with_what}, {files}; {found.made:%Y-%m-%d}, {found.software}",
        f"          {found.command}",
    )
    if found.events:
        _print_lines(f"          events {found.events} of each file")
    for name, told in found.told_apart.items():
        before = "" if told.auc_before is None else f", before {told.auc_before:.3f}"
        area = f"AUC {told.auc:.3f}±{told.auc_error:.3f} (floor {told.auc_floor:.3f}{before})"
        _print_lines(f"          {name} told from {found.compared_with}: {area}, {told.rows:,} rows")
    numbers = ("OBJECTS", "W1", "AUC", "FLOOR", "CHI2 PT", "ETA", "OTHER")
    listing = table("MODEL", *numbers, right=numbers, whole=("MODEL",))
    for name, one in found.models.items():
        listing.add_row(name, *_row(one))
    console().print(listing)


def _row(one: HeldOutFigures) -> list[str]:
    others = [value for axis, value in one.chi2_per_ndf.items() if axis not in ("pt", "eta")]
    return [
        "-" if one.objects is None else f"{one.objects:,}",
        *(_figure(value, 3) for value in (one.median_w1, one.auc, one.auc_floor)),
        *(_figure(one.chi2_per_ndf.get(axis), 1) for axis in ("pt", "eta")),
        _figure(max(others, default=None), 1),
    ]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def print_model(found: OneModel) -> None:
    """All about one model."""
    _print_entry(found.bundle, found.model)
    _print_moved(found.model)
    for report in found.reports:
        _print_lines(f"held out: {', '.join(report.files)}")
        figures = report.models[found.model.name]
        listing = table("FIGURE", "VALUE", right=("VALUE",))
        for name, value in vars(figures).items():
            if value is not None and name != "chi2_per_ndf":
                listing.add_row(name, f"{value:,.4g}" if isinstance(value, float) else f"{value}")
        for axis, value in figures.chi2_per_ndf.items():
            listing.add_row(f"chi2/ndf of the numbers along {axis}", f"{value:.2f}")
        console().print(listing)


def _print_entry(bundle: str, one: ModelContents) -> None:
    fit = ", ".join(f"{name} {value}" for name, value in one.fit.items())
    for label, text in (
        ("model", f"{one.name} of bundle {bundle}"),
        ("produces", f"{one.produces}, {f'at most {one.most}' if one.most else 'one'} for each source"),
        ("kind", ", ".join(filter(None, (one.kind, one.corrected)))),
        ("weights", f"{one.parameters:,}, sha256 {one.sha256}"),
        ("fit", fit or "-"),
        ("sees", " ".join(one.conditions)),
        ("draws", " ".join(one.targets)),
        ("lacks", one.told_lacks or "-"),
        *_student(one),
    ):
        _print_lines(f"{label:9} {text}")


def _print_moved(one: ModelContents) -> None:
    """What its refiner did to each attribute, if it has one."""
    if not one.moved:
        return
    numbers = ("BEFORE", "AFTER", "CHANCE")
    listing = table("REFINED", *numbers, right=numbers)
    for target, distances in one.moved.items():
        listing.add_row(f"W1 {target}", *(_figure(distance, 4) for distance in distances))
    console().print(listing)


def _student(one: ModelContents) -> Iterator[tuple[str, str]]:
    """What came of distilling a model, if that was tried."""
    if (found := one.student) is None:
        return
    yield "draws by", drawn_with(found)
    what = "reconstructed objects" if found.against == "reference" else "draws of the teacher"
    yield (
        "judged",
        f"beside {found.objects:,} {what}: AUC {found.auc:.4f}, teacher "
        f"{found.teacher_auc:.4f}±{found.teacher_auc_error:.4f}, {found.tails + found.categories} shares",
    )
    if found.worse:
        yield "worse", "; ".join(found.worse)


def _print_lines(*lines: str) -> None:
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
