"""A bundle as one file: a tar archive of its folder."""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from flashsim_prod.errors import BundleError
from flashsim_prod.files import appearing, open_regular
from flashsim_prod.physics.chain.bundle import MANIFEST, Bundle, load_bundle, read_manifest
from flashsim_prod.physics.chain.writing import files_of

#: a manifest is read into memory; one of all models has 80 kB
_MOST_MANIFEST_BYTES = 10_000_000


def pack(bundle: Bundle, target: Path) -> None:
    """Write `bundle` into the file `target`; equal bundles give equal bytes.

    Raises
    ------
    BundleError
        If `target` is there and something else.
    """
    with appearing(target) as temporary:
        with tarfile.open(temporary, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name in files_of(bundle.manifest):
                contents = (bundle.path / name).read_bytes()
                # no owner, and the time of the bundle, so that equal contents are equal bytes
                member = tarfile.TarInfo(f"{bundle.name}/{name}")
                member.size, member.mode = len(contents), 0o644
                member.mtime = int(bundle.manifest.created.timestamp())
                archive.addfile(member, io.BytesIO(contents))
        if target.exists() and target.read_bytes() != temporary.read_bytes():
            raise BundleError(f"{target} exists and is something else; give another --output, or remove it")


def unpack(path: Path, folder: Path) -> Bundle:
    """The bundle in the archive `path`, unpacked into the empty `folder`, every digest checked.

    Only the manifest and the files that it names are taken out, under those names: whatever else an archive
    holds, links and paths that lead elsewhere included, stays in it.

    Raises
    ------
    BundleError
        If it is no tar archive, compressed or not, of one bundle.
    """
    try:
        with open_regular(path) as raw, tarfile.open(fileobj=raw) as archive:
            files = {PurePosixPath(member.name): member for member in archive if member.isreg()}
            manifests = [name for name in files if name.name == MANIFEST]
            if len(manifests) != 1:
                raise BundleError(f"{path}: holds {len(manifests)} files {MANIFEST}, expected one")
            (manifest_name,) = manifests
            if files[manifest_name].size > _MOST_MANIFEST_BYTES:
                raise BundleError(f"{path}: its {MANIFEST} is too long to be one")
            _take_out(archive, files[manifest_name], folder / MANIFEST)
            for model, entry in read_manifest(folder / MANIFEST).models.items():
                for file in entry.files:
                    member = files.get(manifest_name.with_name(file))
                    if member is None:
                        raise BundleError(f"{path}: {file}, the weights of model {model}, is missing")
                    _take_out(archive, member, folder / file)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BundleError(f"{path}: neither a bundle's folder nor a tar archive of one") from error
    return load_bundle(folder)


def _take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    contents = archive.extractfile(member)
    if contents is None:
        raise BundleError(f"{target.name} of the archive is no file")
    with contents, target.open("wb") as file:
        shutil.copyfileobj(contents, file)
