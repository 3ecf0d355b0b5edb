"""What is handed to HTCondor, file by file, as it was when somebody last read it.

After a wanted change: ``FLASHSIM_PROD_GOLDEN=write pytest tests/cli/test_htcondor_files.py``, then read the
difference.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashsim_prod.errors import ConfigError
from flashsim_prod.grid.batch.htcondor.node_status import read_status
from flashsim_prod.production.home import Home
from flashsim_prod.production.order.library import all_sites, find_site

GOLDEN = Path(__file__).parent / "golden" / "htcondor"
SITES = [site.name for site in all_sites() if site.engine == "htcondor"]


@pytest.mark.parametrize("site", SITES)
def test_a_dry_run_writes_what_was_reviewed(home: Home, cli: Callable[..., Any], site: str) -> None:
    ended = cli(
        "request", "ttbar", "--events", "100", "--oversample", "10", "--events-per-job", "40", "--seed", "1",
        "--site", site, "--name", "golden", "--dry-run",
    )  # fmt: skip
    assert ended.code == 0, ended.complaint
    folder = home.folder("golden").batch
    text = "".join(
        f"======== {path.name}\n{path.read_text().rstrip()}\n" for path in sorted(folder.iterdir())
    )
    text = text.replace(str(home.path), "HOME").replace(sys.executable, "PYTHON")
    # of the file in the dataset: follows from the digest of the bundle
    text = re.sub(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", "GUID", text)
    golden = GOLDEN / f"{site}.txt"
    if os.environ.get("FLASHSIM_PROD_GOLDEN") == "write":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_no_credential_is_in_what_is_written(
    home: Home, cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = tmp_path / "x509up_secret"
    proxy.write_text("-----BEGIN PRIVATE KEY-----")
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    monkeypatch.setenv("BEARER_TOKEN", "eyJhbGciOi")
    ended = cli(
        "request", "ttbar", "--events", "10", "--site", "T2_IT_Pisa_gpu", "--name", "secret", "--dry-run"
    )
    assert ended.code == 0, ended.complaint
    written = [path.read_text() for path in home.folder("secret").path.rglob("*") if path.is_file()]
    assert any("use_x509userproxy = true" in text for text in written)
    assert not any(secret in text for text in written for secret in ("PRIVATE KEY", "x509up_secret", "eyJ"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"requirments": "true"}, "unknown key 'htcondor.requirments'; did you mean 'requirements'?"),
        ({"submit": {"Executable": "/bin/sh"}}, "'Executable' is set by the rendered files"),
        ({"software": {"image": "a", "archive": "b"}}, "say either image or archive, not both"),
        ({"software": {"image": "a"}}, "python must be a path inside the image or archive"),
        ({"gpus": {"count": 1}}, "device must be cuda where GPUs are asked for"),
    ],
)
def test_a_site_file_that_makes_no_sense(change: dict[str, Any], complaint: str) -> None:
    site = find_site("htcondor").model_dump(mode="json", exclude_none=True)
    site["htcondor"] = {**site["htcondor"], **change}
    if "gpus" in change:
        site["device"] = "auto"
    with pytest.raises(ConfigError) as error:
        type(find_site("htcondor")).from_mapping(site, "mine.yaml")
    assert complaint in str(error.value)


def test_engine_and_section_go_together() -> None:
    site = find_site("htcondor").model_dump(mode="json", exclude_none=True)
    del site["htcondor"]
    with pytest.raises(ConfigError, match="engine htcondor and the section 'htcondor' go together"):
        type(find_site("htcondor")).from_mapping(site, "mine.yaml")


def test_a_status_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read_status(tmp_path / "none").nodes == {}
