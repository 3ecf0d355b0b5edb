"""Every error that a user can meet, in one tree.

::

    FlashSimError                 1
    ├── RequestError              2   what was asked for makes no sense or does not exist
    │   └── ConfigError           2   a card, site, request or report file is wrong
    ├── InputError               10   generator-level input is missing, broken or lacks a branch
    │   └── MissingBranchError   10   ... a branch, or a whole collection
    ├── BundleError              11   a model bundle is incomplete, altered or of another schema
    ├── ValidationError          12   produced events failed a technical check
    ├── StateError               13   the ledger forbids this step from here
    ├── LockedError              14   another command is at work on the same request or fit
    ├── CatalogError             15   the catalogue disagrees with what is to be declared
    ├── VerifyError              16   storage, catalogue and ledger do not tell the same story
    │   ├── MissingFileError      5   ... only because files are missing
    │   ├── ExtraFileError        6   ... only because storage has files more
    │   ├── WrongSizeError        7   ... only because files have other sizes
    │   └── WrongChecksumError    8   ... only because files have other contents
    ├── JobsFailedError          17   some jobs of a request have failed for good
    ├── MeasurementError         18   a measurement gives no figure that could be stood by
    ├── FidelityError            19   produced events differ from their reference
    ├── StorageError             20   reading or writing failed                      (retry)
    │   └── NoSpaceError         21   the disk is full                               (retry)
    └── NodeError                22   this machine cannot do the work: GPU lost, ... (retry)

Each class has its own process exit code and says whether running the same job again can help:
the codes 20 and up are worth a retry, all others are not. A batch system can act on the code alone.
"""

from __future__ import annotations

from typing import ClassVar


class FlashSimError(Exception):
    """Base of all errors shown to users as one line.

    The message says what is wrong, where, and how to mend it.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class RequestError(FlashSimError):
    """The request makes no sense or names something that does not exist."""

    exit_code = 2


class ConfigError(RequestError):
    """A card, site, request or report file does not follow its schema."""


class InputError(FlashSimError):
    """Generator-level input is missing, broken or lacks a branch."""

    exit_code = 10


class MissingBranchError(InputError, KeyError):
    """Events were asked for a branch or a collection that they do not have.

    Attributes
    ----------
    lacking : str
        Its full name, with a ``*`` for a collection that is not known; empty if it has none.
    """

    def __init__(self, message: str, lacking: str = "") -> None:
        super().__init__(message)
        self.lacking = lacking

    # a KeyError shows its argument in quotes
    __str__ = Exception.__str__


class BundleError(FlashSimError):
    """A model bundle is incomplete, altered or of another schema."""

    exit_code = 11


class EventsError(FlashSimError):
    """Produced events failed a technical check."""

    exit_code = 12


class StateError(FlashSimError):
    """The ledger forbids this step from the present state."""

    exit_code = 13


class LockedError(FlashSimError):
    """Another command is at work on the same request, or makes the same fit."""

    exit_code = 14


class CatalogError(FlashSimError):
    """The catalogue holds something else under the same name."""

    exit_code = 15


class VerifyError(FlashSimError):
    """Storage, catalogue and ledger do not tell the same story."""

    exit_code = 16


class MissingFileError(VerifyError):
    """Files are missing, and nothing else is wrong."""

    exit_code = 5


class ExtraFileError(VerifyError):
    """Storage has files that the catalogue does not know, and nothing else is wrong."""

    exit_code = 6


class WrongSizeError(VerifyError):
    """Files have another size than they should, and nothing else is wrong."""

    exit_code = 7


class WrongChecksumError(VerifyError):
    """Files have other contents than they should, and nothing else is wrong."""

    exit_code = 8


class JobsFailedError(FlashSimError):
    """Some jobs of a request have failed and will not be retried by themselves."""

    exit_code = 17


class MeasurementError(FlashSimError):
    """A measurement gives no figure that could be stood by."""

    exit_code = 18


class FidelityError(FlashSimError):
    """Produced events differ from their reference, or a proof of the method failed."""

    exit_code = 19


class StorageError(FlashSimError):
    """Reading or writing failed; another try, perhaps elsewhere, can help."""

    exit_code = 20
    retryable = True


class NoSpaceError(StorageError):
    """The disk is full."""

    exit_code = 21


class NodeError(FlashSimError):
    """This machine cannot do the work; another one may."""

    exit_code = 22
    retryable = True


def all_errors() -> tuple[type[FlashSimError], ...]:
    """Every class of the tree, the base first."""
    found: list[type[FlashSimError]] = [FlashSimError]
    for known in found:
        found.extend(known.__subclasses__())
    return tuple(found)


def exit_code_is_retryable(exit_code: int) -> bool:
    """Whether a job that ended with `exit_code` deserves another attempt.

    Codes that no error of the tree owns (a signal, a crash of the interpreter) say nothing about the
    job, so they are worth another try.
    """
    if exit_code == 0:
        return False
    owned = {error.exit_code: error.retryable for error in all_errors()}
    return owned.get(exit_code, True)
