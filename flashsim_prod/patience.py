"""Trying again what failed since a server, or the way to it, is out of order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from flashsim_prod.errors import NoSpaceError, StorageError

#: a server that drops is tried so often, with pauses that double up to the longest [s]
ATTEMPTS = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

Got = TypeVar("Got")


def patiently(
    call: Callable[[], Got], *, before_again: Callable[[], None] | None = None, advice: str = ""
) -> Got:
    """What `call` gives, which is called again where it raises `StorageError`.

    Parameters
    ----------
    before_again : callable, optional
        What has to be done before each further try, and after the last one.
    advice : str
        What is added to the last error.

    Raises
    ------
    StorageError
        That of the last try; of a full disk at once.
    """

    def passes(error: BaseException) -> bool:
        return isinstance(error, StorageError) and not isinstance(error, NoSpaceError)

    tidy = before_again or (lambda: None)
    tries = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
        retry=retry_if_exception(passes),
        before_sleep=lambda _: tidy(),
        reraise=True,
    )
    try:
        return tries(call)
    except NoSpaceError:
        raise
    except StorageError as error:
        tidy()
        if not advice:
            raise
        raise StorageError(f"{error}; {advice}") from error
