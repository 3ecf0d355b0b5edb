"""What a browser makes of a page: which of its parts are wider than the room they have."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
_MEASURE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => { one.open = true });
  const wide = [...document.querySelectorAll("html, .scroll, pre, dl, table, figure")]
    .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 2)
    .map(one => `${one.tagName} ${one.scrollWidth} > ${one.clientWidth}`);
  document.body.innerHTML = "<p id=measured>" + wide.join("; ") + "</p>";
})</script>"""


def browser() -> str | None:
    """The program, if it is installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def too_wide(page: Path, folder: Path, *, pixels: int = 1200) -> list[str]:
    """Parts of `page` that need more room than a window of `pixels` gives; `folder` is for scratch."""
    copy = folder / "measured.html"
    text = _PICTURE.sub("data:,", page.read_text(encoding="utf-8"))
    copy.write_text(text.replace("</body>", f"{_MEASURE}</body>"), encoding="utf-8")
    command = [
        str(browser()), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'browser'}", f"--window-size={pixels},900", "--dump-dom", copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'<p id="measured">(.*?)</p>', done.stdout)
    assert found, done.stdout[-500:]
    return found[1].replace("&gt;", ">").split("; ") if found[1] else []
