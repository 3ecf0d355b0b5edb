"""flashsim-prod in a notebook: events in memory, datasets, and how requests stand.

What is named in `__all__` is all that is promised to code outside this package. Whatever goes wrong for a
reason that can be told is a `FlashSimError` with one line that says what, where and how to mend it. Importing
this package loads nothing heavy.
"""

from __future__ import annotations

from flashsim_prod.api.datasets import dask_events, events
from flashsim_prod.api.requests import Dataset, RequestStatus, request, simulate, status
from flashsim_prod.errors import FlashSimError

__all__ = [
    "Dataset",
    "FlashSimError",
    "RequestStatus",
    "dask_events",
    "events",
    "request",
    "simulate",
    "status",
]
