"""Models of two bundles in one: some of one's own, and all others from another bundle."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from flashsim_prod.physics.chain.assessment import Assessment
from flashsim_prod.physics.chain.bundle import ERA_KEY, Bundle, ModelEntry, nano_of
from flashsim_prod.physics.chain.writing import write_bundle


@dataclass(frozen=True)
class Parts:
    """What a bundle is put together from.

    Attributes
    ----------
    entries : mapping of object model to ModelEntry
    weights : mapping of object model to its files, in the order in which the entry has them
    training_sample : tuple of str
    fidelity : tuple of Assessment
    """

    entries: dict[str, ModelEntry]
    weights: dict[str, tuple[Path, ...]]
    training_sample: tuple[str, ...]
    fidelity: tuple[Assessment, ...] = ()

    @classmethod
    def of(cls, bundle: Bundle) -> Parts:
        """All of a bundle."""
        manifest = bundle.manifest
        return cls(dict(manifest.models), bundle.weights, manifest.training_sample, manifest.fidelity)

    def completed(self, base: Bundle, era: str | None = None) -> Parts:
        """With those models of `base` that are not here, which say if they are of another era."""
        others = Parts.of(base)
        if not self.entries:
            return others
        taken = others.entries.keys() - self.entries.keys()
        if not taken:
            return self
        names = sorted(self.entries.keys() | taken)
        weights = {**others.weights, **self.weights}
        return Parts(
            {
                name: (self.entries.get(name) or _of_era(others.entries[name], base, era)).renamed(name)
                for name in names
            },
            {name: weights[name] for name in names},
            (*self.training_sample, _origin(base, len(taken))),
            (*self.fidelity, *of_models(others.fidelity, taken)),
        )


def completed(own: Bundle, base: Bundle, target: Path) -> Bundle:
    """`own` with those models of `base` that it lacks, in the new folder `target`.

    Name, title and date are those of `own`, so that the same two bundles always give the same one.
    """
    parts = Parts.of(own).completed(base, own.era)
    changes = {
        "models": parts.entries,
        "training_sample": parts.training_sample,
        "fidelity": parts.fidelity,
    }
    manifest = own.manifest.model_copy(update=changes)
    # models of several versions of NanoAOD are no bundle
    nano_of(manifest, str(own.path))
    return write_bundle(target, manifest, parts.weights)


def _of_era(entry: ModelEntry, base: Bundle, era: str | None) -> ModelEntry:
    """With the era of its `base`, if what it comes into is of another one."""
    if era in (None, base.era):
        return entry
    return entry.model_copy(update={"fit": {ERA_KEY: base.era, **entry.fit}})


def _origin(base: Bundle, number: int) -> str:
    sample = "; ".join(base.manifest.training_sample)
    return f"{number} models of bundle {base.name} ({base.digest[:12]}): {sample}"


def of_models(assessments: tuple[Assessment, ...], models: Container[str]) -> list[Assessment]:
    """What is said of `models` only."""
    kept = []
    for one in assessments:
        chosen = {name: found for name, found in one.models.items() if name in models}
        if chosen:
            # whole events and collections are of all models together
            kept.append(one.model_copy(update={"models": chosen, "told_apart": {}, "groups": {}}))
    return kept
