"""A headless Chromium, driven through chromedriver over plain HTTP: no more of WebDriver than the tests need."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from typing import Any, Dict, List, Optional

from ..support.processes import Process, ScratchDirectory, wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # by which WebDriver's JSON names an element


class Browser:
    def __init__(self) -> None:
        self._directory = ScratchDirectory("browser")
        path = self._directory.path
        # Everything that Chromium writes goes with the test.
        env = {**os.environ, "HOME": path, "XDG_CONFIG_HOME": path, "XDG_CACHE_HOME": path, "TMPDIR": path}
        self._driver = Process(["chromedriver", "--port=0"], os.path.join(path, "chromedriver.log"), env=env)
        self._session: Optional[str] = None
        try:
            started = wait_until("chromedriver listens", self._port)
            self._url = f"http://127.0.0.1:{started}"
            arguments = [
                "--headless",
                "--no-sandbox",  # tests may run as root
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing is fetched from elsewhere
                "--window-size=1280,1000",
                f"--user-data-dir={path}/profile",
            ]
            answer = self._ask(
                "POST",
                "/session",
                {
                    "capabilities": {
                        "alwaysMatch": {
                            "browserName": "chrome",
                            "goog:chromeOptions": {"args": arguments},
                            "goog:loggingPrefs": {"browser": "ALL"},
                        }
                    }
                },
            )
            self._session = answer["sessionId"]
        except BaseException:
            self.close()
            raise

    def _port(self) -> Optional[int]:
        assert self._driver.running(), f"chromedriver ended:\n{self._driver.output()}"
        found = re.search(r"started successfully on port (\d+)", self._driver.output())
        return int(found.group(1)) if found else None

    def _ask(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode('utf-8', 'replace')[:2000]}") from None

    def _in_session(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        return self._ask(method, f"/session/{self._session}{path}", body)

    def open(self, url: str) -> None:
        # A change of the fragment alone would not load the page anew.
        self._in_session("POST", "/url", {"url": "about:blank"})
        self._in_session("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body in the page returns."""
        return self._in_session("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def all(self, selector: str) -> List[str]:
        """The visible texts of all elements, in the order of the page."""
        texts = self.run("return [...document.querySelectorAll(arguments[0])].map((n) => n.innerText);", selector)
        assert isinstance(texts, list)
        return texts

    def text(self, selector: str) -> str:
        return "\n".join(self.all(selector))

    def type(self, selector: str, text: str) -> None:
        found = self._in_session("POST", "/element", {"using": "css selector", "value": selector})
        self._in_session("POST", f"/element/{found[ELEMENT]}/value", {"text": text})

    def click(self, selector: str) -> None:
        found = self._in_session("POST", "/element", {"using": "css selector", "value": selector})
        self._in_session("POST", f"/element/{found[ELEMENT]}/click", {})

    def wait_text(self, selector: str, text: str) -> None:
        """Until some element there says it."""
        try:
            wait_until(f"{selector} says {text!r}", lambda: text in self.text(selector))
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self.text(selector)!r}, the page {self.text('body')!r}") from None

    def complaints(self) -> List[str]:
        """Errors and violations of the page's policy, since the last call."""
        return [entry["message"] for entry in self._in_session("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def screenshot(self, path: str) -> None:
        import base64

        with open(path, "wb") as file:
            file.write(base64.b64decode(self._in_session("GET", "/screenshot")))

    def close(self) -> None:
        if self._session is not None:
            try:
                self._in_session("DELETE", "")
            except (AssertionError, OSError):
                pass  # the driver is gone, and its browser with it
        self._driver.stop(signal.SIGTERM)
        self._directory.close()
