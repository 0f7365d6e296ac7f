"""A headless Chromium, spoken to over a pipe: what a page does in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe",
)  # fmt: skip

#: Puts the ends of two pipes where Chromium looks for them, and becomes it.
START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: Text that is shown: its size (px), and the contrast (WCAG 2) with what lies behind it.
TEXTS = """(() => {
  const rgba = (text) => { const found = text.match(/[0-9.]+/g).map(Number);
    return found.length < 4 ? [...found, 1] : found; };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => { for (let one = node; one; one = one.parentElement) {
    const found = rgba(getComputedStyle(one).backgroundColor); if (found[3] > 0) { return found; } }
    return [255, 255, 255, 1]; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), made = [];
  while (walker.nextNode()) {
    const text = walker.currentNode, node = text.parentElement, range = document.createRange();
    range.selectNodeContents(text);
    if (!text.data.trim() || !node.checkVisibility({contentVisibilityAuto: true})
        || !range.getClientRects().length) { continue; }
    const style = getComputedStyle(node);
    const ink = node instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(rgba(ink)), light(behind(node))];
    made.push([text.data.trim().slice(0, 40), parseFloat(style.fontSize),
      (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return made; })()"""


def binary() -> str | None:
    """Return the path of a Chromium, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page. `faults` are errors of its console; `requests` what it asked for besides itself."""

    def __init__(self, path: str, folder: Path) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(read), str(write), path, *FLAGS,
             f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(read, write), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read)
        os.close(write)
        self._count, self._rest, self._session, self._loaded = 0, b"", "", False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def open(self, page: Path, *, width: int, dark: bool = False, media: str = "screen",
             scripts: bool = True, anchor: str = "") -> None:  # fmt: skip
        """Open a file anew."""
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=scheme)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        for url in ("about:blank", page.resolve().as_uri() + anchor):
            self._loaded = False
            self.call("Page.navigate", url=url)
            while not self._loaded:
                self._take()

    def value(self, expression: str) -> Any:
        """Return what an expression gives on the page."""
        made = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in made, made
        return made["result"].get("value")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": params}
        asked |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        while (answer := self._take()).get("id") != self._count:
            pass
        assert "error" not in answer, (method, answer["error"])
        return dict(answer["result"])

    def _take(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has gone"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        told: dict[str, Any] = json.loads(line)
        params = told.get("params", {})
        match told.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.faults.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.faults.append(str(params["args"]))
            case "Log.entryAdded":
                self.faults.append(str(params["entry"]))
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if params["type"] != "Document" and not url.startswith("data:"):
                    self.requests.append(url)
        return told
