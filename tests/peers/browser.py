"""What a browser makes of a page: what is wider than the room it has, and what becomes of it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

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


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Callable[[str], Any]]:
    """A page that stays open: a function that gives what a JavaScript expression comes to in it."""
    command = [
        str(browser()), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'live-browser'}", "--window-size=1200,900", "--remote-debugging-port=0",
        url,
    ]  # fmt: skip
    port_file = folder / "live-browser" / "DevToolsActivePort"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not port_file.is_file() or len(port_file.read_text().splitlines()) < 2:
            assert time.monotonic() < until, "the browser did not start"
            time.sleep(0.1)
        port = port_file.read_text().splitlines()[0]
        yield lambda expression: asyncio.run(_evaluated(port, url, expression))
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _evaluated(port: str, url: str, expression: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [one for one in await answer.json() if one["url"] == url]
        if not pages:
            return None
        async with session.ws_connect(pages[0]["webSocketDebuggerUrl"]) as page:
            wanted = {"expression": expression, "returnByValue": True}
            await page.send_json({"id": 1, "method": "Runtime.evaluate", "params": wanted})
            return (await page.receive_json())["result"]["result"].get("value")
