"""Calls of a Rucio server: found as rucio's own tools find it, retried, and with errors of the house's tree.

The only module that imports ``rucio``, and only when a server is asked for. Configuration and credentials
are rucio's own affair (``rucio.cfg``, environment, x509 proxy, password or token); nothing of them is
kept, shown or logged here.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from flashsim_prod.errors import CatalogError, ConfigError, FlashSimError, StorageError
from flashsim_prod.grid.catalog.wording import shortened

log = logging.getLogger("flashsim_prod.catalog")

#: how long a server that does not answer is asked again [s]
PATIENCE_S = 300.0
#: overrides it
PATIENCE_VARIABLE = "FLASHSIM_PROD_PATIENCE_S"
#: how long an answer may take: a bulk call of 500 files takes seconds, on a busy server more [s]
ANSWER_S = 120
#: said by the server and worth another try: two registrations at once, an overloaded or restarting server
_PASSING = ("duplicate key", "deadlock detected", "could not serialize", "database is locked")
_PASSING_STATUS = tuple(f"http status code: {code}" for code in (429, 500, 502, 503, 504))
_PASSING_ERRORS = frozenset(
    {"ServerConnectionException", "ResourceTemporaryUnavailable", "DatabaseException", "ServiceUnavailable"}
)
_UNCONFIGURED = frozenset(
    {
        "ConfigNotFound",
        "ConfigLoadingError",
        "MissingClientParameter",
        "NoAuthInformation",
        "ClientProtocolNotFound",
        "ClientProtocolNotSupported",
        "MissingModuleException",
    }
)
_REFUSED = frozenset({"CannotAuthenticate", "CannotAuthorize", "IdentityError"})
#: why TLS failed: a certificate that one end does not take
_CERTIFICATE = re.compile(r"\[SSL: (?P<code>\w*(?:CERTIFICATE|UNKNOWN_CA)\w*)\] (?P<reason>[^(]+)")

#: a name that the server's schema does not allow
_UNFIT = re.compile(r"'(?P<name>[^']*)' does not match ")

Answer = TypeVar("Answer")


class _Overheard(logging.Handler):
    """The last lines of rucio's own log: why a connection failed is told nowhere else; shown to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=8)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


_OVERHEARD = _Overheard()
_RUCIO_LOG = logging.getLogger("flashsim_prod.catalog.rucio")
_RUCIO_LOG.addHandler(_OVERHEARD)
# its lines would come between those of this program
_RUCIO_LOG.propagate = False
# at level DEBUG rucio tells passwords
_RUCIO_LOG.setLevel(logging.ERROR)


@dataclass(frozen=True)
class _SignedIn:
    """A client whose credentials were accepted, what the server says of their owner, and when it was [s]."""

    client: Any
    who: dict[str, Any]
    at_s: float


#: those of the block that runs, by how long an answer may take; ``None`` outside of such a block
_SHARED: ContextVar[dict[int, _SignedIn] | None] = ContextVar("_SHARED", default=None)
#: after so long credentials may have been renewed, so another sign-in is due [s]
_SHARED_S = 600.0


@contextmanager
def one_sign_in() -> Iterator[None]:
    """Let all that asks Rucio while the block runs, in this thread, share one sign-in; blocks may nest."""
    token = _SHARED.set({}) if _SHARED.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _SHARED.reset(token)


class RucioCalls:
    """One server, spoken to in its own calls.

    Parameters
    ----------
    patience_s : float, optional
        How long failures that may pass are tried again [s]; by default `patience`.
    answer_s : int
        How long to wait for one answer [s].

    Attributes
    ----------
    who : mapping
        What the server says of the account.

    Raises
    ------
    ConfigError
        If rucio-clients is not installed, not configured, or refuses its credentials.
    StorageError
        If no server answers.
    """

    def __init__(self, *, patience_s: float | None = None, answer_s: int = ANSWER_S) -> None:
        make, self._known = _load()
        self._patience_s = patience() if patience_s is None else patience_s
        shared = _SHARED.get()
        found = None if shared is None else shared.get(answer_s)
        if found is None or time.monotonic() - found.at_s > _SHARED_S:
            sign_in = partial(_sign_in, partial(make, timeout=answer_s, logger=_RUCIO_LOG))
            found = _SignedIn(*self._retried("signing in", sign_in), time.monotonic())
            if shared is not None:
                shared[answer_s] = found
        self._client, self.who = found.client, found.who
        self.host = str(self._client.host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; where the sign-in is shared, the next call opens another."""
        self._client.session.close()

    def ask(self, method: str, *positional: Any, **named: Any) -> Any:
        """Call `method` of rucio's client; an answer that comes in pieces is a list.

        Raises
        ------
        StorageError
            If the server could not be reached or was too busy for all of the patience.
        ConfigError
            If it refuses the credentials.
        CatalogError
            If it refuses the call.
        """
        return self._retried(method, partial(self._call, method, positional, named))

    def settled(self, method: str, *positional: Any, already: Iterable[str], **named: Any) -> bool:
        """Call `method` as `ask` does; False if the server answers by one of the exceptions `already`.

        Parameters
        ----------
        already : iterable of str
            Names of rucio's exceptions that say that things are as they should be.
        """
        expected = tuple(already)

        def call() -> bool:
            try:
                self._call(method, positional, named)
            except self._known as error:
                if type(error).__name__ in expected:
                    return False
                raise
            return True

        return self._retried(method, call)

    def _call(self, method: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        answer = getattr(self._client, method)(*positional, **named)
        return list(answer) if isinstance(answer, Iterator) else answer

    def _retried(self, what: str, call: Callable[[], Answer]) -> Answer:
        attempts = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.5, max=20),
            stop=stop_after_delay(self._patience_s),
            before_sleep=partial(_tell, what),
            reraise=True,
        )
        try:
            return attempts(partial(self._once, call))
        except self._known as error:
            raise self._explained(what, error) from error

    def _once(self, call: Callable[[], Answer]) -> Answer:
        """One attempt; certificates that are not taken are told apart from a server that is away."""
        _OVERHEARD.lines.clear()
        try:
            return call()
        except self._known as error:
            if (refusal := _refused_certificate()) is not None:
                raise refusal from error
            raise

    def _explained(self, what: str, error: Exception) -> FlashSimError:
        kind = type(error).__name__
        if _may_pass(error):
            return StorageError(
                f"Rucio does not answer ({what}: {_reason(error)}), tried for {self._patience_s:.0f} s; "
                "nothing is lost, register the request again later"
            )
        if kind in _UNCONFIGURED:
            return _unconfigured(error)
        if kind in _REFUSED:
            # what rucio says of it may hold the credentials
            return _refused(kind)
        if kind == "InvalidObject" and (name := _UNFIT.search(str(error))):
            return CatalogError(f"'{name['name']}' is no name that Rucio allows here")
        return CatalogError(f"Rucio refuses {what}: {kind}: {_reason(error)}")


def patience() -> float:
    """``$FLASHSIM_PROD_PATIENCE_S``, or `PATIENCE_S`; `ConfigError` if it is no number."""
    told = os.environ.get(PATIENCE_VARIABLE)
    try:
        return float(told) if told else PATIENCE_S
    except ValueError as error:
        raise ConfigError(f"{PATIENCE_VARIABLE}: '{told}' is no number of seconds") from error


def _load() -> tuple[Callable[..., Any], tuple[type[Exception], ...]]:
    """Rucio's client class, and the exceptions that its calls raise."""
    try:
        import requests
        from rucio.common.exception import RucioException
    except ImportError as error:
        raise ConfigError(
            f"rucio-clients, a part of the installation, is missing ({error}): pip install rucio-clients"
        ) from error
    try:
        from rucio.client import Client
    except RucioException as error:
        # it reads its configuration when it is imported
        raise _unconfigured(error) from error
    return Client, (RucioException, requests.RequestException)


def _sign_in(make: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """A client whose credentials the server has accepted, and what it says of their owner."""
    # some ways of signing in print what a person has to do: nothing that belongs into this program's output
    notices = sys.stderr if sys.stderr.isatty() else io.StringIO()
    try:
        with redirect_stdout(notices):
            client = make()
            return client, client.whoami()
    except KeyError as error:
        # what comes of x509_proxy without a proxy anywhere
        raise ConfigError(
            f"Rucio finds no {error} anywhere; voms-proxy-init -voms cms, or set X509_USER_PROXY"
        ) from error
    except EOFError as error:
        raise _refused("it wants a code that nobody types here") from error


def _unconfigured(error: Exception) -> ConfigError:
    return ConfigError(
        f"Rucio is not configured ({type(error).__name__}: {_reason(error)}); write a rucio.cfg "
        "(RUCIO_CONFIG says where) until 'rucio whoami' answers"
    )


def _refused(why: str) -> ConfigError:
    return ConfigError(
        f"Rucio refuses your credentials ({why}); renew proxy or token until 'rucio whoami' answers"
    )


def _refused_certificate() -> ConfigError | None:
    """Which certificate was not taken in the last attempt, if one was."""
    match = next((found for line in _OVERHEARD.lines if (found := _CERTIFICATE.search(line))), None)
    if match is None:
        return None
    reason = match["reason"].strip()
    if match["code"] == "CERTIFICATE_VERIFY_FAILED":
        return ConfigError(
            f"Rucio's server is not trusted here ({reason}); set X509_CERT_DIR, or ca_cert in rucio.cfg"
        )
    return _refused(reason)


def _may_pass(error: BaseException) -> bool:
    """Whether another try can help."""
    from requests import RequestException
    from rucio.common.exception import RucioException

    if isinstance(error, RequestException):
        return True
    if not isinstance(error, RucioException):
        return False
    text = str(error)
    return type(error).__name__ in _PASSING_ERRORS or any(
        sign in text for sign in (*_PASSING, *_PASSING_STATUS)
    )


def _tell(what: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = state.next_action.sleep if state.next_action else 0.0
    log.warning("Rucio: %s: %s; next try in %.1f s", what, _reason(error), pause)


def _reason(error: BaseException | None) -> str:
    """One line, without the memory addresses and SQL that servers send along."""
    line = " ".join(str(error).split()).rpartition(" Details: ")[2] or type(error).__name__
    return shortened(line, 200)
