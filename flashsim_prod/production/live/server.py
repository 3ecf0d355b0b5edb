"""The server of the live page: on loopback, until it is told to end."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from flashsim_prod.errors import ConfigError, RequestError
from flashsim_prod.production.home import Home

if TYPE_CHECKING:
    from uvicorn import Server

ADDRESS = "127.0.0.1"
#: how long connections may take to end once it is told to [s]
_GRACE_S = 3


def serve(home: Home, port: int, told: Callable[[str, int], None]) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    port : int
        0 for any free one.
    told : callable
        Is given the address of the page and its port once it can be opened.

    Raises
    ------
    RequestError
        If the port is taken or may not be used.
    ConfigError
        If a library that it needs is not installed.
    """
    with listening(port) as socket_:
        server = make_server(home)
        number = int(socket_.getsockname()[1])
        told(f"http://{ADDRESS}:{number}/", number)
        # once all has ended, the server sends itself the signal that ended it
        with suppress(KeyboardInterrupt):
            server.run(sockets=[socket_])


def listening(port: int) -> socket.socket:
    """A socket of loopback that nothing else listens to; errors as of `serve`."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # a port of a server that has just ended is free
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((ADDRESS, port))
        made.listen()
    except OSError as error:
        made.close()
        why = (
            "is taken, perhaps by another 'serve'" if error.errno == errno.EADDRINUSE else str(error.strerror)
        )
        raise RequestError(
            f"port {port} of {ADDRESS}: {why}; choose another: --port N, or 0 for any"
        ) from error
    return made


def make_server(home: Home) -> Server:
    """The server, not started; ``should_exit`` ends it and all that it streams."""
    # who asks for the command's help need not have them
    from flashsim_prod.production.live.app import make_app

    try:
        from uvicorn import Config, Server
    except ImportError as error:
        raise ConfigError(f"{error}; the live page needs it: pip install 'flashsim-prod[serve]'") from error
    running: list[Server] = []
    config = Config(
        make_app(home, stopping=lambda: any(one.should_exit for one in running)),
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    running.append(Server(config))
    return running[0]
