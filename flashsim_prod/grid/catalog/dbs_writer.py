"""Sending block dumps to DBS with its own client.

The only module that imports ``dbs``, and only when something is sent. Credentials are the client's own
affair (``X509_USER_PROXY``, or ``X509_USER_CERT`` and ``X509_USER_KEY``; ``X509_CERT_DIR``).
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from getpass import getuser
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from flashsim_prod.errors import CatalogError, ConfigError, StorageError
from flashsim_prod.grid.catalog.dbs import Dump, check_dump
from flashsim_prod.grid.catalog.rucio_calls import patience
from flashsim_prod.grid.catalog.wording import shortened

log = logging.getLogger("flashsim_prod.catalog")

#: what DBS says of a block that it has
_BLOCK_EXISTS = 200
#: what it says when a unique constraint was violated: two writers came with the same era, site or
#: configuration at once, and the next try finds it there
_COLLISION = 110
#: HTTP codes that may pass
_PASSING = frozenset({429, 500, 502, 503, 504})

Answer = TypeVar("Answer")


class DbsWriter:
    """A DBS server that blocks are published in.

    Parameters
    ----------
    url : str
        ``.../DBSWriter``.
    patience_s : float, optional
        How long failures that may pass are tried again [s].

    Raises
    ------
    ConfigError
        If dbs3-client is not installed, or finds no credentials.
    """

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        self.url = url
        self._patience_s = patience() if patience_s is None else patience_s
        # the client wants it, and batch systems do not always set it
        os.environ.setdefault("USER", getuser())
        self._api, self._refusal = _connect(url)

    def publish(self, dump: Dump) -> bool:
        """See that DBS has the block of a dump; False if it had it before.

        Raises
        ------
        CatalogError
            If the dump is wrong, DBS refuses it, or has another block of this name.
        StorageError
            If DBS does not answer.
        """
        check_dump(dump)
        name = dump["block"]["block_name"]
        try:
            self._retried(lambda: self._api.insertBulkBlock(dump))
        except self._refusal as error:
            if self._code(error) != _BLOCK_EXISTS:
                raise CatalogError(f"DBS refuses block {name}: {self._reason(error)}") from error
            self._compare(dump)
            return False
        self._compare(dump)
        return True

    def _compare(self, dump: Dump) -> None:
        """See that the block that DBS has holds these files."""
        name = dump["block"]["block_name"]
        try:
            found = self._retried(lambda: self._api.listFiles(block_name=name, detail=True))
        except self._refusal as error:
            raise CatalogError(f"DBS does not tell of block {name}: {self._reason(error)}") from error
        keys = ("logical_file_name", "file_size", "event_count", "adler32")
        known = {file["logical_file_name"]: tuple(file[key] for key in keys) for file in found}
        told = {file["logical_file_name"]: tuple(file[key] for key in keys) for file in dump["files"]}
        for lfn in sorted(known.keys() | told.keys()):
            if known.get(lfn) != told.get(lfn):
                raise CatalogError(
                    f"DBS has block {name} with other contents: {lfn} is {known.get(lfn)} there, "
                    f"{told.get(lfn)} here; nothing was changed"
                )

    def _retried(self, call: Callable[[], Answer]) -> Answer:
        attempts = Retrying(
            retry=retry_if_exception(self._may_pass),
            wait=wait_random_exponential(multiplier=0.5, max=20),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )
        try:
            # the client prints what the server says
            with redirect_stdout(io.StringIO()):
                return attempts(call)
        except self._refusal as error:
            if self._code(error) == _COLLISION:
                raise StorageError(
                    f"DBS at {self.url} says for {self._patience_s:.0f} s that another writer is faster "
                    f"({self._reason(error)}); publish again later"
                ) from error
            if self._may_pass(error):
                raise StorageError(
                    f"DBS at {self.url} does not answer ({self._reason(error)}); publish again later"
                ) from error
            raise

    def _may_pass(self, error: BaseException) -> bool:
        if not isinstance(error, self._refusal):
            return False
        code = getattr(error, "code", None)
        if self._code(error) == _COLLISION:
            return True
        # without a code it is the network, or no JSON; what DBS itself says is about the dump
        return code is None or (code in _PASSING and not self._code(error))

    def _code(self, error: BaseException) -> int:
        code = getattr(error, "server_code", 0)
        return code if isinstance(code, int) else 0

    def _reason(self, error: BaseException) -> str:
        return shortened(" ".join(str(getattr(error, "msg", "") or error).split()), 300)


def _connect(url: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """The client for `url`, and what it raises when the server refuses or is gone."""
    try:
        import pycurl
        from dbs.apis.dbsClient import DbsApi
        from RestClient.ErrorHandling.RestClientExceptions import ClientAuthException, HTTPError
    except ImportError as error:
        raise ConfigError(
            f"publishing needs dbs3-client ({error}): pip install 'flashsim-prod[dbs]'; "
            "the block dumps are written all the same"
        ) from error
    try:
        return DbsApi(url=url), (HTTPError, pycurl.error, ValueError)
    except ClientAuthException as error:
        raise ConfigError(
            "DBS finds no credentials; set X509_USER_PROXY and X509_CERT_DIR (voms-proxy-init -voms cms)"
        ) from error
