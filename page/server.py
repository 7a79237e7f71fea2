"""From a page to an address on this computer: nothing of it goes to other hosts, and nothing is kept."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Any

from common.errors import InputError
from common.text import one_line
from page.desk import Desk
from page.photos import UPLOAD_BYTES

HOST, PORT = "127.0.0.1", 7860
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
REFUSED = b"This page answers only to localhost; scripts/demo.sh --host ADDRESS opens it to others.\n"
# Without these, Gradio would ask its makers' hosts and keep what was asked.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# Browsers refuse whatever else a page asks for.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'self'"
)
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens: on this port, or on 7860 or any free one.

    Raises:
        InputError: the port is taken or not allowed, or the host is not an address of this computer.
    """
    try:
        family, _, _, _, _ = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host} is not an address of this computer ({one_line(error)}).") from None
    for number in [port] if port is not None else [PORT, 0]:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, number))
            found.listen(64)
            return found
        except OSError as error:
            found.close()
            if port is None and number and error.errno == errno.EADDRINUSE:
                continue
            reason = one_line(error.strerror or error)
            what = f"--port {port}" if error.errno in (errno.EADDRINUSE, errno.EACCES) else f"--host {host}"
            raise InputError(f"{what} cannot be used ({reason}); give another, or leave it out.") from None
    raise AssertionError("unreachable")


def address_of(listener: socket.socket) -> str:
    """Where the page is, for a browser on this computer."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_local(listener: socket.socket) -> bool:
    """True if only this computer reaches it."""
    host = str(listener.getsockname()[0])
    return host == "::1" or host.startswith("127.")


@contextmanager
def kept_nowhere() -> Iterator[None]:
    """Gradio's cache is a temporary folder, which is removed at the end, also after SIGTERM; Gradio is quiet."""
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)

    def ended(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    with tempfile.TemporaryDirectory(prefix="page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(QUIET, GRADIO_TEMP_DIR=folder)
        signal.signal(signal.SIGTERM, ended)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)
            os.environ.clear()
            os.environ.update(before)


def serve(desk: Desk, listener: socket.socket, opened: Callable[[], object] = lambda: None) -> None:
    """Show the page until Ctrl-C; ``opened`` is called when it can be reached.

    Raises:
        ModuleNotFoundError: Gradio is not installed.
    """
    with kept_nowhere():
        import uvicorn

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                opened()

        config = uvicorn.Config(
            application(desk, names_of(listener)),
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
            lifespan="on",
        )
        if desk.neighbours is not None:
            desk.neighbours.begin()
        try:
            Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # how it is ended
            pass


def names_of(listener: socket.socket) -> frozenset[str]:
    """The hosts that requests may name: those of this computer if only it reaches the page, else none, for any.

    Otherwise a page elsewhere could have its own name resolve to this computer, and read what the browser gets here.
    """
    if not is_local(listener):
        return frozenset()
    return LOCAL | {host_of(address_of(listener).split("//")[1])}


def application(desk: Desk, names: Set[str] = frozenset()) -> Callable[..., Any]:
    """The page as an ASGI application that answers to these hosts, without any to all."""
    import gradio
    from fastapi import FastAPI

    from page import blocks

    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app = gradio.mount_gradio_app(
        outer,
        blocks.blocks(desk),
        path="/",
        footer_links=[],
        show_error=False,
        max_file_size=UPLOAD_BYTES,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=blocks.theme(),
        css=blocks.style(),
        js=blocks.script(),
    )
    return with_headers(app, names)


def host_of(text: str) -> str:
    """The host of "host:port", in lower case; an IPv6 address stays in its brackets."""
    return re.sub(r":[0-9]*$", "", text).lower()


def is_refused(scope: Any, names: Set[str]) -> bool:
    """True for a request that names another host, or that a page of another host makes."""
    if not names or scope["type"] == "lifespan":
        return False
    given = [(key.lower(), value.decode("latin-1")) for key, value in scope["headers"]]
    hosts = [host_of(value) for key, value in given if key == b"host"]
    origins = [host_of(value.partition("//")[2]) for key, value in given if key == b"origin"]
    return not hosts or not names >= {*hosts, *origins}


def with_headers(app: Callable[..., Any], names: Set[str] = frozenset()) -> Callable[..., Any]:
    """An ASGI application whose answers have HEADERS too, and that answers to these hosts, without any to all."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        if is_refused(scope, names):
            if scope["type"] == "http":
                await sent({"type": "http.response.start", "status": 403, "headers": [PLAIN]})
                await sent({"type": "http.response.body", "body": REFUSED})
            else:
                await send({"type": "websocket.close"})
            return
        await app(scope, receive, sent)

    return answered
