"""The address of the page, and what is left of it: nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from page import server


def test_a_free_port_if_none_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(server, "PORT", taken.getsockname()[1])
        with server.listening("127.0.0.1", None) as found:
            host, port = found.getsockname()
            assert host == "127.0.0.1" and port not in (0, server.PORT)
            assert server.address_of(found) == f"http://127.0.0.1:{port}" and server.is_local(found)
        with pytest.raises(InputError, match=f"--port {server.PORT} cannot be used"):
            server.listening("127.0.0.1", server.PORT)


def test_the_usual_port_if_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        free = before.getsockname()[1]
    monkeypatch.setattr(server, "PORT", free)
    with server.listening("localhost", None) as found:
        assert found.getsockname()[1] == free


def test_all_addresses_of_the_computer() -> None:
    with server.listening("0.0.0.0", None) as found:
        assert not server.is_local(found) and server.address_of(found).startswith("http://127.0.0.1:")


def status_of(names: frozenset[str], *headers: tuple[bytes, bytes], kind: str = "http") -> object:
    """The status with which a request is answered, or the type of the only answer."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": f"{kind}.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(server.with_headers(app, names)({"type": kind, "headers": headers}, None, send))
    return sent[0].get("status", sent[0]["type"])


def test_hosts_that_requests_may_name() -> None:
    with server.listening("127.0.0.5", None) as found:
        names = server.names_of(found)
    assert names == {"localhost", "127.0.0.1", "[::1]", "127.0.0.5"}
    assert status_of(names, (b"host", b"127.0.0.5:7860")) == status_of(names, (b"Host", b"[::1]")) == 200
    assert status_of(names) == status_of(names, (b"host", b"localhost"), (b"host", b"evil.example")) == 403
    assert status_of(names, (b"host", b"evil.example"), kind="websocket") == "websocket.close"
    with server.listening("0.0.0.0", None) as found:
        names = server.names_of(found)
    assert not names and status_of(names, (b"host", b"garden.example")) == status_of(names) == 200


@pytest.mark.parametrize("host", ["not a host", "256.1.1.1", "192.0.2.1", "\udcff"])
def test_other_hosts(host: str) -> None:
    with pytest.raises(InputError, match="--host"):
        server.listening(host, None)


def test_nothing_is_kept_and_gradio_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "mine")
    handler = signal.getsignal(signal.SIGTERM)
    with server.kept_nowhere():
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        (folder / "upload").mkdir()
        (folder / "upload" / "a.png").write_text("x")
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not folder.exists() and os.environ["GRADIO_TEMP_DIR"] == "mine"
    assert "GRADIO_ANALYTICS_ENABLED" not in os.environ
    with pytest.raises(SystemExit), server.kept_nowhere():
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert not folder.exists() and signal.getsignal(signal.SIGTERM) is handler
