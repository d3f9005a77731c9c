"""README and docs/: they name only flags, commands and files that exist, and the exit codes that `syzygy --help` lists.

Run by ctest (e2e_docs) through in_venv.py. $SYZYGYD and $SYZYGY name the binaries.
"""

import glob
import os
import re
import subprocess
import unittest
from typing import Dict, Set

from tests.e2e.support.cli import all_flags_of_syzygy, commands_of, flags_in, help_of
from tests.e2e.support.processes import BOUND, ScratchDirectory, free_port

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# Flags of others that the pages name: ./dev, the simulation, cmake, ctest, git, docker, Django.
OTHERS = {"--keep", "--preset", "--test-dir", "--output-on-failure", "--quorum-timeout", "--help", "--rounds",
          "--long", "--jobs", "--seed", "--with", "--story", "--shrink"}


def pages() -> Dict[str, str]:
    found = [os.path.join(ROOT, name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "client/python/README.md")]
    found += glob.glob(os.path.join(ROOT, "docs", "*.md"))
    texts = {}
    for path in found:
        with open(path) as file:
            texts[path] = file.read()
    return texts


class DocsTest(unittest.TestCase):
    def test_every_flag_exists(self) -> None:
        daemon = os.environ["SYZYGYD"]
        known = all_flags_of_syzygy() | flags_in(help_of(daemon)) | OTHERS
        for command in commands_of(help_of(daemon, "store")):
            known |= flags_in(help_of(daemon, "store", command))
        with open(os.path.join(ROOT, "client/python/syzygy_client/management/commands/syzygylint.py")) as file:
            known |= flags_in(file.read())  # manage.py syzygylint --help needs a Django project
        self.assertIn("--break-glass", known)
        for path, text in pages().items():
            self.assertEqual(flags_in(text) - known, set(), path)

    def test_every_command_exists(self) -> None:
        known = commands_of(help_of(os.environ["SYZYGY"]))
        used: Set[str] = set()
        for text in pages().values():
            used |= set(re.findall(r"(?:^|[`\n]|&& )syzygy ([a-z-]+)", text))
        self.assertIn("migrate", used)
        self.assertEqual(used - known, set())
        self.assertEqual(known - used - {"leave"}, set(), "a command that no page shows")

    def test_the_exit_codes_are_those_of_the_help(self) -> None:
        listed = help_of(os.environ["SYZYGY"]).split("Exit codes:")[1]
        table = pages()[os.path.join(ROOT, "README.md")].split("## Exit codes")[1].split("\n## ")[0]
        in_table = set(re.findall(r"^\| ([0-9]+|128\+n) \|", table, re.MULTILINE))
        in_help = set(re.findall(r"(?:^|[;:\s])([0-9]+|128\+n) ", " " + listed))
        self.assertEqual(in_table, in_help)

    def test_what_the_readme_does_in_an_empty_directory(self) -> None:
        text = pages()[os.path.join(ROOT, "README.md")]
        block = text.split("in an empty directory:\n\n```\n")[1].split("```")[0]
        self.assertIn("--watch", block)
        # Whoever watches ends it by hand; here the three are waited for.
        script = "\n".join("for job in $(jobs -p | tail -n +2); do wait $job || exit; done" if "--watch" in line else line for line in block.splitlines())
        scratch = ScratchDirectory("readme")
        self.addCleanup(scratch.close)
        here = os.path.join(scratch.path, "empty")
        os.mkdir(here)
        for name in ("SYZYGY", "SYZYGYD"):
            os.symlink(os.environ[name], os.path.join(scratch.path, name.lower()))
        http, grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        env = {**os.environ, "PATH": f"{scratch.path}:{os.environ['PATH']}", "SYZYGY_HTTP": http, "SYZYGY_GRPC": grpc, "SYZYGY_DAEMON": grpc}
        run = subprocess.Popen(["bash", "-c", f"set -m; trap 'kill %1; wait %1' EXIT\n{script}\n"], cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        said, _ = run.communicate(timeout=BOUND)
        self.assertEqual(run.returncode, 0, said)
        self.assertEqual(said.count("applied 0001_users"), 1, said)
        self.assertEqual(said.count("1 step\n"), 3, said)
        self.assertRegex(said, r"up    0001 ")

    def test_every_link_leads_somewhere(self) -> None:
        for path, text in pages().items():
            for link in re.findall(r"\]\(([^)#:]+)\)", text):
                self.assertTrue(os.path.exists(os.path.join(os.path.dirname(path), link)), f"{path}: {link}")


if __name__ == "__main__":
    unittest.main()
