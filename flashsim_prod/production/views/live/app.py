"""What is served of requests: pages, their changes as they come, JSON, metrics, logs of failures.

The only module that imports ``starlette``, and only when it is asked for. Nothing can be changed through it,
and it answers only to names of this machine, so that no page of others can read it through a browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Any

from flashsim_prod.errors import ConfigError, FlashSimError, RequestError
from flashsim_prod.files import json_text
from flashsim_prod.production.home import Home
from flashsim_prod.production.views.live import pages
from flashsim_prod.production.views.live.logs import end_of, own_log
from flashsim_prod.production.views.live.looks import FRESH_S, Look, Looks
from flashsim_prod.production.views.metrics import exposition, metrics_of
from flashsim_prod.production.views.spoiled import spoiled
from flashsim_prod.production.views.status import RequestDetail, RequestStanding, all_standings, detail

try:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    raise ConfigError(f"{error}; the live page needs it: pip install 'flashsim-prod[serve]'") from error

#: names by which a browser on this machine may call it, also through a tunnel
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    # whatever found its way into a page: no script but the own one runs, nothing is fetched from elsewhere
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
#: how often a stream sees whether the server is to stop [s]
_STOP_S = 0.2


def make_app(home: Home, stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """The application; streams end once `stopping` says so."""
    live = _Live(home, stopping)
    return Starlette(
        routes=[
            Route("/", live.all_page),
            Route("/live", live.all_changes),
            Route("/live.js", live.script),
            Route("/status.json", live.all_json),
            Route("/metrics", live.metrics),
            Route("/requests/{name}", live.one_page),
            Route("/requests/{name}/live", live.one_changes),
            Route("/requests/{name}/status.json", live.one_json),
            Route("/requests/{name}/logs/{log:path}", live.log),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK, www_redirect=False)],
        exception_handlers={FlashSimError: _refused, Exception: _broken},
    )


@dataclass(frozen=True)
class _Whole:
    """All requests, and what keeps some from being shown."""

    standings: list[RequestStanding]
    spoiled: tuple[str, ...]


class _Live:
    """What answers."""

    def __init__(self, home: Home, stopping: Callable[[], bool]) -> None:
        self._all: Looks[_Whole] = Looks(lambda _: _Whole(all_standings(home), spoiled(home)))
        self._one: Looks[RequestDetail] = Looks(lambda name: detail(home, name))
        self._stopping = stopping

    async def all_page(self, request: Request) -> Response:
        found = (await self._all.at("")).seen
        return _html(pages.page_of_all(found.standings, found.spoiled))

    async def one_page(self, request: Request) -> Response:
        return _html(pages.page_of_one((await self._one.at(_name(request))).seen))

    async def all_json(self, request: Request) -> Response:
        return _json([asdict(one.line) for one in (await self._all.at("")).seen.standings])

    async def one_json(self, request: Request) -> Response:
        return _json(asdict((await self._one.at(_name(request))).seen))

    async def metrics(self, request: Request) -> Response:
        text = exposition(metrics_of((await self._all.at("")).seen.standings))
        return Response(text, media_type="text/plain; version=0.0.4", headers=_HEADERS)

    async def script(self, request: Request) -> Response:
        return Response(pages.script(), media_type="text/javascript", headers=_HEADERS)

    async def log(self, request: Request) -> Response:
        found = (await self._one.at(_name(request))).seen
        path = own_log(found.folder, found.failures, request.path_params["log"])
        return PlainTextResponse(await asyncio.to_thread(end_of, path), headers=_HEADERS)

    async def all_changes(self, request: Request) -> Response:
        return self._changes(self._all, "", lambda found: pages.body_of_all(found.standings, found.spoiled))

    async def one_changes(self, request: Request) -> Response:
        name = _name(request)
        await self._one.at(name)  # an answer of its own if there is none such
        return self._changes(self._one, name, pages.body_of_one)

    def _changes(self, looks: Looks[Any], name: str, body: Callable[[Any], str]) -> Response:
        stream = self._events(looks, name, body)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)

    async def _events(self, looks: Looks[Any], name: str, body: Callable[[Any], str]) -> AsyncIterator[str]:
        """Server-sent events: what is shown, whenever somebody looked anew."""
        last: Look[Any] | None = None
        while not self._stopping():
            try:
                found = await looks.at(name)
            except FlashSimError as error:
                last = None
                yield _event("trouble", str(error))
            else:
                # else a remark, which only finds out whether somebody still listens
                yield _event("look", body(found.seen)) if found is not last else ":\n\n"
                last = found
            for _ in range(round(FRESH_S / _STOP_S)):
                if not self._stopping():
                    await asyncio.sleep(_STOP_S)


def _event(kind: str, data: str) -> str:
    return "".join([f"event: {kind}\n", *(f"data: {line}\n" for line in data.splitlines()), "\n"])


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _html(text: str) -> Response:
    return HTMLResponse(text, headers=_HEADERS)


def _json(value: object) -> Response:
    return Response(json_text(value) + "\n", media_type="application/json", headers=_HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    """The line that a command would print; 404 for what is not there, 503 for what cannot be told now."""
    is_absent = isinstance(error, RequestError) and not isinstance(error, ConfigError)
    return PlainTextResponse(f"{error}\n", status_code=404 if is_absent else 503, headers=_HEADERS)


async def _broken(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{type(error).__name__}: {error}\n", status_code=500, headers=_HEADERS)
