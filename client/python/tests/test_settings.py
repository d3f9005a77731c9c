"""Settings: what wins, and what is refused how."""

import unittest
from typing import Any, Dict

from syzygy_client.errors import ConfigurationError
from syzygy_client.settings import DEFAULT_URL, load


class SettingsTest(unittest.TestCase):
    def refused(self, options: Dict[str, Any], *parts: str) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            load({"prefix": "test", **options}, {})
        self.assertEqual(caught.exception.returncode, 2)
        for part in parts:
            self.assertIn(part, str(caught.exception))
        return str(caught.exception)

    def test_defaults(self) -> None:
        loaded = load({"prefix": "test"}, {})
        self.assertEqual([str(e) for e in loaded.endpoints], [DEFAULT_URL])
        self.assertEqual((loaded.connect_timeout, loaded.timeout, loaded.wait), (30, 1800, 5))
        self.assertIsNone(loaded.party)

    def test_the_setting_wins_over_the_environment(self) -> None:
        environ = {"SYZYGY_PREFIX": "env", "SYZYGY_PARTY": "eu-west", "SYZYGY_URL": "https://a:1,https://b:2", "SYZYGY_TIMEOUT": "5m"}
        loaded = load({"prefix": "setting"}, environ)
        self.assertEqual((loaded.prefix, loaded.party, loaded.timeout), ("setting", "eu-west", 300))
        self.assertEqual([str(e) for e in loaded.endpoints], ["https://a:1", "https://b:2"])

    def test_an_empty_variable_is_none(self) -> None:
        self.assertIsNone(load({"prefix": "p"}, {"SYZYGY_PARTY": "", "SYZYGY_URL": ""}).party)

    def test_the_prefix_has_no_default(self) -> None:
        with self.assertRaises(ConfigurationError) as caught:
            load({}, {})
        for part in ('"prefix"', "SYZYGY_PREFIX", "staging"):
            self.assertIn(part, str(caught.exception))

    def test_an_unknown_option_is_named_and_its_value_is_not(self) -> None:
        message = self.refused({"token": "s3cret"}, "token", "token_file")
        self.assertNotIn("s3cret", message)

    def test_urls(self) -> None:
        for url, text in (
            ("http://[::1]:7410", "http://[::1]:7410"),
            ("https://syzygy.example", "https://syzygy.example:7410"),
            ("http://h:80/base/", "http://h:80/base"),
        ):
            self.assertEqual(str(load({"prefix": "p", "url": url}, {}).endpoints[0]), text)
        for url in ("h:7410", "ftp://h", "http://", "http://h:99999", "http://h:x", "http://h:0", "http://h/?q", "http://h/#f", ",", "http://a b", "http://["):
            self.refused({"url": url}, "SYZYGY_URL")
        self.assertNotIn("s3cret", self.refused({"url": "http://me:s3cret@h:1"}, "token_file"))

    def test_durations(self) -> None:
        for value, seconds in ((3, 3.0), (0.5, 0.5), ("3", 3.0), ("500ms", 0.5), ("5m", 300.0), ("1h30m", 5400.0), ("0", 0.0)):
            self.assertEqual(load({"prefix": "p", "timeout": value}, {}).timeout, seconds)
        for wrong in (-1, "-1", "8d", "1w", "5m3", "s", "", True, float("nan"), float("inf"), [], "1e9h"):
            self.refused({"timeout": wrong}, '"timeout"', "SYZYGY_TIMEOUT")
        self.refused({"wait": "2m"}, "60")

    def test_a_token_travels_in_plain_text_on_the_loopback_only(self) -> None:
        for url in ("http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost", "https://syzygy.example"):
            load({"prefix": "p", "url": url, "token_file": "t"}, {})
        for url in ("http://syzygy.example", "http://localhost.example", "http://10.0.0.1", "https://a,http://b"):
            self.refused({"url": url, "token_file": "t"}, "plain text", "SYZYGY_INSECURE_TOKEN")
            load({"prefix": "p", "url": url, "token_file": "t", "insecure_token": True}, {})
            load({"prefix": "p", "url": url, "token_file": "t"}, {"SYZYGY_INSECURE_TOKEN": "true"})
            load({"prefix": "p", "url": url}, {})
        self.refused({"insecure_token": "perhaps", "token_file": "t"}, "true or false")

    def test_text(self) -> None:
        for value in (3, " ", "a\nb", "\x00", "\ud800"):
            self.refused({"party": value}, "SYZYGY_PARTY")


if __name__ == "__main__":
    unittest.main()
