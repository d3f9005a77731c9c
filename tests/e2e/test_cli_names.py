"""A target is one application in one database, under one name: two of either are refused, and nothing is applied."""

import json
import unittest

from .support.daemon import Daemon
from .support.site import CliTest, Site, syzygy

USERS = "CREATE TABLE users (id int);"


class Names(CliTest):
    def twin(self, site: Site) -> Site:
        """Another target's name for the same database."""
        other = self.site(m0001_users=USERS, m0002_more="CREATE TABLE more (id int);")
        other.database = site.database
        return other

    def refused(self, site: Site, bound: str, *more: str) -> None:
        run = site.alone(*more)
        self.assertEqual(run.code, 82, run.err)
        for word in (bound, site.target, "--app", f"syzygy target rebind {site.target}"):
            self.assertIn(word, run.err)

    def two_names(self, postgres: bool) -> None:
        site = self.site(postgres, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        twin = self.twin(site)
        before = self.tables(site)
        self.refused(twin, site.target)
        self.refused(twin, site.target, "--plan")
        self.refused(twin, site.target, "--break-glass", "--reason", "INC-1")
        run = syzygy("exec", *twin.common("eu-west", 1), "--database", twin.database, "--plan-hash", "b1", "--", "touch", twin.path("ran"))
        self.assertEqual(run.code, 82, run.err)
        self.assertEqual(self.tables(site), before)
        self.assertNotIn(twin.target, syzygy("status", "--daemon", self.daemon.grpc).out, "the daemon never heard of it")
        ran = twin.alone("--app", "reports")
        self.assertEqual(ran.code, 80, ran.err)  # it may run: there is a table of that name already
        self.assertIn("users", ran.err)

    def test_two_names_for_one_database_on_postgresql(self) -> None:
        self.two_names(True)

    def test_two_names_for_one_database_on_sqlite(self) -> None:
        self.two_names(False)

    def test_two_names_while_the_first_still_gathers(self) -> None:
        site = self.site(True, m0001_users=USERS)
        waiting = site.start(*site.migrate("eu-west"), name="eu-west")
        site.until("1 of 3 here")
        self.refused(self.twin(site), site.target)
        waiting.stop(15)
        self.assertEqual(self.tables(site), [])

    def test_a_target_is_renamed(self) -> None:
        site = self.site(True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        twin = self.twin(site)
        # Under the new name its tokens are of a life that nobody here knows: the first round waits for the longest lease.
        daemon = Daemon("--lease", "1s", "--lease-max", "2s", "--lease-unfenced", "2s", "--lock-delay", "1s", "--kill-after", "500ms")
        self.addCleanup(daemon.close)
        site.daemon = twin.daemon = daemon
        rebind = ("target", "rebind", twin.target, "--database", site.database, "--daemon", daemon.grpc)
        self.assertEqual(syzygy(*rebind).code, 2, "a reason is asked for")
        done = syzygy(*rebind, "--reason", "renamed", "--actor", "ada")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(site.target, done.err)
        run = twin.alone()
        self.assertEqual(run.code, 0, run.err)
        self.assertIn("applied 0002_more", run.err)
        self.refused(site, twin.target)
        acts = json.loads(syzygy("history", "--database", site.database, "--output", "json").out)["audit"]
        self.assertEqual([(act["what"], act["who"], act["reason"]) for act in acts], [("rebind", "ada", "renamed")])
        self.assertIn("ada", syzygy("history", "--target", twin.target, "--daemon", daemon.grpc).out)

    def test_a_restored_copy_is_bound_anew(self) -> None:
        site = self.site(True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        name = site.database.rsplit("/", 1)[1]
        with self.postgres.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")  # type: ignore[call-overload]
        site.database += "_copy"
        site.write(m0002_more="CREATE TABLE more (id int);")
        elsewhere = site.alone()
        self.assertEqual(elsewhere.code, 82, elsewhere.err)
        for word in (name, f"{name}_copy", "syzygy target rebind"):
            self.assertIn(word, elsewhere.err)
        done = syzygy("target", "rebind", site.target, "--database", site.database, "--daemon", self.daemon.grpc, "--reason", "restored")
        self.assertEqual(done.code, 0, done.err)
        run = site.alone()
        self.assertEqual(run.code, 0, run.err)

    def test_doctor_finds_both(self) -> None:
        site = self.site(True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        twin = self.twin(site)
        for target, database, name in ((twin.target, site.database, "target's name"), (site.target, self.migrated().database, "binding")):
            run = syzygy("doctor", "--target", target, "--database", database, "--dir", site.dir, "--daemon", self.daemon.grpc, "--output", "json")
            self.assertEqual(run.code, 1, run.err)
            wrong = {finding["name"]: finding for finding in json.loads(run.out)["findings"] if not finding["ok"]}
            self.assertIn(name, wrong)
            self.assertIn("syzygy", wrong[name]["next"])

    def migrated(self) -> Site:
        site = self.site(True, m0001_users=USERS)
        self.assertEqual(site.alone().code, 0)
        return site


if __name__ == "__main__":
    unittest.main()
