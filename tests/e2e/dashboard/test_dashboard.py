"""The dashboard shows what happens, as it happens, and nothing that somebody put into a name is more than text."""

import hashlib
import os
import signal
import tempfile
import unittest
import urllib.request
from typing import Any, Dict, List, Optional

from ..support.daemon import Daemon, post_json
from ..support.processes import wait_until
from .browser import Browser

HOSTILE = "<img src=x onerror=\"window.pwned='%s'\">"


def step(name: str) -> Dict[str, Any]:
    return {"id": name, "stage": "STAGE_PRE_DEPLOY", "atomic": True, "content": hashlib.sha256(name.encode()).hexdigest()}


class Api:
    def __init__(self, url: str, token: Optional[str] = None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def post(self, path: str, body: Dict[str, Any]) -> Any:
        return post_json(self._url + path, body, self._headers)

    def join(self, target: str, party: str, steps: List[str], quorum: Dict[str, Any], **more: Any) -> Any:
        return self.post(
            f"/v1/targets/{urllib.request.quote(target, safe='')}/join",
            {
                "request": {"incarnation": f"i-{party}", "sequence": "1"},
                "party": party,
                "quorum": quorum,
                "plan": {"stage": "STAGE_PRE_DEPLOY", "steps": [step(s) for s in steps]},
                "lease": "200s",
                **more,
            },
        )

    def apply(self, target: str, joined: Any) -> "Run":
        return Run(self, target, joined)


class Run:
    """The elected applier's side of a round."""

    def __init__(self, api: Api, target: str, joined: Any) -> None:
        current = joined["target"]["rounds"][0]
        self._api, self._base = api, f"/v1/targets/{target}"
        self.party = current["applier"]["party"]
        self._incarnation = current["applier"]["incarnation"]
        self._common = {"roundId": joined["roundId"], "token": current["applier"]["token"]}
        self._sequence = 1

    def _request(self) -> Dict[str, Any]:
        self._sequence += 1
        return {"incarnation": self._incarnation, "sequence": str(self._sequence)}

    def confirm(self) -> None:
        body = {"request": self._request(), **self._common, "claim": "CLAIM_COMPLETE", "fenced": True, "finding": {"kind": "KIND_WHOLE"}}
        assert self._api.post(f"{self._base}/confirm", body)["verdict"] == "VERDICT_PROCEED"

    def progress(self, index: int, count: int, name: str, note: str) -> None:
        progress = {"stepIndex": index, "stepCount": count, "stepId": name, "note": note}
        self._api.post(f"{self._base}/progress", {**self._common, "incarnation": self._incarnation, "progress": progress})

    def report(self, result: str, **more: Any) -> None:
        self._api.post(f"{self._base}/report", {"request": self._request(), **self._common, "result": result, **more})


class Dashboard(unittest.TestCase):
    browser: Browser
    daemon: Daemon
    api: Api

    @classmethod
    def setUpClass(cls) -> None:
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.api = Api(cls.daemon.url)

    def tearDown(self) -> None:
        folder = os.environ.get("SYZYGY_SCREENSHOTS")
        if folder:
            self.browser.screenshot(os.path.join(folder, f"{self._testMethodName}.png"))

    def show(self, target: str) -> None:
        self.browser.complaints()
        self.browser.open(f"{self.daemon.url}/#/t/{urllib.request.quote(target, safe='')}")
        self.browser.wait_text("#connection", "Live")
        self.browser.run("window.loaded_once = true;")

    def still_the_same_page(self) -> None:
        self.assertIs(self.browser.run("return window.loaded_once === true;"), True, "the page was loaded anew")

    def test_a_round_from_the_first_join_to_its_outcome_without_a_reload(self) -> None:
        show = self.browser
        self.show("orders")
        show.wait_text("#detail", "Nothing is known of this target yet.")
        steps = ["0001_one", "0002_two", "0003_three"]
        roster = {"roster": ["ap-south", "eu-west", "us-east"]}
        self.api.post("/v1/targets/orders/join", {"request": {"incarnation": "v", "sequence": "1"}, "party": "ap-south", "host": "old-image",
                                                  "release": "2024.1", "snapshot": {"lastStep": "0000_old"}})
        self.api.join("orders", "eu-west", steps, roster, host="runner-1")
        show.wait_text('[data-party="eu-west"]', "present")
        show.wait_text("#detail h2", "1 OF 3")
        show.wait_text('[data-party="us-east"]', "missing")
        show.wait_text('[data-party="ap-south"]', "nothing pending (last step 0000_old)")
        show.wait_text('[data-visit="ap-south"]', "old-image")
        show.wait_text('#targets a[aria-current="page"]', "orders")
        show.wait_text('#targets a[aria-current="page"]', "Gathering")
        self.api.join("orders", "us-east", steps, roster)
        show.wait_text("#detail h2", "2 OF 3")
        run = self.api.apply("orders", self.api.join("orders", "ap-south", steps, roster))
        show.wait_text(f'[data-party="{run.party}"]', "applier, token 1")
        show.wait_text('.path [aria-current="step"]', "Elected")
        run.confirm()
        show.wait_text('.path [aria-current="step"]', "Applying")
        run.progress(1, 3, "0002_two", "waiting for a lock, attempt 2")
        show.wait_text('[data-step="0002_two"][data-look="running"]', "waiting for a lock, attempt 2")
        show.wait_text('[data-step="0001_one"][data-look="done"]', "0001_one")
        show.wait_text('[data-step="0003_three"][data-look="pending"]', "0003_three")
        run.report("RESULT_SUCCEEDED", stepsDone=3, inTarget=True)
        show.wait_text('[data-outcome="SUCCEEDED"]', f"applied by {run.party}")
        show.wait_text('.path [aria-current="step"]', "Succeeded")
        show.wait_text('#targets a[aria-current="page"]', "Succeeded")
        show.wait_text(".events", "The round succeeded")
        show.wait_text(".events", "ap-south came by")
        self.assertIn("Succeeded", show.run("return document.getElementById('announce').textContent;"), "said to screen readers")
        self.still_the_same_page()
        self.assertEqual(show.complaints(), [])

    def test_a_failure_names_its_step_and_its_cause(self) -> None:
        self.show("failing")
        run = self.api.apply("failing", self.api.join("failing", "eu", ["0001", "0002"], {"parties": 1}))
        run.confirm()
        run.report("RESULT_FAILED", stepsDone=1, failedStep="0002", message="column \"email\" does not exist")
        self.browser.wait_text('[data-outcome="FAILED"]', 'column "email" does not exist')
        self.browser.wait_text('[data-outcome="FAILED"]', "at step 0002")
        self.browser.wait_text('[data-step="0002"][data-look="failed"]', "0002")

    def test_names_are_text_whatever_they_hold(self) -> None:
        show = self.browser
        target = HOSTILE % "target"
        self.show(target)
        quorum = {"roster": [HOSTILE % "party", HOSTILE % "missing"]}
        self.api.join(target, HOSTILE % "party", [HOSTILE % "step"], quorum, host=HOSTILE % "host", release=HOSTILE % "release")
        self.api.join(target, HOSTILE % "surplus", [HOSTILE % "step"], quorum)
        path = urllib.request.quote(target, safe="")
        self.api.post(f"/v1/targets/{path}/set", {"request": {"incarnation": "op", "sequence": "1"}, "actor": HOSTILE % "actor",
                                                  "reason": HOSTILE % "pin", "pin": {"quorum": quorum}})
        self.api.post(f"/v1/targets/{path}/join", {"request": {"incarnation": "v", "sequence": "1"}, "party": HOSTILE % "visitor",
                                                   "host": HOSTILE % "host", "snapshot": {"lastStep": HOSTILE % "last"}})
        self.api.post(f"/v1/targets/{path}/sever", {"request": {"incarnation": "op", "sequence": "2"}, "actor": HOSTILE % "actor",
                                                    "reason": HOSTILE % "sever"})
        show.wait_text("h1", HOSTILE % "target")
        show.wait_text("#targets", HOSTILE % "target")
        show.wait_text(".party", HOSTILE % "party")
        show.wait_text(".party", HOSTILE % "surplus")
        show.wait_text(".steps", HOSTILE % "step")
        show.wait_text("#detail", "Severed: " + HOSTILE % "sever")
        show.wait_text("#detail", HOSTILE % "pin")
        show.wait_text(".events", HOSTILE % "actor")
        show.wait_text("tbody", HOSTILE % "visitor")
        self.assertEqual(show.run("return document.querySelectorAll('main img, nav img').length;"), 0)
        self.assertIsNone(show.run("return window.pwned || null;"))
        self.assertEqual(show.complaints(), [])

    def test_fetches_nothing_from_elsewhere(self) -> None:
        self.browser.complaints()  # those of other tests, in which the daemon was away
        self.show("somewhere")
        self.browser.wait_text("#store", "Store")
        fetched = self.browser.run("return performance.getEntriesByType('resource').map((e) => e.name);")
        self.assertTrue(fetched)
        for url in fetched:
            self.assertTrue(url.startswith(self.daemon.url) or url.startswith("data:"), url)
        self.assertEqual(self.browser.complaints(), [])

    def test_targets_are_filtered_and_chosen(self) -> None:
        show = self.browser
        for name in ("filter-a", "filter-b"):
            self.api.join(name, "eu", ["0001"], {"parties": 2})
        self.show("filter-a")
        show.wait_text("h1", "filter-a")
        show.type("#filter", "FILTER-")
        show.wait_text("#count", "2 of ")
        self.assertEqual(len(show.all("#targets a")), 2)
        show.click('#targets a[data-target="filter-b"]')
        show.wait_text("h1", "filter-b")
        show.run("history.back();")
        show.wait_text("h1", "filter-a")
        # Every control and every region has a name that is read aloud.
        self.assertEqual(
            show.run(
                """return [...document.querySelectorAll('input, button, nav, [role=progressbar]')].filter((n) =>
                !(n.labels && n.labels.length) && !n.getAttribute('aria-label') && !n.textContent.trim()).map((n) => n.outerHTML);"""
            ),
            [],
        )

    def test_pages_that_were_left_hold_no_connection(self) -> None:
        # A browser opens six to one daemon; a page needs two.
        for _ in range(8):
            self.show("left")

        def streams() -> bool:
            with urllib.request.urlopen(f"{self.daemon.url}/metrics", timeout=60) as response:
                return "\nsyzygy_http_streams 2\n" in response.read().decode()

        wait_until("the daemon has heard who left", streams)

    def test_says_when_the_connection_is_lost_and_comes_back(self) -> None:
        show = self.browser
        daemon = Daemon()
        self.addCleanup(daemon.close)
        api = Api(daemon.url)
        api.join("lost", "eu-west", ["0001"], {"parties": 3})
        show.open(f"{daemon.url}/#/t/lost")
        show.wait_text('[data-party="eu-west"]', "present")
        show.run("window.loaded_once = true;")
        daemon.kill()
        show.wait_text("#connection", "Connection lost")
        show.wait_text("#banner", "What you see may be old")
        self.assertIn("eu-west", show.text(".party"), "what was known stays")
        daemon.start()
        show.wait_text("#connection", "Live")
        wait_until("nothing is complained of", lambda: show.all("#banner") == [""])  # it may have asked a daemon that was just starting
        api.join("lost", "us-east", ["0001"], {"parties": 3})
        show.wait_text('[data-party="us-east"]', "present")
        self.still_the_same_page()
        daemon.process.stop(signal.SIGTERM)
        show.wait_text("#connection", "Connection lost")

    def test_asks_for_the_token(self) -> None:
        show = self.browser
        with tempfile.NamedTemporaryFile("w", suffix=".token") as file:
            file.write("right-token-0123456789\n")
            file.flush()
            daemon = Daemon("--token-file", file.name)
        self.addCleanup(daemon.close)
        Api(daemon.url, "right-token-0123456789").join("guarded", "eu-west", ["0001"], {"parties": 2})
        show.open(daemon.url)
        show.wait_text("#connection", "Token needed")
        show.wait_text("#sign-in", "bearer token")
        self.assertNotIn("guarded", show.text("body"))
        show.type("#token", "wrong-token")
        show.click("#sign-in button")
        show.wait_text("#banner", "not this daemon's")
        show.type("#token", "right-token-0123456789")
        show.click("#sign-in button")
        show.wait_text("h1", "guarded")
        show.wait_text("#connection", "Live")
        show.open(f"{daemon.url}/#/t/guarded")
        show.wait_text('[data-party="eu-west"]', "present")
        self.assertNotIn("right-token", show.run("return document.documentElement.outerHTML + location.href;"))


if __name__ == "__main__":
    unittest.main()
