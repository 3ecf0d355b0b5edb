"""The fidelity of a dataset as a page and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flashsim_prod import __version__
from flashsim_prod.physics.nanoaod.schema import Schema
from flashsim_prod.physics.validation.dataset.fidelity import compare_samples, compared_quantities, values_of
from flashsim_prod.physics.validation.dataset.figures import (
    CORRELATION_LIMITS,
    FAR_OUT,
    RATE_LIMITS,
    SHAPE_LIMITS,
    SIGNIFICANCE,
    DatasetFidelity,
    Group,
    NamedRates,
    Shape,
    ToldApart,
)
from flashsim_prod.physics.validation.dataset.samples import (
    Sample,
    StageProgress,
    align_gen_events,
    read_sample,
)
from flashsim_prod.physics.validation.dataset.years import differences
from flashsim_prod.physics.validation.drawing import plots
from flashsim_prod.physics.validation.drawing.pages import image, write_figures, write_page
from flashsim_prod.physics.validation.models import whole_events as derived
from flashsim_prod.physics.validation.models.figures import AUC_LIMITS, Light
from flashsim_prod.physics.validation.quantities import Quantity
from flashsim_prod.physics.validation.statistics.clustered import Entries

JSON_NAME = "validation.json"
SCHEMA_VERSION = 1

#: what is said beside a green light that is of nothing
_UNJUDGED = "nothing could be judged: too few events, or all alike, in the dataset or the reference"


@dataclass(frozen=True)
class Validation:
    """A dataset, what it was compared with, and what came of it.

    Attributes
    ----------
    name : str
    shared : bool
        Whether both have the same generator events.
    checked : bool
        Whether the technical checks were run.
    problems : tuple of str
        What these found.
    about : mapping
        Provenance, a line each.
    notes : tuple of str
        In what the two are not of the same kind.
    """

    name: str
    sample: Sample
    reference: Sample
    shared: bool
    fidelity: DatasetFidelity
    checked: bool
    problems: tuple[str, ...]
    about: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """What a reader must know of the two: notes, and that nothing can differ of the same events."""
        theirs = {one.identity for one in self.reference.files if any(one.identity)}
        same = [one.name for one in self.sample.files if one.identity in theirs]
        if not same:
            return self.notes
        verb = "is" if len(same) == 1 else "are"
        line = f"{', '.join(same)} {verb} of the dataset and of the reference: the same events cannot differ"
        return (*self.notes, line)

    @property
    def light(self) -> Light:
        """The verdict on all of it."""
        return Light.RED if self.problems else self.fidelity.light

    @property
    def red_groups(self) -> list[Group]:
        """Groups that differ."""
        return self._of(Light.RED)

    @property
    def amber_groups(self) -> list[Group]:
        """Groups that differ a little."""
        return self._of(Light.AMBER)

    @property
    def _told(self) -> dict[str, ToldApart]:
        """How well the samples are told apart, by collection and by whole events."""
        found = {group.name: group.told for group in self.fidelity.groups}
        return {name: told for name, told in {"events": self.fidelity.told, **found}.items() if told}

    def _of(self, light: Light) -> list[Group]:
        return [group for group in self.fidelity.groups if group.light is light]

    def summary(self) -> dict[str, Any]:
        """The verdicts alone."""
        return {
            "dataset": self.name,
            "light": self.light,
            "reference": self.reference.title,
            "problems": list(self.problems),
            "notes": list(self.told),
            "groups": {group.name: group.light for group in self.fidelity.groups},
            "not_green": {group.name: group.complaints for group in self.fidelity.groups if group.complaints},
            "derived": {one.name: one.light for one in self.fidelity.derived},
            "auc": {name: told.auc.value for name, told in self._told.items()},
            "not_finite": self.fidelity.not_finite,
            "only_in_one": self.only_in_one,
        }

    @property
    def only_in_one(self) -> dict[str, list[str]]:
        """Reconstructed branches that just the dataset has, or the reference, and that are not compared."""
        names = self.fidelity.only_in_one
        mine = [name for name in names if self.sample.events.has_branch(name)]
        found = {"dataset": mine, "reference": sorted(set(names).difference(mine))}
        return {who: those for who, those in found.items() if those}

    def figures(self) -> dict[str, Any]:
        """The contents of ``validation.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "dataset": self.name,
            "light": self.light,
            "reference": self.reference.title,
            "events": [self.sample.events.n, self.reference.events.n],
            "gen_events": [self.sample.n_gen, self.reference.n_gen],
            "same_gen_events": self.shared,
            "checked": self.checked,
            "problems": list(self.problems),
            "notes": list(self.told),
            "groups": self.fidelity.groups,
            "derived": self.fidelity.derived,
            "told": self.fidelity.told,
            "only_in_one": self.fidelity.only_in_one,
            "not_finite": self.fidelity.not_finite,
            "software": f"flashsim-prod {__version__}",
        }


def validate(
    name: str,
    urls: Sequence[str],
    references: Sequence[str],
    *,
    max_events: int,
    progress: StageProgress,
    schema: Schema | None = None,
    problems: Sequence[str] | None = None,
    about: Mapping[str, str] | None = None,
) -> Validation:
    """Compare the files of a dataset with reference files.

    Parameters
    ----------
    name : str
    urls, references : sequences of str
    max_events : int
        Of either sample.
    progress : callable
    schema : Schema, optional
        Of both; by default that of the version that each is of.
    problems : sequence of str, optional
        What the technical checks found, if they were run.
    about : mapping, optional
        Provenance, for the page.

    Raises
    ------
    InputError
        If a file cannot be read, or is given twice.
    """
    read = partial(read_sample, schema=schema, max_events=max_events, progress=progress)
    sample = read(urls, "FlashSim", same_dataset=True)
    reference = read(references, "", same_dataset=False)
    reference, shared = align_gen_events(sample, reference)
    found = compare_samples(sample, reference, progress)
    notes = differences(sample.years, reference.years, sample.events.collections)
    return Validation(
        name,
        sample,
        reference,
        shared,
        found,
        problems is not None,
        tuple(problems or ()),
        about or {},
        (*notes, *(() if found.is_judged else (_UNJUDGED,))),
    )


@dataclass(frozen=True)
class GroupSection:
    """A group on the page, with images as data URLs; an attribute without entries has none."""

    group: Group
    shapes: list[tuple[Shape, str]]
    rates: list[tuple[NamedRates, str]]
    correlations: str


def write_validation(
    validation: Validation, folder: Path, progress: StageProgress, *, figures: bool = True
) -> Path:
    """Write ``validation.json`` and ``index.html`` into `folder`; the path of the latter is returned.

    `figures` may be false: drawing hundreds of them takes most of the time.
    """
    write_figures(folder, JSON_NAME, validation.figures())
    groups = validation.fidelity.groups
    sections = []
    for number, group in enumerate(groups):
        progress("figures", number, len(groups))
        sections.append(_section(group, validation, figures))
    progress("figures", len(groups), len(groups))
    return write_page(
        folder,
        "dataset.html.j2",
        name=validation.name,
        sample=validation.sample,
        reference=validation.reference,
        shared=validation.shared,
        fidelity=validation.fidelity,
        light=validation.light,
        reds=validation.red_groups,
        ambers=validation.amber_groups,
        red_quantities=validation.fidelity.red_of_events,
        checked=validation.checked,
        problems=validation.problems,
        notes=validation.told,
        about=validation.about,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"flashsim-prod {__version__}",
        whole=_whole(validation, figures),
        auc_limits=AUC_LIMITS,
        sections=sections,
        shape_limits=SHAPE_LIMITS,
        rate_limits=RATE_LIMITS,
        correlation_limits=CORRELATION_LIMITS,
        derived_limits=derived.LIMITS,
        significance=SIGNIFICANCE,
        far_out=FAR_OUT,
        meaning=partial(_meaning, validation.sample.schema),
    )


def _titles(validation: Validation) -> tuple[str, str]:
    return validation.reference.title, validation.sample.title


def caption(reference: str) -> str:
    """What is written above figures."""
    return f"Simulation of the {reference}" if "detector" in reference else "Simulation"


def _section(group: Group, validation: Validation, figures: bool) -> GroupSection:
    correlations = ""
    if group.correlations is not None and figures:
        names = group.correlations.names
        correlations = image(plots.heat_map(np.array(group.correlations.difference), names, names))
    return GroupSection(
        group,
        [(shape, _shape_figure(shape, validation) if figures else "") for shape in group.shapes],
        [(one, _rates_figure(one, validation) if figures else "") for one in group.rates],
        correlations,
    )


def _label(schema: Schema, name: str) -> str:
    """A branch with its unit."""
    known = schema.branches.get(name)
    if known is None or not known.unit:
        return name
    return f"{name} [{known.unit.replace('GeV2', 'GeV$^2$')}]"


def _meaning(schema: Schema, name: str) -> str:
    """What a branch is, for the reader who has never used it."""
    known = schema.branches.get(name)
    return known.title if known else f"number of {name.removeprefix('n')} objects"


def _shape_figure(shape: Shape, validation: Validation) -> str:
    first, second = (values_of(one, shape.branch) for one in (validation.sample, validation.reference))
    if not (len(first) and len(second)):
        return ""
    return image(
        plots.overlay_entries(
            first,
            second,
            label=_label(validation.sample.schema, shape.branch),
            titles=_titles(validation),
            discrete=shape.discrete,
            caption=caption(validation.reference.title),
        )
    )


def _rates_figure(one: NamedRates, validation: Validation) -> str:
    return image(
        plots.rates(
            one.rates,
            label=_label(validation.sample.schema, one.axis),
            titles=_titles(validation),
            quantity=one.quantity,
            caption=caption(validation.reference.title),
        )
    )


def _whole(validation: Validation, figures: bool) -> list[tuple[derived.Derived, str]]:
    both = (validation.sample, validation.reference)
    return [
        (found, _quantity_figure(quantity, first, second, validation) if figures else "")
        for quantity, found, first, second in compared_quantities(*both)
    ]


def _quantity_figure(quantity: Quantity, first: Entries, second: Entries, validation: Validation) -> str:
    return image(
        plots.overlay_entries(
            first,
            second,
            label=quantity.label,
            titles=_titles(validation),
            discrete=bool(np.all(second.values == np.round(second.values))),
            caption=caption(validation.reference.title),
        )
    )
