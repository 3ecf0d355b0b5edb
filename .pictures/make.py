"""Make the pictures of README and documentation anew, and print the figures that the documentation quotes.

    python .pictures/make.py WORK [--bundle NAME_OR_FOLDER] [--only terminal validation proof analyses]

WORK keeps the generator events for the next time. Chromium photographs the first screen of a validation.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
#: of the terminal [characters]
COLUMNS = 116
#: of the first screen of a validation [pixels]
WIDTH, HEIGHT = 1240, 1010
_COLOURS = 96


def command(work: Path, *words: str) -> tuple[str, float]:
    """Run ``flashsim-prod``; what it printed, and the CPU time [s] that it took."""
    before = _cpu_s()
    print("$ flashsim-prod", *words, flush=True)
    line = [sys.executable, "-m", "flashsim_prod.cli", *words]
    # 19: the answer is no, which is an answer
    done = subprocess.run(line, cwd=work, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 19):
        sys.exit(f"{' '.join(words)} ended with {done.returncode}")
    return done.stdout, _cpu_s() - before


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def terminal(work: Path, bundle: str) -> None:
    """A first request, as a terminal shows it."""
    from rich.console import Console
    from rich.text import Text

    words = ("request", "ttbar", "--events", "1000", "--oversample", "10")
    with tempfile.TemporaryDirectory(dir=work) as home:
        shown = _on_a_terminal(work, home, *words).replace(home, "/home/you/flashsim-prod")
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text("$ " + " ".join(("flashsim-prod", *words)), style="bold"))
    console.print(Text.from_ansi(shown), no_wrap=True, overflow="ellipsis")
    picture = console.export_svg(title="flashsim-prod")
    # a picture fetches nothing: viewers use a font of their own
    picture = re.sub(r"@font-face {.*?}", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code, monospace", "ui-monospace, Menlo, DejaVu Sans Mono, monospace")
    lines = (line.rstrip() for line in picture.splitlines())
    (PICTURES / "terminal.svg").write_text("\n".join(line for line in lines if line) + "\n")
    print(shown)


def _on_a_terminal(work: Path, home: str, *words: str) -> str:
    """What a terminal shows at the end of ``flashsim-prod``, progress bars as they ended."""
    ours, its = os.openpty()
    line = [sys.executable, "-m", "flashsim_prod.cli", *words]
    environment = os.environ | {"FLASHSIM_PROD_HOME": home, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    with subprocess.Popen(line, cwd=work, env=environment, stdout=its, stderr=its) as running:
        os.close(its)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            # the other end of a terminal that was closed
            pass
        finally:
            os.close(ours)
    if running.returncode:
        sys.exit(f"{' '.join(words)} ended with {running.returncode}")
    return _screen(shown.decode())


def _screen(stream: str) -> str:
    """The lines that are left after a live display has gone up and written over them; colours are kept."""
    lines, row = [""], 0
    for piece in re.split(r"(\r\n|\r|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh])", stream):
        if piece == "\r\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece == "\x1b[1A":
            row -= 1
        elif piece in ("\r", "\x1b[2K"):
            lines[row] = ""
        elif not piece.startswith("\x1b[?"):
            lines[row] += piece
    return "\n".join(lines).rstrip()


def validation(work: Path, bundle: str) -> None:
    """3,000 tt events next to the reference detector."""
    gen, full = work / "gen.root", work / "full.root"
    if not gen.is_file():
        command(work, "train", "generate", "ttbar", gen.name, "--events", "1500")
    full.unlink(missing_ok=True)
    command(work, "train", "reference", gen.name, "--output", full.name, "--folds", "2")
    with tempfile.TemporaryDirectory(dir=work) as home:
        os.environ["FLASHSIM_PROD_HOME"] = home
        options = ("--input", str(gen), "--oversample", "2", "--events", "3000", "--bundle", bundle, "--yes")
        command(work, "request", "ttbar", *options)
        shown, cpu_s = command(
            work, "validate", "ttbar-001", "--reference", full.name, "--output", "validation"
        )
    print(shown)
    page = work / "validation" / "index.html"
    _photograph(page, PICTURES / "validation.png")
    print(f"{page.read_text().count('<img ')} figures; validate: {cpu_s:.0f} s of CPU time\n")


def _photograph(page: Path, picture: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("there is no Chromium; run: apt-get install -y chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/p",
        )
        size = f"--window-size={WIDTH},{HEIGHT}"
        line = [browser, *options, size, f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(line, check=True, capture_output=True)
        _save(Image.open(shot).convert("RGB"), picture)


def proof(work: Path, bundle: str) -> None:
    """Pulls and gains; no bundle takes part."""
    _, cpu_s = command(work, "validate", "proof")
    found = json.loads((work / "proof" / "proof.json").read_text())
    for process in found["processes"]:
        _print_proof(process)
    print(f"proven: {found['proven']}; validate proof: {cpu_s:.0f} s of CPU time\n")
    page = (work / "proof" / "index.html").read_text()
    # a toy, its pulls, and the gains of the first process
    gains, toy, pulls = (
        _decoded(one) for one in re.findall(r'src="data:image/png;base64,([^"]+)"', page)[:3]
    )
    _save(_side_by_side([toy, pulls, gains]), PICTURES / "proof.png")


def _print_proof(process: dict) -> None:
    every = process["observables"]
    right, wrong = [one["correlated"] for one in every], [one["naive"] for one in every]
    tests = [min(one["p_value"], one["chi2_p_value"]) for one in right]
    refuted = [min(one["p_value"], one["chi2_p_value"]) for one in wrong]
    print(
        f"{process['title']}: {process['toys']} toys; pull widths {_span(one['width'] for one in right)}, "
        f"smallest of {2 * len(tests)} p-values {min(tests):.2g}; "
        f"naive {_span(one['width'] for one in wrong)}, largest p {max(refuted):.0e}"
    )
    largest = max(one["folds"] for one in every)
    gains = {one["observable"]: one["gain"] for one in every if one["folds"] == largest}
    print(f"  gain x{largest}:", ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items()))


def _span(numbers) -> str:
    values = list(numbers)
    return f"{min(values):.3f} to {max(values):.3f}"


def analyses(work: Path, bundle: str) -> None:
    """Efficiencies and areas."""
    _, cpu_s = command(work, "validate", "analyses", "--bundle", bundle)
    found = json.loads((work / "analyses" / "analyses.json").read_text())
    for one in found["analyses"]:
        for process in one["processes"]:
            ratio, error = process["flow"][-1]["ratio"] or (float("nan"), float("nan"))
            lights = [part["light"] for part in (*process["flow"], *process["distributions"])]
            odd = f"; {lights.count('amber')} amber, {lights.count('red')} red of {len(lights)}"
            print(f"{one['name']}, {process['title']}: {ratio:.3f} ± {error:.3f}{odd}")
        areas = ", ".join(f"{name} {value[0]:.3f} ± {value[1]:.3f}" for name, value in _areas(one["auc"]))
        print(f"  area under the ROC curve: {areas}")
    print(f"validate analyses: {cpu_s:.0f} s of CPU time, events generated before not counted\n")


def _areas(auc: dict) -> list[tuple[str, list[float]]]:
    return [(name, auc[name]) for name in ("flashsim", "reference", "difference")]


def _decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


def _side_by_side(parts: Sequence[Image.Image]) -> Image.Image:
    joined = Image.new("RGB", (sum(one.width for one in parts), max(one.height for one in parts)), "white")
    place = 0
    for one in parts:
        joined.paste(one, (place, 0))
        place += one.width
    return joined


def _save(picture: Image.Image, path: Path) -> None:
    few = picture.quantize(_COLOURS, kmeans=2, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Make what was asked for."""
    known = {one.__name__: one for one in (terminal, validation, proof, analyses)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--bundle", default="reference")
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        known[name](given.work.resolve(), given.bundle)


if __name__ == "__main__":
    main()
