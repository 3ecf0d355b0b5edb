"""A page about a whole campaign."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from flashsim_prod import __version__, resources
from flashsim_prod.core.sizes import format_bytes, format_count, format_duration
from flashsim_prod.files import write_whole
from flashsim_prod.production.campaigns.status import CampaignStatus
from flashsim_prod.production.campaigns.store import campaign_folder, stored_campaign
from flashsim_prod.production.home import Home
from flashsim_prod.production.views.report import PAGE, REPORT_FOLDER


def write_campaign_report(home: Home, status: CampaignStatus, output: Path | None = None) -> Path:
    """Write the page, by default into the folder of the campaign; its path is returned.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    environment = resources.templates("pages", are_pages=True)
    environment.filters.update(count=format_count, bytes=format_bytes, duration=format_duration)
    path = (output or campaign_folder(home, status.name).report) / PAGE
    text = environment.get_template("campaign.html.j2").render(
        status=status,
        campaign=stored_campaign(home, status.name),
        pages=_pages(home, status, path.parent),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    write_whole(path, text)
    return path


def _pages(home: Home, status: CampaignStatus, folder: Path) -> dict[str, str]:
    """Where the page of each request is that has one, seen from `folder`."""
    pages = {line.name: home.folder(line.name).path / REPORT_FOLDER / PAGE for line in status.lines}
    return {name: os.path.relpath(page, folder.absolute()) for name, page in pages.items() if page.is_file()}
