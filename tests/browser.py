#!/usr/bin/env python3
"""Debian's chromium without a window, driven over two pipes: for tests of pages.

    browser.py PAGE.html OUT.png [WIDTH [HEIGHT]] [dark] [print]    a picture of the whole page, to look at
"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def find():
    """The browser's path, or None."""
    return shutil.which("chromium")


class Browser:
    """with Browser() as b: b.open(path); b.evaluate("document.title")"""

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory(prefix="morbench-chromium-", ignore_cleanup_errors=True)
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()
        # the browser reads commands from descriptor 3 and answers on 4
        def place():
            a, b = os.dup(to_read), os.dup(back_write)
            a, b = os.fdopen(a, "rb", closefd=False), os.fdopen(b, "wb", closefd=False)
            high_a, high_b = (__import__("fcntl").fcntl(f, __import__("fcntl").F_DUPFD, 20) for f in (a, b))
            os.dup2(high_a, 3)
            os.dup2(high_b, 4)
        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--force-color-profile=srgb", f"--user-data-dir={self.home.name}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self.home.name})
        os.close(to_read)
        os.close(back_write)
        self.buffer, self.n, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        os.close(self.to)
        os.close(self.back)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.home.cleanup()

    def read(self):
        while b"\0" not in self.buffer:
            more = os.read(self.back, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.n += 1
        message = {"id": self.n, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            answer = self.read()
            if answer.get("id") == self.n:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def media(self, scheme="light", media=""):
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path):
        self.events = []
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.read())

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def complaints(self):
        """What the console said since open, scripts that failed, and everything asked of a network."""
        self.evaluate("0")
        said = []
        for e in self.events:
            method, p = e.get("method"), e.get("params", {})
            if method == "Runtime.consoleAPICalled" or method == "Runtime.exceptionThrown":
                said.append(json.dumps(p)[:300])
            if method == "Log.entryAdded":
                said.append(p["entry"]["text"])
            if method == "Network.requestWillBeSent" and not p["request"]["url"].startswith(("file:", "data:")):
                said.append("asked for " + p["request"]["url"])
        return said

    def picture(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def pdf(self, path):
        data = self.call("Page.printToPDF", preferCSSPageSize=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


if __name__ == "__main__":
    sizes = [int(a) for a in sys.argv[3:] if a.isdigit()]
    with Browser() as browser:
        width = sizes[0] if sizes else 1280
        browser.size(width, sizes[1] if len(sizes) > 1 else 900)
        browser.media("dark" if "dark" in sys.argv else "light", "print" if "print" in sys.argv else "")
        browser.open(sys.argv[1])
        if len(sizes) < 2:
            browser.size(width, browser.evaluate("document.documentElement.scrollHeight"))
        browser.picture(sys.argv[2], whole=len(sizes) < 2)
        print(browser.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight, innerWidth]"), browser.complaints())
        if "pdf" in sys.argv:
            browser.pdf(sys.argv[2] + ".pdf")
