"""Miniature sources and collections, and a server on this machine that offers their files."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import one_pool
from datasets.source import Facts, Part, Source, SourceCollection
from launcher.data import fetch
from launcher.main import main
from tests.support.images import write_images


def call(command: str, *words: object) -> int:
    """The exit status of a command."""
    return main([command, *map(str, words)])


class Server:
    """Files by address. A request for one of those in ``broken`` gets half of the content, then the connection ends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.requests: list[tuple[str, str | None]] = []  # (path, Range)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, part = request.path.lstrip("/"), request.headers.get("Range")
        self.requests.append((path, part))
        if path not in self.files:
            request.send_error(404)
            return
        content = self.files[path]
        first = int(part.removeprefix("bytes=").rstrip("-")) if part else 0
        request.send_response(206 if part else 200)
        if part:
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        rest = content[first:]
        request.wfile.write(rest[: len(rest) // 2] if path in self.broken else rest)

    def offer(self, path: str, content: bytes) -> str:
        """Offer a file; returns its md5."""
        self.files[path] = content
        return hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, which is asked directly and once."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(fetch.GDOWN_OPTIONS, "retries", 0)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def packed(folder: Path, kind: str = "zip", top: str = "") -> bytes:
    """The folder's files as an archive, with paths below ``top``."""
    out = io.BytesIO()
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for file in files:
                archive.write(file, f"{top}{file.relative_to(folder)}")
    elif kind == "tar.gz":
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for file in files:
                tar.add(file, f"{top}{file.relative_to(folder)}")
    else:
        with tarfile.open(fileobj=out, mode="w") as tar:
            for file in files:
                tar.add(file, f"{top}{file.relative_to(folder)}")
    return out.getvalue()


class Making:
    """Makes miniature sources and collections, and configs that name them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.made: list[str] = []

    def source(
        self,
        name: str,
        classes: int = 2,
        images: int = 20,
        split: tuple[int, int, int] | None = None,
        *,
        size: str = "1 MB",
        steps: tuple[str, ...] = (),
        downloads: tuple[Any, ...] = (),
        **attributes: Any,
    ) -> type[Source]:
        """A source of class folders in ``<name>/images``, which expects these figures."""
        facts = Facts(classes, images, split, "CC0", size, "https://example.org", steps=steps, downloads=downloads)
        defaults = {
            "__module__": f"miniature.{name}",
            "facts": facts,
            "task_name": f"{name} task",
            "folders": (name, f"{name}-original"),
            "images": "images",
            "read": classmethod(lambda cls, folder: one_pool(folder / cls.images)),
        }
        kind: type[Source] = type(f"Mini{name.capitalize()}", (Source,), defaults | attributes)
        self.register(kind, name)
        return kind

    def collection(self, name: str, *sources: type[Source]) -> None:
        parts = tuple(map(Part, sources))
        self.register(type(f"Mini{name.capitalize()}", (SourceCollection,), {"parts": parts}), name)

    def register(self, kind: type, name: str) -> None:
        DATASET_REGISTRY.register(kind, force=True)
        self.made.append(kind.__name__)
        self.config(name).write_text(f"# A miniature.\nDATASET:\n  NAME: {kind.__name__}\n")

    def config(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"


@pytest.fixture
def making(tmp_path: Path) -> Iterator[Making]:
    (tmp_path / "configs").mkdir()
    making = Making(tmp_path / "configs")
    yield making
    for name in making.made:
        DATASET_REGISTRY._obj_map.pop(name, None)


def class_folders(folder: Path, names: Sequence[str] = ("rose", "tulip"), each: int = 10) -> Path:
    """Write a folder of images for each class."""
    for number, name in enumerate(names):
        write_images(folder / name, each, seed=number)
    return folder


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def declaration(folder: Path) -> Path:
    """The file of a collection of two tasks, "kind" and "colour"."""
    path = folder / "mine.yaml"
    path.write_text("folder: mine\ntasks:\n  - name: kind\n  - name: colour\n    folder: colours\n")
    return path
