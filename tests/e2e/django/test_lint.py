"""`manage.py syzygylint`: Django's own SQL before `syzygy lint`, with stages as django-syzygy has them. Run by ctest through in_venv.py."""

import json
import os
import subprocess
import sys
import unittest
from typing import Dict, List

from ..support.postgres import Postgres
from ..support.processes import ScratchDirectory

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "client", "python")
SETTINGS = """
SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "syzygy", "syzygy_client", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": %s}
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
INITIAL = """CreateModel("Order", [("id", models.BigAutoField(primary_key=True)), ("number", models.IntegerField()), ("note", models.TextField(null=True))])"""


class LintTest(unittest.TestCase):
    postgres: Postgres

    @classmethod
    def setUpClass(cls) -> None:
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.close)
        cls.postgres.create_database("shop")

    def project(self, database: str = "postgresql", **operations: str) -> str:
        """m0002_more="AddField(...)" becomes shop/migrations/0002_more.py, behind 0001_initial."""
        scratch = ScratchDirectory("django")
        self.addCleanup(scratch.close)
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(scratch.path, "db")}
        if database == "postgresql":
            settings = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": str(self.postgres.port), "NAME": "shop", "USER": "postgres"}
        files = {"settings.py": SETTINGS % settings, "manage.py": MANAGE, "shop/__init__.py": "", "shop/models.py": "", "shop/migrations/__init__.py": ""}
        before = ""
        for name, operation in {"m0001_initial": INITIAL, **operations}.items():
            head, _, operation = operation.rpartition("\n#\n")
            listed = ", ".join(f"migrations.{one}" for one in operation.split("; "))
            needs = f'("shop", "{before}")' if before else ""
            files[f"shop/migrations/{name[1:]}.py"] = (
                f"from django.db import migrations, models\n{head}\nclass Migration(migrations.Migration):\n    dependencies = [{needs}]\n    operations = [{listed}]\n"
            )
            before = name[1:]
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(scratch.path, path)), exist_ok=True)
            with open(os.path.join(scratch.path, path), "w") as file:
                file.write(text)
        return scratch.path

    def lint(self, project: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-B", "manage.py", "syzygylint", *arguments]
        env: Dict[str, str] = {**os.environ, "PYTHONPATH": CLIENT, **environment}
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=120)

    def rules(self, done: "subprocess.CompletedProcess[str]") -> List[str]:
        return [f"{finding['file'].rpartition('/')[2][6:]} {finding['rule']}" for finding in json.loads(done.stdout)["findings"]]

    def test_what_is_safe_is_clean(self) -> None:
        for database in ("postgresql", "sqlite"):
            project = self.project(database, m0002_more='AddField("Order", "size", models.IntegerField(null=True))', m0003_less='RemoveField("Order", "note")')
            done = self.lint(project, "--output", "json", "--flag=--severity=dropped-data=off")
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            self.assertEqual(self.rules(done), [])

    def test_the_sql_is_what_is_judged(self) -> None:
        project = self.project(m0002_index='AddIndex("Order", models.Index(fields=["number"], name="by_number"))', m0003_level='AddField("Order", "level", models.IntegerField(default=3))')
        done = self.lint(project, "--output", "json")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(self.rules(done), ["shop_0002_index.sql create-index", "shop_0003_level.sql default-dropped-at-once"])
        self.assertEqual(self.rules(self.lint(project, "shop.0002", "--output", "json")), ["shop_0002_index.sql create-index"])

    def test_stages_are_django_syzygys_and_what_the_sql_says_otherwise_is_a_warning(self) -> None:
        project = self.project(m0002_rename='RenameField("Order", "number", "nr")', m0003_both='RemoveField("Order", "note"); AddField("Order", "x", models.TextField(null=True))')
        done = self.lint(project, "--output", "json")
        self.assertEqual(done.returncode, 1)
        self.assertIn("shop.0002_rename: warning: django-syzygy runs it pre_deploy, and by its SQL it is post_deploy: it renames column number", done.stderr)
        self.assertIn("shop/migrations/0003_both.py: error: Cannot automatically determine stage", done.stderr)
        with open(os.path.join(project, "settings.py"), "a") as file:
            file.write("from syzygy import Stage\nMIGRATION_STAGES_OVERRIDE = {'shop': Stage.POST_DEPLOY}\n")
        done = self.lint(project, "--output", "json")
        self.assertNotIn("error", done.stderr)
        self.assertNotIn("0002_rename", done.stderr)
        self.assertEqual(self.rules(done)[0], "shop_0002_rename.sql rename-column")

    def test_python_is_looked_at(self) -> None:
        project = self.project(m0002_fill='def fill(apps, schema_editor):\n    from shop.models import Order\n#\nRunPython(fill)')
        done = self.lint(project)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("shop/migrations/0002_fill.py:3: error: fill() imports models", done.stderr)
        self.assertIn("[RUNPYTHON_REVERSIBLE]", done.stderr)
        self.assertEqual(self.lint(project, "shop.0001").returncode, 0)

    def test_the_sql_can_be_kept(self) -> None:
        project = self.project(m0002_less='RemoveField("Order", "note")')
        self.assertEqual(self.lint(project, "shop", "--write", "sql").returncode, 0)
        names = sorted(name for name in os.listdir(os.path.join(project, "sql")) if "_shop_" in name)
        self.assertEqual([name[6:] for name in names], ["shop_0001_initial.sql", "shop_0002_less.sql"])
        with open(os.path.join(project, "sql", names[1])) as file:
            text = file.read()
        for line in ("-- syzygy:stage post_deploy\n", f"-- syzygy:depends {names[0][:5]}\n", 'ALTER TABLE "shop_order" DROP COLUMN "note" CASCADE;\n', "-- syzygy:down\n"):
            self.assertIn(line, text)
        again = self.lint(project, "shop", "--write", "sql")
        self.assertEqual(again.returncode, 2)
        self.assertIn("is not empty", again.stderr)

    def test_what_cannot_run_says_why(self) -> None:
        project = self.project()
        for arguments, environment, says in ((("nothing",), {}, "nothing names no migration"), ((), {"SYZYGY": "/nowhere/syzygy"}, "/nowhere/syzygy is not there")):
            done = self.lint(project, *arguments, **environment)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(says, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
