"""``manage.py syzygylint``: the SQL of a project's migrations, as Django would send it, before ``syzygy lint``.

Each migration becomes a file of a directory that ``syzygy`` reads: its SQL, its way back, what it depends on, and its stage as django-syzygy
has it, which decides. Where our own reading of the SQL says otherwise, that is a warning.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional, Tuple

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations import RunPython
from django.db.migrations.loader import MigrationLoader

from syzygy_client.run_python import look_at

try:
    from syzygy.conf import is_third_party_app
    from syzygy.exceptions import AmbiguousStage
    from syzygy.plan import get_migration_stage
except ImportError:  # django-syzygy is not installed: the SQL alone decides
    get_migration_stage = None

DIALECTS = {"postgresql": "postgresql", "sqlite": "sqlite"}
NOT_OF_DJANGO = ("--severity", "drop-cascade=off")  # it writes CASCADE by itself
OUTPUTS = ("text", "json", "sarif", "github", "gitlab", "junit")
Key = Tuple[str, str]


class Command(BaseCommand):
    help = "Says what in the SQL of the migrations breaks code that runs beside them, blocks, rewrites or loses data. Exit 0 clean, 1 findings, 2 it could not run."
    requires_system_checks: List[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("labels", nargs="*", metavar="APP[.MIGRATION]", help="What to look at [all migrations of the project's own apps].")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Whose SQL is looked at; some operations look into it. [default]")
        parser.add_argument("--third-party", action="store_true", help="Also migrations of apps that are installed as packages.")
        parser.add_argument("--write", metavar="DIR", help="Keep the SQL in this directory, which must be empty or not there.")
        parser.add_argument("--syzygy", default=os.environ.get("SYZYGY", "syzygy"), metavar="PROGRAM", help="The program. [$SYZYGY, or syzygy in PATH]")
        parser.add_argument("--output", choices=OUTPUTS, default="text")
        parser.add_argument("--flag", action="append", default=[], metavar="FLAG", help="Handed to syzygy lint: --flag=--quality --flag=--severity=drop-index=error")

    def handle(self, *args: str, **options: Any) -> None:
        connection = connections[options["database"]]
        if connection.vendor not in DIALECTS:
            raise CommandError(f"the database {options['database']} is {connection.vendor}; SQL of PostgreSQL and SQLite is understood", returncode=2)
        loader = MigrationLoader(connection, replace_migrations=False)
        wanted = self._wanted(loader, options["labels"], options["third_party"])
        plan: List[Key] = []
        for leaf in loader.graph.leaf_nodes():
            plan.extend(key for key in loader.graph.forwards_plan(leaf) if key not in plan)
        with tempfile.TemporaryDirectory() as scratch:
            directory = options["write"] or os.path.join(scratch, "migrations")
            if os.path.isdir(directory) and os.listdir(directory):
                raise CommandError(f"--write {directory}: that directory is not empty; name another", returncode=2)
            os.makedirs(directory, exist_ok=True)
            bad = self._write(loader, plan, wanted, directory)
            self._compare(options["syzygy"], directory, plan, wanted, scratch, DIALECTS[connection.vendor])
            names = [name for name in sorted(os.listdir(directory)) if self._key_of(name, plan) in wanted]
            code = 0
            if names:
                command = [options["syzygy"], "lint", *names, "--format", "plain", "--dialect", DIALECTS[connection.vendor], "--output", options["output"], *NOT_OF_DJANGO, *options["flag"]]
                self.stdout.flush()
                code = self._run(command, directory).returncode
        if code or bad:
            sys.exit(code or 1)

    def _wanted(self, loader: MigrationLoader, labels: List[str], third_party: bool) -> "set[Key]":
        if not labels:
            own = {app.label for app in apps.get_app_configs() if third_party or get_migration_stage is None or not is_third_party_app(app)}
            return {key for key in loader.graph.nodes if key[0] in own}
        wanted = set()
        for label in labels:
            app, _, prefix = label.partition(".")
            found = {key for key in loader.graph.nodes if key[0] == app and key[1].startswith(prefix)}
            if not found:
                raise CommandError(f"{label} names no migration; write the label of an app, or APP.MIGRATION", returncode=2)
            wanted |= found
        return wanted

    # --- the directory

    @staticmethod
    def _key_of(name: str, plan: List[Key]) -> Key:
        return plan[int(name[:5]) - 1]

    def _write(self, loader: MigrationLoader, plan: List[Key], wanted: "set[Key]", directory: str) -> bool:
        """Whether something was an error."""
        numbers = {key: number for number, key in enumerate(plan, 1)}
        bad = False
        for key in plan:
            migration = loader.graph.nodes[key]
            lines = [f"-- {migration}"]
            stage, unclear = self._stage(migration)
            if unclear and key in wanted:
                self.stderr.write(f"{_source(migration)}: error: {unclear} [stage-ambiguous]")
                bad = True
            if stage:
                lines.append(f"-- syzygy:stage {stage}")
            if not migration.atomic:
                lines.append("-- syzygy:no-transaction")
            parents = sorted(numbers[parent.key] for parent in loader.graph.node_map[key].parents)
            lines.append("-- syzygy:depends " + (" ".join(f"{number:05}" for number in parents) or "none"))
            up = self._sql(loader, key, False)
            if up is None and key in wanted:
                self.stderr.write(f"{_source(migration)}: note: its SQL cannot be told without a database that has the migrations before it")
            lines += up or []
            back = self._sql(loader, key, True) if up is not None and all(operation.reversible for operation in migration.operations) else None
            if back is not None:
                lines += ["-- syzygy:down", *back]
            with open(os.path.join(directory, f"{numbers[key]:05}_{key[0]}_{key[1]}.sql"), "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            if key in wanted:
                bad = self._look_at_python(migration) or bad
        return bad

    @staticmethod
    def _stage(migration: Any) -> "Tuple[str, str]":
        """As django-syzygy has it, or why it has none."""
        if get_migration_stage is None:
            return "", ""
        try:
            stage = get_migration_stage(migration)
        except AmbiguousStage as error:
            return "", f"{error} Set stage in the migration, or MIGRATION_STAGES_OVERRIDE"
        return (stage.name.lower() if stage else ""), ""

    @staticmethod
    def _sql(loader: MigrationLoader, key: Key, backwards: bool) -> Optional[List[str]]:
        try:
            lines = loader.collect_sql([(loader.graph.nodes[key], backwards)])
        except Exception:  # of any operation, that looks for what is not there
            return None
        # What Django remarks is no marker of ours.
        return [re.sub(r"^(\s*--\s*)syzygy:", r"\1", str(line), flags=re.MULTILINE) for line in lines]

    def _look_at_python(self, migration: Any) -> bool:
        bad = False
        for operation in migration.operations:
            if not isinstance(operation, RunPython):
                continue
            for finding in look_at(operation):
                self.stderr.write(f"{_source(migration)}:{finding.line}: {finding.severity}: {finding.message} [{finding.rule}]")
                bad = bad or finding.severity == "error"
        return bad

    # --- the two inferences

    def _compare(self, program: str, directory: str, plan: List[Key], wanted: "set[Key]", scratch: str, dialect: str) -> None:
        """Warns where the SQL alone gives another stage."""
        if get_migration_stage is None:
            return
        ours = os.path.join(scratch, "ours")
        os.mkdir(ours)
        given: Dict[str, str] = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                text = file.read()
            marker = re.search(r"^-- syzygy:stage (\w+)$", text, flags=re.MULTILINE)
            given[name] = marker.group(1) if marker else ""
            with open(os.path.join(ours, name), "w", encoding="utf-8") as file:
                file.write(re.sub(r"^-- syzygy:(stage|depends) .*\n", "", text.partition("\n-- syzygy:down\n")[0], flags=re.MULTILINE))
        config = os.path.join(scratch, "ours.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write('[stages.fallback]\n"*" = "pre_deploy"\n')  # recognised by its source: no opinion
        done = self._run([program, "--config", config, "plan", ".", "--format", "plain", "--dialect", dialect, "--output", "json"], ours, capture=True)
        if done.returncode != 0:
            return  # what is wrong with the files, lint says
        for step in json.loads(done.stdout)["steps"]:
            name = os.path.basename(step["file"])
            key = self._key_of(name, plan)
            if key in wanted and step["source"] == "inferred" and given[name] and step["stage"] != given[name] and "nothing in it" not in step["why"]:
                why = re.sub(r"^inferred: | \([^()]*\)$", "", step["why"])
                self.stderr.write(f"{key[0]}.{key[1]}: warning: django-syzygy runs it {given[name]}, and by its SQL it is {step['stage']}: it {why} [stage]")

    def _run(self, command: List[str], directory: str, capture: bool = False) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(command, cwd=directory, text=True, stdout=subprocess.PIPE if capture else None, stderr=subprocess.PIPE if capture else None)
        except FileNotFoundError:
            raise CommandError(f"the program {command[0]} is not there; put it into PATH, or name it with --syzygy or SYZYGY", returncode=2) from None


def _source(migration: Any) -> str:
    path = getattr(sys.modules.get(type(migration).__module__), "__file__", None)
    return os.path.relpath(path) if path else str(migration)
