"""A model card: what a bundle's manifest says, as a page for people who may use it.

All of it comes from the manifest, so that a card of anybody's bundle says as much, and never anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from flashsim_prod.physics.chain.assessment import AreaFigures, Assessment, ModelFigures
from flashsim_prod.physics.chain.bundle import Bundle, Manifest
from flashsim_prod.physics.chain.corrections.section import RefinerSection
from flashsim_prod.physics.chain.detectors import detectors_of, told_detectors, unlike
from flashsim_prod.physics.chain.distilled import Distilled

#: a classifier that is this many of its errors above its floor tells drawn from true objects
_TOLD_APART = 3.0
#: numbers of objects are worth a word above this chi2/ndf
_NUMBERS_OFF = 1.5


def model_card(bundle: Bundle) -> str:
    """The card of a bundle, as Markdown with a newline at its end."""
    manifest = bundle.manifest
    parts = [
        f"# {manifest.name}",
        manifest.title,
        _identity(bundle),
        "## Intended use",
        _intended_use(manifest),
        "## Training data",
        _listed(manifest.training_sample),
        "## Models",
        _models(manifest),
        *_students(manifest),
        *_refined(manifest),
        "## Fidelity",
        *_fidelity(manifest),
        "## Limits",
        _listed(_limits(manifest)),
        "## How to check",
        f"```\nflashsim-prod bundle verify {manifest.name}\nflashsim-prod bundle show {manifest.name}\n```",
        f"This page was written by `flashsim-prod bundle card {manifest.name}`, from the manifest alone.",
    ]
    return "\n\n".join(parts) + "\n"


def _identity(bundle: Bundle) -> str:
    manifest = bundle.manifest
    software = ", ".join(f"{name} {version}" for name, version in manifest.software.items())
    weights = sum(entry.parameters for entry in manifest.models.values())
    return _table(
        ("", ""),
        (
            ("Digest", f"`{bundle.digest}`"),
            ("Made", f"{manifest.created:%Y-%m-%d} with {software}"),
            ("Models", f"{len(manifest.models)}, {weights:,} weights in all, safetensors"),
            ("In dataset names", f"`{manifest.tag}`"),
            *((("Era", manifest.era),) if manifest.era else ()),
            *_detectors(manifest),
        ),
    )


def _detectors(manifest: Manifest) -> list[tuple[str, str]]:
    """Which reference detector the models learned from, if that is recorded of any."""
    if not any(detectors_of(manifest.models).values()):
        return []
    return [("Reference detector", "; ".join(told_detectors(manifest.models)))]


def _intended_use(manifest: Manifest) -> str:
    products = ", ".join(sorted({entry.produces for entry in manifest.models.values()}))
    option = "--bundle" if manifest.analysis is None else "--analysis"
    return (
        f"To draw {products} for generator-level events, in the place of a detector simulation:\n\n"
        f"```\nflashsim-prod request ttbar --events 1000 --oversample 10 {option} {manifest.name}\n```\n\n"
        f"What is drawn stands for what the models were trained on and nothing else: *{manifest.title}*. "
        f"Datasets carry `{manifest.tag}` in their names, and the digest above in their provenance."
    )


def _models(manifest: Manifest) -> str:
    rows = [
        (
            f"`{name}`",
            entry.produces,
            entry.kind,
            f"{len(entry.conditions)}",
            f"{len(entry.targets)}",
            f"{entry.parameters:,}",
            f"{entry.form}",
            _count(entry.fit.get("objects")),
            str(entry.fit.get(f"{entry.kind}_steps", "-")),
        )
        for name, entry in manifest.models.items()
    ]
    head = (
        "Model",
        "Produces",
        "Kind",
        "Sees",
        "Draws",
        "Weights",
        "Form",
        "Trained on objects",
        "Steps",
    )
    return _table(head, rows)


def _students(manifest: Manifest) -> list[str]:
    """Which models draw in steps of their own, and what they were judged by; nothing where none was tried."""
    tried = {name: one.distilled for name, one in manifest.models.items() if one.distilled is not None}
    if not tried:
        return []
    told = (
        "A student learned to go in a few evaluations where its teacher takes as many as are asked for; it "
        "draws in the teacher's place where it is no worse "
        "within the errors: in the AUC of a classifier between drawn and reconstructed objects (of other "
        "draws of the teacher, where it says so), in the shares beyond the 1 % and 99 % quantiles of each "
        "attribute, and in those of whole numbers, flags and spikes. Other `--evaluations` take the "
        "teachers, which are in the bundle as well."
    )
    head = ("Model", "Draws with", "Objects", "Held out", "AUC of teacher", "AUC of student", "Worse in")
    return ["## Students", told, _table(head, [_student(name, one) for name, one in tried.items()])]


def _student(name: str, found: Distilled) -> tuple[str, ...]:
    judged = found.judgement
    return (
        f"`{name}`",
        f"student, {found.evaluations} evaluations" if found.taken else "teacher",
        _count(judged.objects),
        _count(judged.held_out) if judged.against == "reference" else "of the teacher",
        f"{judged.teacher_auc:.4f} ± {judged.teacher_auc_error:.4f}",
        _decimal(judged.auc, 4),
        "; ".join(judged.worse) or "-",
    )


def _refined(manifest: Manifest) -> list[str]:
    """Which models have a refiner, and what it did to their draws; nothing where none has."""
    found = {name: one.refiner for name, one in manifest.models.items() if one.refiner is not None}
    if not found:
        return []
    told = (
        "What these models draw is moved by a network after them, attributes that are continuous only. AUC "
        "is that of a classifier between drawn objects and true ones that neither had learned from, W1 the "
        "median distance of the attributes in standard deviations, both before and after."
    )
    head = ("Model", "Moves", "Objects", "AUC before", "AUC after", "W1 before", "W1 after")
    return ["## Refined", told, _table(head, [_refiner(name, one) for name, one in found.items()])]


def _refiner(name: str, found: RefinerSection) -> tuple[str, ...]:
    moves, judged = f"{len(found.moves)}", found.judgement
    if judged is None:
        return (f"`{name}`", moves, *("-",) * 5)
    return (
        f"`{name}`",
        moves,
        _count(judged.objects),
        _decimal(judged.auc_before, 4),
        f"{judged.auc_after:.4f} ± {judged.auc_error:.4f}",
        _decimal(median(one.before for one in judged.w1.values()), 4),
        _decimal(median(one.after for one in judged.w1.values()), 4),
    )


def _fidelity(manifest: Manifest) -> list[str]:
    if not manifest.fidelity:
        return [
            "Not measured, or not recorded: `flashsim-prod train report` measures it on events that were "
            "held out, and `flashsim-prod train bundle --report` records it."
        ]
    beside = [part for one in manifest.fidelity if one.told_apart for part in _told_apart(one)]
    legend = (
        "AUC is that of a classifier which sees conditions and attributes as stored: 0.5 is "
        "indistinguishable, and the floor is what two samples of the reference give. W1 is the median "
        "1-Wasserstein distance of the attributes in standard deviations. The last columns are chi2/ndf of "
        "the numbers of objects: against pt and eta of their source, and the worst of all axes. A dash was "
        "not measured, for want of objects."
    )
    return [*beside, legend, *(part for one in manifest.fidelity for part in _assessment(one))]


def _told_apart(found: Assessment) -> list[str]:
    """Whole events and collections beside FullSim's."""
    before = f", and before for {found.before}, which the models began as" if found.before else ""
    lights = ", ".join(f"{number} {light}" for light, number in found.groups.items())
    rows = [
        (
            name,
            _count(one.rows),
            *_before(one.auc_before, found),
            _with_error(one),
            _decimal(one.auc_floor, 2),
        )
        for name, one in found.told_apart.items()
    ]
    return [
        f"### Told apart from {found.compared_with}: {_files(found)}",
        f"AUC of a classifier that sees events, or all attributes of objects, of {found.compared_with} and "
        f"of these models on the same generator events{before}; the floor is what two halves of "
        f"{found.compared_with} give. "
        f"Groups of attributes: {lights}.",
        _table(("", "Rows", *(("Before",) if found.before else ()), "AUC", "Floor"), rows),
    ]


def _files(found: Assessment) -> str:
    files = ", ".join(f"{name} ({events:,} events)" for name, events in found.files.items())
    return f"{files}, of each {found.events}" if found.events else files


def _before(area: float | None, found: Assessment) -> tuple[str, ...]:
    return (_decimal(area, 2),) if found.before else ()


def _with_error(one: AreaFigures | ModelFigures) -> str:
    return _decimal(one.auc, 2) if one.auc_error is None else f"{_decimal(one.auc, 2)} ± {one.auc_error:.2f}"


def _assessment(found: Assessment) -> list[str]:
    sampling = found.sampling
    before = ("AUC before",) if found.before else ()
    head = ("Model", "Objects", "W1", *before, "AUC", "Floor", "pt", "eta", "Any axis", "Worst attribute")
    return [
        f"### {', '.join(found.files)}",
        f"Against {_other(found)}: {_files(found)}; {found.made:%Y-%m-%d}, {found.software}, solver "
        f"{sampling.solver}, {sampling.evaluations} evaluations, at most {found.max_rows:,} objects a model.",
        f"```\n{found.command}\n```",
        _table(head, [(f"`{name}`", *_figures(one, found)) for name, one in found.models.items()]),
    ]


def _other(found: Assessment) -> str:
    """What was compared with, and which it is, if it is known."""
    return f"{found.compared_with} {found.detector}".rstrip()


def _figures(one: ModelFigures, found: Assessment) -> tuple[str, ...]:
    axes = one.chi2_per_ndf
    return (
        _count(one.objects),
        _decimal(one.median_w1, 3),
        *_before(one.auc_before, found),
        _with_error(one),
        _decimal(one.auc_floor, 2),
        *(_decimal(axes.get(axis), 1) for axis in ("pt", "eta")),
        _decimal(max(axes.values(), default=None), 1),
        one.worst_attribute or "-",
    )


def _limits(manifest: Manifest) -> list[str]:
    """What the figures themselves say against the models."""
    said = [
        "Known only where the training data are: other processes, energies, detector conditions and tails of "
        "distributions that they hold few examples of are extrapolations."
    ]
    measured = [(name, one) for report in manifest.fidelity for name, one in report.models.items()]
    apart = sorted({name for name, one in measured if _is_told_apart(one)})
    if apart:
        said.append(
            f"Told apart from the reference by a classifier (AUC more than {_TOLD_APART:g} errors above its "
            f"floor): {_names(apart)}."
        )
    off = sorted({name for name, one in measured if max(one.chi2_per_ndf.values(), default=0) > _NUMBERS_OFF})
    if off:
        said.append(
            f"Numbers of objects with a chi2/ndf above {_NUMBERS_OFF} along some axis (of so many curves "
            f"chance alone puts a few there): {_names(off)}."
        )
    for report in manifest.fidelity:
        there = dict.fromkeys(manifest.models, report.detector)
        files = f"{', '.join(report.files)}, which they were measured on, is"
        said += [f"{line}." for line in unlike(detectors_of(manifest.models), there, "of these", files)]
    known = {name for name, one in measured if one.auc is not None}
    unknown = [name for name in manifest.models if name not in known]
    if unknown:
        said.append(f"Shapes not measured, for want of held-out objects or of a report: {_names(unknown)}.")
    return said


def _is_told_apart(one: ModelFigures) -> bool:
    if one.auc is None or one.auc_floor is None:
        return False
    return one.auc - one.auc_floor > _TOLD_APART * (one.auc_error or 0.0)


def _names(models: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in models)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _count(number: object) -> str:
    return f"{number:,}" if isinstance(number, int) else "-"


def _decimal(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
