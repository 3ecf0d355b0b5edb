"""``bundle show MODEL``: one object model of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashsim_prod.cli.show import console, print_json, table

if TYPE_CHECKING:
    from flashsim_prod.physics.chain.bundle import Bundle, ModelEntry


def as_asked(bundle: str, model: str | None, *, default: str) -> tuple[str, str | None]:
    """Bundle and model of ``show BUNDLE MODEL``, ``show MODEL`` (of `default`) or ``show BUNDLE``."""
    from flashsim_prod.core.strict import nearest
    from flashsim_prod.errors import BundleError
    from flashsim_prod.physics.chain.bundle import find_bundle, load_bundle

    if model is not None:
        return bundle, model
    try:
        find_bundle(bundle)
    except BundleError as error:
        models = load_bundle(find_bundle(default)).manifest.models
        if bundle not in models:
            raise BundleError(
                f"{error}; nor has {default} such a model{nearest(bundle, list(models))}"
            ) from error
        return default, bundle
    return bundle, None


def show_model(bundle: Bundle, model: str, *, as_json: bool) -> None:
    """Print all about one model.

    Raises
    ------
    BundleError
        If the bundle has no such model.
    """
    from flashsim_prod.core.strict import nearest
    from flashsim_prod.errors import BundleError
    from flashsim_prod.physics.chain.compatibility import lacks

    models = bundle.manifest.models
    if model not in models:
        raise BundleError(f"bundle {bundle.name} has no model '{model}'{nearest(model, list(models))}")
    entry = models[model]
    fidelity = [one for one in bundle.manifest.fidelity if model in one.models]
    if as_json:
        figures = [
            {
                "compared_with": one.compared_with,
                "files": one.files,
                **one.models[model].model_dump(mode="json"),
            }
            for one in fidelity
        ]
        about: dict[str, object] = {"bundle": bundle.name, "bundle_digest": bundle.digest, "model": model}
        about["lacks"] = lacks(model, entry)
        print_json({**about, **entry.model_dump(mode="json"), "fidelity": figures})
        return
    _print(bundle, model, entry)
    for one in fidelity:
        console().print(f"held out: {', '.join(one.files)}", markup=False, soft_wrap=True)
        listing = table("FIGURE", "VALUE", right=("VALUE",))
        for name, value in one.models[model].model_dump(exclude={"chi2_per_ndf"}).items():
            if value is not None:
                listing.add_row(name, f"{value:,.4g}" if isinstance(value, float) else f"{value}")
        for axis, value in one.models[model].chi2_per_ndf.items():
            listing.add_row(f"chi2/ndf of the numbers along {axis}", f"{value:.2f}")
        console().print(listing)


def _print(bundle: Bundle, model: str, entry: ModelEntry) -> None:
    from flashsim_prod.physics.chain.compatibility import told_lacks

    fit = ", ".join(f"{name} {value}" for name, value in entry.fit.items())
    for label, text in (
        ("model", f"{model} of bundle {bundle.name}"),
        ("produces", f"{entry.produces}, at most {entry.most} for each source"),
        ("kind", entry.kind),
        ("weights", f"{entry.parameters:,}, sha256 {entry.sha256}"),
        ("fit", fit or "-"),
        ("sees", " ".join(entry.conditions)),
        ("draws", " ".join(entry.targets)),
        ("lacks", told_lacks(model, entry) or "-"),
    ):
        console().print(f"{label:9} {text}", markup=False, soft_wrap=True)
