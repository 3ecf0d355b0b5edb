"""What the HTML pages have in common: one file each, figures inline, no scripts, no network."""

from __future__ import annotations

import base64
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from flashsim_prod import resources
from flashsim_prod.files import write_json, write_whole

PAGE_NAME = "index.html"


def write_page(folder: Path, template: str, /, **values: Any) -> Path:
    """Render a template into ``index.html`` of `folder`, which is made if need be."""
    text = resources.templates("pages", are_pages=True).get_template(template).render(**values)
    return write_whole(folder / PAGE_NAME, text)


def write_figures(folder: Path, name: str, figures: object) -> Path:
    """Write figures as JSON; of dataclasses the verdicts too."""
    return write_json(folder / name, plain(figures))


def plain(value: Any) -> Any:
    """Dataclasses as mappings, with their ``light`` where they have one."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        if hasattr(type(value), "light"):
            found["light"] = getattr(value, "light")  # noqa: B009  (not every dataclass has one)
        return found
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def image(png: bytes) -> str:
    """A PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
