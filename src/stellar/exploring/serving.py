"""The server of the page: for browsers of this machine alone, until it is told to stop."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import ModuleType

from stellar.errors import MissingPackage, UserError
from stellar.exploring.finder import Finder

HERE = "127.0.0.1"
USUAL_PORT = 8420
GRACE = 1
"""Seconds that answers which are under way get when the server is told to stop."""


class Server:
    """Listens once it is made; `serve` or `answering` answers. `address`, with its token, is for
    the browser.

    `port` None is the usual one, or where that is taken any free one; 0 is any free one. Raises
    UserError for a port that cannot be had, and MissingPackage without Starlette and uvicorn.
    """

    def __init__(self, finder: Finder, port: int | None = None) -> None:
        uvicorn, app, guard = packages()
        self._socket = _listening(port)
        number = self._socket.getsockname()[1]
        hosts = f"{HERE}:{number}", f"localhost:{number}"
        guarded = guard.Guard(app.make_app(finder), hosts)
        self.address = f"http://{hosts[0]}/?token={guarded.token}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                guarded, log_level="warning", access_log=False, server_header=False,
                lifespan="off", ws="none", timeout_graceful_shutdown=GRACE,
            )
        )  # fmt: skip

    def serve(self) -> None:
        """Answers until Ctrl-C."""
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass
        finally:
            self._socket.close()

    @contextmanager
    def answering(self) -> Iterator[str]:
        """Answers from a thread of its own meanwhile; gives the address."""
        thread = Thread(target=self.serve)
        thread.start()
        try:
            yield self.address
        finally:
            self._server.should_exit = True
            thread.join()


@contextmanager
def private_page(address: str) -> Iterator[str]:
    """The address of a file that leads to another address, and that nobody else may read: what a
    browser is started with, every user of the machine can see.
    """
    with TemporaryDirectory(prefix="stellar-explore-") as folder:
        file = Path(folder) / "open.html"
        file.touch(mode=0o600)
        file.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">'
            f'<a href="{address}">stellar explore</a>',
            encoding="utf-8",
        )
        yield file.as_uri()


def packages() -> tuple[ModuleType, ModuleType, ModuleType]:
    """uvicorn, and what of ours needs Starlette: the app and its guard. Raises MissingPackage."""
    try:
        return (
            import_module("uvicorn"),
            import_module("stellar.exploring.app"),
            import_module("stellar.exploring.guard"),
        )
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("uvicorn", "starlette", "anyio"):
            raise
        raise MissingPackage(
            "the page needs Starlette and uvicorn: pip install 'stellar-vision[explore]'"
        ) from error


def _listening(port: int | None) -> socket.socket:
    """Raises UserError."""
    if port is not None and not 0 <= port <= 65535:
        raise UserError(f"a port is from 0 (any free one) to 65535, got {port}")
    try:
        return socket.create_server((HERE, USUAL_PORT if port is None else port))
    except OSError as error:
        if port is None:
            return socket.create_server((HERE, 0))
        raise UserError(
            f"port {port} cannot be had ({os.strerror(error.errno or 0)}); choose another --port, "
            "or leave it out"
        ) from error
