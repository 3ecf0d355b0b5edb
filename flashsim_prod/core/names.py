"""Names by CMS's grammar: datasets, blocks, logical file names; scopes and storage elements of Rucio.

The patterns are those of the CMS data-management lexicon: a dataset is ``/Primary/Era-ProcString-vN/TIER``,
a block ``<dataset>#<id>``, a file ``/store/mc/Era/Primary/TIER/ProcString-vN/<group>/<GUID>.root``, of flat
ntuples also ``.parquet``.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Self

from flashsim_prod.core.strict import StrictModel
from flashsim_prod.errors import RequestError

_PRIMARY = re.compile(r"[a-zA-Z][a-zA-Z0-9\-_]{0,98}")
_WORD = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_STRING = re.compile(r"[a-zA-Z0-9_]+")
_DATASET = re.compile(
    r"/(?P<primary>[^/]+)/(?P<era>[a-zA-Z][a-zA-Z0-9_]*)-(?P<string>[a-zA-Z0-9_]+)-v(?P<version>[0-9]+)"
    r"/(?P<tier>[A-Z][A-Z0-9\-]*)"
)
_USER_DATASET = re.compile(
    r"/(?P<primary>[^/]+)/(?P<era>[a-zA-Z][a-zA-Z0-9_]*)-(?P<string>[a-zA-Z0-9_]+)-(?P<hash>[0-9a-f]{32})/(?P<tier>USER)"
)
_REQUEST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,79}")
#: tier of all datasets of users and groups
USER_TIER = "USER"
#: where Rucio brings users' files: users themselves cannot write there
RUCIO_USER_LFN = "/store/user/rucio/{user}"
_LFN_MAX = 500
_FILES_PER_FOLDER = 1000
_SCOPE = re.compile(r"cms|(?P<kind>user|group)\.(?P<owner>[a-z][a-z0-9_\-]*)")
_RSE = re.compile(r"T[0-3]_[A-Z]{2}(_[A-Za-z0-9]+)+")
#: storage elements that users write to themselves; a rule then brings the files to the lasting one
_TEMPORARY = "_Temp"


class DatasetName(StrictModel):
    """``/Primary/Era-ProcString-vN/TIER``, or ``/Primary/User-Tag-<32 hexadecimal digits>/USER``.

    The last 8 of those digits are the version, those before are a digest of the rest, so that names of
    users' datasets, too, tell their version and can be read back.
    """

    primary: str
    era: str
    string: str
    version: int
    tier: str = "NANOAODSIM"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name written as `text`; `RequestError` if it breaks the grammar."""
        match = _USER_DATASET.fullmatch(text) or _DATASET.fullmatch(text)
        if match is None or not _PRIMARY.fullmatch(match["primary"]):
            raise RequestError(f"'{text}' is no dataset name; the form is /Primary/Era-ProcString-vN/TIER")
        parts = match.groupdict()
        if "hash" in parts:
            parts["version"] = int(parts.pop("hash")[-8:], 16)
        found = cls(**parts)  # type: ignore[arg-type]
        if str(found) != text:
            raise RequestError(f"'{text}' is no dataset name of this program")
        return found

    def __str__(self) -> str:
        return f"/{self.primary}/{self.era}-{self.string}-{self._version}/{self.tier}"

    @property
    def is_users(self) -> bool:
        """Whether it is a user's, not the experiment's."""
        return self.tier == USER_TIER

    @property
    def _version(self) -> str:
        if not self.is_users:
            return f"v{self.version}"
        rest = f"{self.primary}/{self.era}/{self.string}".encode()
        return f"{hashlib.sha256(rest).hexdigest()[:24]}{self.version:08x}"

    def extended(self, number: int, version: int) -> Self:
        """The name of extension `number` of this dataset, counted from 1."""
        return self.model_copy(update={"string": f"{self.string}_ext{number}", "version": version})

    def block(self, identifier: uuid.UUID) -> str:
        """The name of the block `identifier` of this dataset."""
        return f"{self}#{identifier}"

    @property
    def campaign(self) -> str:
        """The acquisition era that catalogues are told; the first word of a user's dataset is the user."""
        return self.string.partition("_")[0] if self.is_users else self.era

    def lfn(
        self, index: int, identifier: uuid.UUID, user_lfn: str | None = None, *, ending: str = "root"
    ) -> str:
        """The logical name of the merged file number `index`, in ``/store/mc`` or the user's folder."""
        group = f"{index // _FILES_PER_FOLDER:06d}"
        return self._path("mc", user_lfn, group, f"{str(identifier).upper()}.{ending}")

    def unmerged_lfn(self, request_name: str, index: int, user_lfn: str | None = None) -> str:
        """The logical name of what simulate job `index` writes; it does not stay."""
        group = f"{index // _FILES_PER_FOLDER:06d}"
        return self._path("unmerged", user_lfn, request_name, group, f"simulate_{index:06d}.root")

    def user_folder(self, user_lfn: str | None) -> str:
        """Folder of the user's files: `user_lfn` of a site, or Rucio's."""
        return (user_lfn or RUCIO_USER_LFN).replace("{user}", self.era).rstrip("/")

    def _path(self, top: str, user_lfn: str | None, *rest: str) -> str:
        folder: tuple[str, ...]
        if self.is_users:
            within = [top] if top == "unmerged" else []
            folder = (self.user_folder(user_lfn), *within, self.primary)
        else:
            folder = ("/store", top, self.era, self.primary, self.tier)
        lfn = "/".join((*folder, f"{self.string}-v{self.version}", *rest))
        if len(lfn) > _LFN_MAX:
            raise RequestError(
                f"the file name {lfn} is longer than {_LFN_MAX} characters; shorten the primary name"
            )
        return lfn


def check_request_name(name: str) -> str:
    """`name` itself if it can name a folder; `RequestError` otherwise."""
    if not _REQUEST.fullmatch(name):
        raise RequestError(
            f"'{name}' cannot name a request; use at most 80 letters, digits, '-', '_' and '.', "
            "the first a letter or a digit"
        )
    return name


def check_primary(name: str) -> str:
    """`name` itself if it can be a primary dataset name; `ValueError` otherwise."""
    if not _PRIMARY.fullmatch(name):
        raise ValueError(f"'{name}' cannot be a primary dataset name (letters, digits, '-', '_', at most 99)")
    return name


def check_era(name: str) -> str:
    """`name` itself if it can be an acquisition era; `ValueError` otherwise."""
    if not _WORD.fullmatch(name):
        raise ValueError(f"'{name}' cannot be an acquisition era (letters, digits, '_')")
    return name


def check_processing_string(name: str) -> str:
    """`name` itself if it can be a processing string; `ValueError` otherwise."""
    if not _STRING.fullmatch(name):
        raise ValueError(f"'{name}' cannot be a processing string (letters, digits, '_')")
    return name


def check_scope(scope: str) -> str:
    """`scope` itself if it is ``cms``, ``user.<name>`` or ``group.<name>``; `RequestError` otherwise."""
    if not _SCOPE.fullmatch(scope):
        raise RequestError(f"'{scope}' is no scope of CMS; the forms are cms, user.<name> and group.<name>")
    return scope


def owner_of(scope: str) -> str | None:
    """The user or group of a scope, ``None`` of ``cms``; `RequestError` if it is no scope."""
    match = _SCOPE.fullmatch(check_scope(scope))
    return match["owner"] if match else None


def check_container(scope: str, container: str) -> str:
    """`container` itself if it may be made in `scope`; `RequestError` otherwise.

    Outside ``cms`` all containers are of the tier ``USER``, inside none.
    """
    is_user = container.endswith("/USER")
    if is_user == (owner_of(scope) is None):
        raise RequestError(
            f"{container} cannot be in scope {scope}: "
            + ("tier USER belongs to user.<name> or group.<name>" if is_user else "its tier would be USER")
        )
    return container


def check_rse(rse: str) -> str:
    """`rse` itself if it can name a storage element of CMS; `RequestError` otherwise."""
    if not _RSE.fullmatch(rse):
        raise RequestError(
            f"'{rse}' is no storage element of CMS (as T2_IT_Pisa is); say --rse, or set FLASHSIM_PROD_RSE"
        )
    return rse


def lasting_rse(rse: str) -> str:
    """The storage element where files written to `rse` are to stay: without ``_Temp``."""
    return rse.removesuffix(_TEMPORARY)


def is_temporary(rse: str) -> bool:
    """Whether users may write to `rse` themselves."""
    return rse.endswith(_TEMPORARY)


#: of requests, bundles and samples that name none
NANO_VERSION = "v9"
#: the version of NanoAOD that Run 3 is written in
NANO_RUN3 = "v15"
