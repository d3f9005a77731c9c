"""deploy/ci/ and .pre-commit-hooks.yaml: valid by their readers' schemas, naming only commands and flags that syzygy has, and working.

Run by ctest (e2e_ci) through in_venv.py. $SYZYGY names the binary.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import unittest
from typing import Any, Dict, List

import yaml

from .support.cli import flags_in, help_of
from .support.processes import ScratchDirectory

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
GITHUB = os.path.join(ROOT, "deploy", "ci", "github.yml")
GITLAB = os.path.join(ROOT, "deploy", "ci", "gitlab.yml")
HOOKS = os.path.join(ROOT, ".pre-commit-hooks.yaml")


def load(path: str) -> Dict[Any, Any]:
    with open(path) as file:
        loaded: Dict[Any, Any] = yaml.safe_load(file)
    return loaded


def scripts() -> List[str]:
    (github,) = load(GITHUB)["jobs"].values()
    (gitlab,) = (job for job in load(GITLAB).values() if "script" in job)
    return [step["run"] for step in github["steps"] if "run" in step] + list(gitlab["script"])


def python(*arguments: str, cwd: str = ROOT, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, **env})


class CiTest(unittest.TestCase):
    def test_schemas(self) -> None:
        for schema, path in (("vendor.github-workflows", GITHUB), ("vendor.gitlab-ci", GITLAB)):
            done = python("check_jsonschema", "--builtin-schema", schema, path)
            self.assertEqual(done.returncode, 0, done.stdout)
        done = python("pre_commit", "validate-manifest", HOOKS)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_commands_and_flags_exist(self) -> None:
        used = []
        for script in scripts():
            done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, f"{script}\n{done.stderr}")
            for command in re.findall(r"(?:^|\s)syzygy ([a-z]+ .*?)(?:\s[|>]|$)", script):
                words = shlex.split(command)
                used.append(words[0])
                self.assertLessEqual({word for word in words if word.startswith("--")}, flags_in(help_of(os.environ["SYZYGY"], words[0])), script)
        self.assertEqual(sorted(used), ["check", "check", "lint", "lint", "lint"])

    def test_nothing_runs_where_no_migration_changed(self) -> None:
        for changes in (load(GITHUB)[True]["pull_request"], load(GITLAB)["migrations"]["rules"][0]["changes"]):  # YAML reads `on` as true
            self.assertTrue(any(path.startswith("migrations/") for path in changes["paths"]))
            self.assertIn("syzygy.toml", changes["paths"])

    def test_the_hook_finds_what_a_commit_brings(self) -> None:
        with contextlib.closing(ScratchDirectory("hook")) as opened:
            scratch = opened.path

            def git(directory: str, *words: str) -> None:
                subprocess.run(["git", "-C", directory, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

            hooks, project = os.path.join(scratch, "hooks"), os.path.join(scratch, "project")
            os.makedirs(hooks)
            os.makedirs(os.path.join(project, "migrations"))
            with open(HOOKS) as source, open(os.path.join(hooks, ".pre-commit-hooks.yaml"), "w") as copy:
                copy.write(source.read())
            for name, text in (("1_a", "CREATE TABLE t (a int);"), ("2_b", "CREATE INDEX i ON t (a);"), ("3_c", "SELECT 1;")):
                with open(os.path.join(project, "migrations", name + ".sql"), "w") as file:
                    file.write(text + "\n")
            for directory in (hooks, project):
                git(directory, "init", "-q")
                git(directory, "add", ".")
                git(directory, "commit", "-qm", "one")
            path = os.path.dirname(os.environ["SYZYGY"]) + os.pathsep + os.environ["PATH"]
            for file, code in (("2_b", 1), ("3_c", 0)):
                done = python("pre_commit", "try-repo", hooks, "syzygy-lint", "--files", f"migrations/{file}.sql", cwd=project, PATH=path,
                              PRE_COMMIT_HOME=os.path.join(scratch, "home"))  # fmt: skip
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                self.assertEqual("create-index" in done.stdout, code == 1, done.stdout)


if __name__ == "__main__":
    unittest.main()
