"""A headless Chromium and its tabs, by the DevTools protocol: what a page does, says and asks for."""

import itertools
import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
)
_ANSWER_SECONDS = 60


def binary() -> str | None:
    """The Chromium of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Tab:
    """One page. Everything that it did wrong is in `faults`, every address that it asked for in `asked`."""

    socket: ClientConnection
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    received: int = 0
    """Bytes of the answers, heads included, as they came over the wire."""
    loaded: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=_ANSWER_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def open(self, url: str) -> None:
        """Go there, and wait until all of it is there."""
        before = self.loaded
        self.call("Page.navigate", url=url)
        self.until(lambda: self.loaded > before)

    def js(self, expression: str) -> Any:
        """The value of an expression on the page, awaited if it is a promise."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, test: Callable[[], Any] | str, *, within: float = 60.0) -> Any:
        """Wait until a test, or an expression on the page, is true."""
        deadline = time.monotonic() + within
        while True:
            found = self.js(test) if isinstance(test, str) else test()
            if found:
                return found
            assert time.monotonic() < deadline, (test, self.faults, self.text()[-2000:])
            self.listen(0.05)

    def listen(self, seconds: float) -> None:
        """Take note of what the page says meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._note(json.loads(self.socket.recv(timeout=left)))
            except TimeoutError:
                return

    def text(self) -> str:
        return self.js("document.body ? document.body.innerText : ''")

    def size(self, width: int, height: int = 900) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path, *, most: int = 1 << 14) -> None:
        """The whole page, or so many pixels of its height."""
        width, height = self.js("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(b64decode(shot["data"]))

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else ""
            )

    def sign_in(self, address: str, token: str) -> None:
        """As a person does."""
        self.open(f"{address}/login")
        before = self.loaded
        self.js(f"document.querySelector('#token').value = {json.dumps(token)}; document.forms[0].requestSubmit()")
        self.until(lambda: self.loaded > before)

    def elsewhere(self, address: str) -> list[str]:
        """What it asked of others."""
        own = urlsplit(address).netloc
        return [url for url in self.asked if urlsplit(url).netloc not in (own, "") and not url.startswith("data:")]

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.faults.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.faults.append(str([each.get("value") for each in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Audits.issueAdded" and "contentSecurityPolicyIssueDetails" in params["issue"]["details"]:
            self.faults.append(json.dumps(params["issue"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.asked.append(params["url"])
        elif method == "Network.loadingFinished":
            self.received += int(params["encodedDataLength"])
        elif method == "Page.loadEventFired":
            self.loaded += 1


@dataclass
class Browser:
    """The process; its tabs share one profile, so one that is signed in signs in all."""

    port: int
    tabs: ExitStack = field(default_factory=ExitStack)
    """Closes those that are open."""

    def tab(self, *, scripts: bool = True) -> Tab:
        made = httpx.put(f"http://127.0.0.1:{self.port}/json/new?about:blank", timeout=_ANSWER_SECONDS).json()
        address = made["webSocketDebuggerUrl"]
        options: Any = {"max_size": 1 << 26, "proxy": None, "compression": None, "ping_interval": None}
        self.tabs.callback(httpx.get, f"http://127.0.0.1:{self.port}/json/close/{made['id']}", timeout=_ANSWER_SECONDS)
        tab = Tab(self.tabs.enter_context(connect(address, **options)))
        for domain in ("Page", "Runtime", "Log", "Network", "Audits", "Performance"):
            tab.call(f"{domain}.enable")
        if not scripts:
            tab.call("Emulation.setScriptExecutionDisabled", value=True)
        return tab


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a new profile, gone with all of its processes at the end."""
    found = binary()
    assert found, f"none of {', '.join(NAMES)} is on PATH"
    with TemporaryDirectory(prefix="levare-chromium-", ignore_cleanup_errors=True) as profile:
        command = [found, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            browser = Browser(_port(Path(profile) / "DevToolsActivePort", process))
            with browser.tabs:
                yield browser
        finally:
            process.terminate()
            process.wait(timeout=30)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    return int(file.read_text().split("\n")[0])
