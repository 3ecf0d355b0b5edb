"""What travels with every CRAB task: this very package, the request, its bundle if that is not shipped."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from flashsim_prod import resources
from flashsim_prod.core.sizes import format_bytes
from flashsim_prod.errors import RequestError
from flashsim_prod.files import appearing, storage_errors
from flashsim_prod.grid.batch.crab.section import MAX_SANDBOX_BYTES

PACKAGE = "flashsim_prod.tar.gz"
_TOP = "flashsim_prod"


def pack_package(target: Path, bundle: str) -> None:
    """Write the package and its resources as an archive; equal software gives equal bytes.

    Of the shipped bundles just that called `bundle` travels, if it is one of them.
    """
    package = Path(resources.__file__).parent
    others = {path for path in resources.bundles_dir().iterdir() if path.is_dir() and path.name != bundle}
    files = {name: path for name, path in _files(package, _TOP) if path.parent not in others}
    for folder in (resources.jobs_dir(), resources.site_configs_dir(), resources.templates_dir()):
        files.update(_files(folder, f"{_TOP}/_resources/{folder.name}"))
    _pack(target, files)


def pack_bundle(bundle: Path, sandbox: Path) -> Path:
    """Write a bundle's folder as an archive of its name: a worker looks for a folder of that name."""
    target = sandbox / f"{bundle.name}.tar.gz"
    _pack(target, dict(_files(bundle, bundle.name)))
    return target


def check_size(paths: list[Path]) -> int:
    """Size of all of these [B]; `RequestError` if CRAB would not take it."""
    with storage_errors("measuring the sandbox"):
        size = sum(path.stat().st_size for path in paths)
    if size > MAX_SANDBOX_BYTES:
        largest = max(paths, key=lambda path: path.stat().st_size)
        raise RequestError(
            f"the CRAB sandbox has {format_bytes(size)}, CRAB takes {format_bytes(MAX_SANDBOX_BYTES)}; "
            f"the largest part is {largest.name}; use a smaller --bundle"
        )
    return size


def _files(folder: Path, top: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in within.parts and path.suffix not in (".pyc", ".part"):
            yield f"{top}/{within.as_posix()}", path


def _pack(target: Path, files: dict[str, Path]) -> None:
    with (
        appearing(target) as temporary,
        temporary.open("wb") as raw,
        # no time and no owner in it, so that the same contents are the same bytes
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in sorted(files.items()):
            contents = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(contents), 0o644
            archive.addfile(entry, io.BytesIO(contents))
