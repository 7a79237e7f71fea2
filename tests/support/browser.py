"""Headless Chromium, controlled through pipes with its DevTools protocol; needs no driver and no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str | None:
    """The path of Chromium or Chrome, or None if neither is on PATH."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab. ``events`` are (method, parameters) of events such as requests and console messages."""

    def __init__(self, program: str, timeout: float = 60):
        self.timeout, self.number, self.rest = timeout, 0, b""
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.session: str | None = None
        self.profile = tempfile.mkdtemp(prefix="page_in_browser")
        (browser_in, self.write), (self.read, browser_out) = os.pipe(), os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
            f"--user-data-dir={self.profile}", "about:blank",
        ]  # fmt: skip
        # Chromium reads from descriptor 3 and writes to 4, whatever numbers the pipes have here.
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{browser_in} 4>&{browser_out}', program, *flags]
        self.process = subprocess.Popen(
            command, pass_fds=(browser_in, browser_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(browser_in)
        os.close(browser_out)
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + self.timeout
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(deadline - time.monotonic(), 0))
            part = os.read(self.read, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError("Chromium does not answer.")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        answer = json.loads(message)
        if "method" in answer:
            self.events.append((answer["method"], answer["params"]))
        return answer

    def open(self, path: Path, width: int, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of the given size in pixels, and wait until it is loaded."""
        self.visit(path.as_uri(), width, height, dark)

    def visit(self, url: str, width: int, height: int = 900, dark: bool = False) -> None:
        """The same for an address."""
        phone = width < 500
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._next()

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", "error"))
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> None:
        """Wait until a JavaScript expression is true, or an element. RuntimeError if it stays false."""
        deadline = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Not true after {seconds:g} s: {script}")
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input element, as a visitor does in a dialogue."""
        found = self.ask("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.ask("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])

    def drop_file(self, selector: str, path: Path, kind: str = "image/png", event: str = "drop") -> None:
        """Drop a file onto an element, or paste it there (``event`` "paste")."""
        content = base64.b64encode(path.read_bytes()).decode()
        carried = {"drop": "DragEvent", "paste": "ClipboardEvent"}[event]
        holder = {"drop": "dataTransfer", "paste": "clipboardData"}[event]
        self.run(
            f"(() => {{ const bytes = Uint8Array.from(atob({json.dumps(content)}), c => c.charCodeAt(0));"
            f"const carried = new DataTransfer();"
            f"carried.items.add(new File([bytes], {json.dumps(path.name)}, {{type: {json.dumps(kind)}}}));"
            f"document.querySelector({json.dumps(selector)}).dispatchEvent(new {carried}({json.dumps(event)},"
            f"{{bubbles: true, cancelable: true, {holder}: carried}})); }})()"
        )

    def write_text(self, selector: str, text: str) -> None:
        """Type text into an element, in the place of what is there."""
        self.run(f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))")
        self.ask("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press Tab or Enter."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        event: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, selector: str) -> None:
        """Click the middle of the first element that matches a selector."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{place}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Save the whole page, or the visible part, as a PNG."""
        data = self.ask("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))["data"]
        path.write_bytes(base64.b64decode(data))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    @property
    def complaints(self) -> list[str]:
        """Console errors and warnings, exceptions and log entries since the page was opened."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        found = [json.dumps(event) for method, event in self.events if method in kinds]
        return found + [
            json.dumps(event)
            for method, event in self.events
            if method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert")
        ]

    @property
    def requests(self) -> list[str]:
        """Requested addresses, except those of data embedded in the page."""
        sent = [event["request"]["url"] for method, event in self.events if method == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        """End the browser and delete its profile."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write)
        os.close(self.read)
        shutil.rmtree(self.profile, ignore_errors=True)
