"""Files of campaigns to begin with, and their JSON schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flashsim_prod.core.campaigns.campaign import Campaign
from flashsim_prod.errors import RequestError
from flashsim_prod.files import write_whole
from flashsim_prod.production.order.described import DIALECT, commented_yaml


def new_campaign(name: str, path: Path) -> Path:
    """Write a file of a campaign of two samples, every field described; its path.

    Raises
    ------
    RequestError
        If the name cannot be one, or there is such a file.
    """
    if os.path.lexists(path):
        raise RequestError(f"{path} is there already; give another --output")
    values = {
        "name": name,
        "title": f"{name}: top quark pairs and Drell-Yan",
        "defaults": {"oversample": 10, "events": "1000"},
        "requests": [
            {"cards": ["ttbar", "dyjets"], "eras": ["Run2_2018"]},
            {"cards": ["ttbar"], "eras": ["Run3_2022"]},
        ],
    }
    Campaign.from_mapping(values, f"campaign '{name}'")
    text = "\n".join(
        [
            f"# Campaign '{name}': change what is different.",
            "# What begins with '#' and no space is the default: take the '#' away to set it.",
            f"# What it comes to says: flashsim-prod campaign {path.name} --dry-run",
        ]
    )
    text += "\n" + commented_yaml(Campaign, values)
    Campaign.from_yaml(text, str(path))
    return write_whole(path, text)


def campaign_schema() -> dict[str, Any]:
    """The JSON schema of files of campaigns."""
    return {"$schema": DIALECT, **Campaign.model_json_schema()}
