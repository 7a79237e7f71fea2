"""Requests that the page's own script would not send: paths on this computer, other hosts."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from classifier import Classifier
from page import server
from page.desk import Desk
from tests.support.eyes import Watcher

pytest.importorskip("gradio", reason="Gradio is not installed (requirements-page.txt)")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=X"}


class Client:
    """Sends requests to the page."""

    def __init__(self, port: int) -> None:
        self.port = port
        functions = json.loads(self.ask("GET", "/config")[1])["dependencies"]
        (self.upload_function,) = (one["id"] for one in functions if [one["targets"][0][1]] == ["input"])
        self.sessions = 0

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """-> status, content."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Host": f"127.0.0.1:{self.port}", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def upload(self, path: Path, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        head = (
            f'Content-Disposition: form-data; name="files"; filename="{path.name}"\r\nContent-Type: image/tiff\r\n\r\n'
        )
        body = b"--X\r\n" + head.encode() + path.read_bytes() + b"\r\n--X--\r\n"
        return self.ask("POST", "/gradio_api/upload", body, {**FORM, **(headers or {})})

    def classify(self, path: str) -> dict[str, Any]:
        """The event with which the page ends the work on a photograph that lies at ``path``, as a request says."""
        self.sessions += 1
        session = f"session{self.sessions}"
        file = {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}
        body = {"fn_index": self.upload_function, "data": [file, None], "session_hash": session}
        status, _ = self.ask("POST", "/gradio_api/queue/join", json.dumps(body).encode(), JSON)
        assert status == 200
        _, events = self.ask("GET", f"/gradio_api/queue/data?session_hash={session}")
        found = [json.loads(line.removeprefix(b"data: ")) for line in events.splitlines() if line.startswith(b"data: ")]
        (done,) = (one for one in found if one["msg"] == "process_completed")
        return cast(dict[str, Any], done)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """The page is served in this process; its cache is a temporary folder."""
    import uvicorn

    listener = server.listening("127.0.0.1", 0)
    with server.kept_nowhere(), listener:
        app = server.application(Desk(cast(Classifier, Watcher()), "an eye"), server.names_of(listener))
        running = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(listener.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join(30)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """In a format that the page gives back as a preview."""
    Image.new("RGB", (8, 6), (10, 250, 10)).save(tmp_path / "leaf.tif")
    return tmp_path / "leaf.tif"


def through_the_cache(path: Path) -> str:
    """The path, beginning in the page's cache."""
    cache = os.environ["GRADIO_TEMP_DIR"]
    return f"{cache}/{os.path.relpath(path, cache)}"


def cached() -> set[str]:
    """The names of the files in the page's cache."""
    return {path.name for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()}


def test_an_upload_is_classified(client: Client, photo: Path) -> None:
    status, paths = client.upload(photo)
    assert status == 200
    done = client.classify(*json.loads(paths))
    assert done["success"] and "green" in json.dumps(done["output"])


@pytest.mark.parametrize("written", [str, through_the_cache])
def test_a_path_that_was_not_uploaded_is_refused(client: Client, photo: Path, written: Any) -> None:
    secret = photo.rename(photo.with_name("secret.tif"))
    done = client.classify(written(secret))
    assert not done["success"] and "data" not in done["output"]
    assert "secret.tif" not in cached()
    assert client.ask("GET", f"/gradio_api/file={secret}")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "localhost.evil.example", "", "192.0.2.1:80"])
def test_another_host_is_refused(client: Client, photo: Path, host: str) -> None:
    """As when a page elsewhere has its name resolve to this computer."""
    headers = {"Host": host.format(port=client.port)}
    for path in ("/", "/config"):
        status, text = client.ask("GET", path, headers=headers)
        assert (status, text) == (403, server.REFUSED)
    assert client.upload(photo, headers)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "127.0.0.1:8000"])
def test_this_computer_is_answered(client: Client, photo: Path, host: str) -> None:
    """Ports may differ, as through a tunnel."""
    headers = {"Host": host.format(port=client.port), "Origin": f"http://{host.format(port=client.port)}"}
    assert client.ask("GET", "/config", headers=headers)[0] == 200
    assert client.upload(photo, headers)[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "https://evil.example:{port}", "null", "http://"])
def test_a_page_elsewhere_sends_nothing(client: Client, photo: Path, origin: str) -> None:
    assert client.upload(photo, {"Origin": origin.format(port=client.port)})[0] == 403
