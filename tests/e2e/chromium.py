# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Chromium without a window, told what to do by the DevTools protocol over two pipes.

    with Chromium(directory) as browser:
        tab = browser.open(url, width=390, dark=True)
        tab.evaluate("document.title")

It resolves no name and so reaches nothing but addresses of loopback; what it tried is in tab.requests.
"""
import base64
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from process import Failed, wait_until

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
         "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         "--disable-default-apps", "--metrics-recording-only", "--remote-debugging-pipe",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


class Chromium:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory) / f"chromium-{time.monotonic_ns()}"
        self.process = None
        self._number = 0
        self._rest = b""
        self._tabs = {}

    def __enter__(self):
        self.directory.mkdir()
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out

        def in_child():
            # What may lie at 3 and 4 is moved out of the way first.
            first, second = os.dup(theirs_in), os.dup(theirs_out)
            high = [os.dup(descriptor) if descriptor in (3, 4) else descriptor for descriptor in (first, second)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [CHROMIUM, *FLAGS, f"--user-data-dir={self.directory}/profile", "about:blank"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, close_fds=False, preexec_fn=in_child, start_new_session=True,
                env={**os.environ, "HOME": str(self.directory), "XDG_RUNTIME_DIR": str(self.directory)})
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(self, *exc):
        # Its processes are a session of their own.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method, session=None, timeout_s=30.0, **parameters):
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout_s
        while True:
            answer = self._read(end - time.monotonic())
            if answer is None:
                raise Failed(f"Chromium: no answer to {method} within {timeout_s:g} s")
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failed(f"Chromium: {method}: {answer['error']}")
                return answer["result"]

    def listen(self, seconds):
        """Take in what happens for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read(end - time.monotonic())

    def _read(self, timeout_s):
        """The next message, or None; an event also goes to its tab."""
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, timeout_s))[0]:
                return None
            data = os.read(self._in, 1 << 16)
            if not data:
                raise Failed(f"Chromium ended: {(self.directory / 'log').read_text(errors='replace')[-400:]}")
            self._rest += data
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        tab = self._tabs.get(message.get("sessionId"))
        if tab and "method" in message:
            tab.take(message["method"], message["params"])
        return message

    def open(self, url, width=1280, height=900, dark=False, mobile=False, density=1):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.look(width, height, dark, mobile, density)
        tab.call("Page.navigate", url=url)
        tab.wait("the page to load", "document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab


class Tab:
    """One page: self.errors are its complaints, self.requests what it asked for."""

    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.errors, self.requests = [], []

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def take(self, method, event):
        if method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning", "assert"):
            self.errors.append(str([argument.get("value", argument.get("description")) for argument in event["args"]]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
            self.errors.append(event["entry"]["text"] + " " + event["entry"].get("url", ""))
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])

    def look(self, width, height, dark, mobile=False, density=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=density, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failed(f"{expression}: {result['exceptionDetails']['exception']['description']}")
        return result["result"].get("value")

    def wait(self, what, expression, timeout_s=20.0):
        return wait_until(what, lambda: self.evaluate(expression), timeout_s, every_s=0.2)

    def key(self, key, code=None, text=None):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      **({"text": text} if text and kind == "keyDown" else {}),
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0))

    def screenshot(self, path, whole=False):
        extra = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            extra = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1},
                     "captureBeyondViewport": True}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", **extra)["data"])
        pathlib.Path(path).write_bytes(data)
        return data

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
