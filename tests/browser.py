"""Chromium without a window, driven by its own DevTools protocol over a pipe: tests open a page with it as a reader does."""

import base64
import json
import os
import shutil
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or os.name != "posix", reason="no chromium on PATH (Debian: apt-get install chromium)"
)


READY = "document.documentElement?.dataset.ready === 'true'"


class Browser:
    """Chromium over its DevTools pipe: JSON messages that end in a zero byte, written to its descriptor 3, read from 4."""

    def __init__(self, home):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
            f"--user-data-dir={home}",
            "about:blank",
        ]
        # The shell puts the two ends where the browser looks for them; preexec_fn is not safe beside threads.
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}', CHROMIUM, *flags],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        os.set_blocking(self._read, False)
        self._number, self._rest, self.events = 0, b"", []
        target = next(t for t in self._send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = None
        self._session = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    _session = None

    def _messages(self, limit):
        """The next messages; an empty list when none came before ``limit`` (monotonic time)."""
        while b"\0" not in self._rest:
            try:
                piece = os.read(self._read, 1 << 20)
                if not piece:
                    raise RuntimeError("the browser has gone")
                self._rest += piece
            except BlockingIOError:
                if time.monotonic() > limit:
                    return []
                time.sleep(0.005)
        *whole, self._rest = self._rest.split(b"\0")
        return [json.loads(message) for message in whole]

    def _send(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        limit, answer = time.monotonic() + 120, None
        while answer is None:
            arrived = self._messages(limit)
            if not arrived:
                raise TimeoutError(f"the browser did not answer {method}")
            for item in arrived:
                if item.get("id") == self._number:
                    answer = item
                else:
                    self.events.append(item)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, script):
        """The value of a JavaScript expression (a promise is awaited)."""
        result = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:2000])
        return result["result"].get("value")

    def open(self, path, *, width=1200, height=900, mobile=False, dark=False, fragment="", ready=READY):
        """Load a page and wait until ``ready``, an expression of JavaScript, is true: by default the page says so itself."""
        self.events.clear()
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.dark(dark)
        self.evaluate("document.documentElement.dataset.ready = 'left'")  # not to be taken for the new page
        self._send("Page.navigate", url=path.as_uri() + fragment)
        limit = time.monotonic() + 120
        while self.evaluate(f"document.documentElement?.dataset.ready !== 'left' && !!({ready})") is not True:
            if self.evaluate("document.getElementById('failure')?.hidden === false") or time.monotonic() > limit:
                raise AssertionError(f"the page is not ready: {self.evaluate('document.body?.innerText')}")
            time.sleep(0.02)
        self.settle()

    def settle(self):
        """Two animation frames: what was asked for is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def dark(self, wanted):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def choose(self, name, value):
        """Choose an option of a select as a user does."""
        self.evaluate(
            f"{{const s = document.getElementById({json.dumps(name)}); s.value = {json.dumps(value)};"
            "s.dispatchEvent(new Event('change', {bubbles: true}))}"
        )
        assert self.evaluate(f"document.getElementById({json.dumps(name)}).value") == value
        self.settle()

    def click(self, selector):
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle()

    def press(self, key, text=None):
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        more = {"text": text} if text else {}
        self._send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **more)
        self._send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)
        self.settle()

    def hover(self, x, y):
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def table(self, name):
        """Header and rows of a table: (list of labels, list of rows of cell values as written in the page)."""
        return self.evaluate(f"""(() => {{
            const t = document.getElementById({json.dumps(name)});
            return [[...t.tHead.rows[0].cells].map(c => c.innerText.trim()), [...t.tBodies].flatMap(b => [...b.rows]).map(
                r => [...r.cells].map(c => c.querySelector('data') ? c.querySelector('data').value : c.innerText))];
        }})()""")

    def complaints(self):
        """What the console, the page and the network had to say since `open`."""
        self._send("Runtime.evaluate", expression="0")  # an answer after all events so far
        found = []
        for event in self.events:
            name, what = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(("exception", what["exceptionDetails"]))
            elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(("console", what["args"]))
            elif name == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(("log", what["entry"]))
            elif name == "Network.requestWillBeSent":
                address = what["request"]["url"]
                if not address.startswith(("data:", "blob:")) and what.get("type") != "Document":
                    found.append(("request", address))
        return found

    def requests(self):
        return [
            event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"
        ]

    def screenshot(self, path, whole=False):
        data = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        try:
            self._session = None
            self._send("Browser.close")
            self.process.wait(20)
        except (RuntimeError, OSError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        finally:
            os.close(self._read)
            os.close(self._write)
