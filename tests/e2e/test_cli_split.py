"""`syzygy split`: each row of the table of docs/split.md, proved on a real database: between the halves old and new code both work.

`migrate --pre-deploy` applies the one half, `migrate` the other. Run by ctest (e2e_cli_split) through in_venv.py.
"""

import base64
import glob
import hashlib
import json
import os
import pty
import sqlite3
import subprocess
import threading
import unittest
from typing import Dict, List, NamedTuple, Sequence, Tuple

from .support.processes import ScratchDirectory, wait_until
from .support.site import CliTest, Ended, Site, syzygy

BASE = """CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email text NOT NULL, age int, note text, customer int DEFAULT 7);
CREATE INDEX users_note ON users (note);
GRANT SELECT ON users TO PUBLIC;
GRANT UPDATE (age, name) ON users TO PUBLIC;
COMMENT ON COLUMN users.age IS 'in years';
INSERT INTO customers SELECT generate_series(1, 50);
INSERT INTO users (name, email, age, customer) SELECT 'u' || n, 'e' || n, n, 1 + n % 50 FROM generate_series(1, 3000) AS n;
"""


class Row(NamedTuple):
    """`old` and `new` are what the releases before and after run; both run between the halves.

    `seen` is asked there afterwards (query -> its one value), and what is `kept_out` must fail there; `seen_again` is asked after the
    way back to there, `seen_back` after all of it.
    """

    change: str
    old: Sequence[str]
    new: Sequence[str]
    after: Dict[str, str]  # when both halves are there: query -> its one value
    arguments: Sequence[str] = ()
    pre: int = 1
    post: int = 1
    back: str = ""
    seen: Dict[str, str] = {}
    kept_out: Sequence[str] = ()
    seen_again: Dict[str, str] = {}
    seen_back: Dict[str, str] = {}


OLD_INSERT = "INSERT INTO users (name, email) VALUES ('old', 'old@x')"
OLD_SELECT = "SELECT id, name, email, age, note, customer FROM users"
OLD = (OLD_INSERT, OLD_SELECT, "UPDATE users SET age = 7 WHERE name = 'old'")
NOT_NULL = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = '{}'"
DEFAULT = "SELECT count(*) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 'users'::regclass AND attname = '{}'"
INVALID = "SELECT (SELECT count(*) FROM pg_constraint WHERE NOT convalidated) + (SELECT count(*) FROM pg_index WHERE NOT indisvalid)"

ROWS = {
    "add_not_null_with_a_default_that_the_code_holds": Row(
        "ALTER TABLE users ADD COLUMN level int NOT NULL DEFAULT 3;\nALTER TABLE users ALTER COLUMN level DROP DEFAULT;\n",
        OLD, ("INSERT INTO users (name, email, level) VALUES ('new', 'n', 4)", "SELECT level FROM users"),
        {NOT_NULL.format("level"): "True", DEFAULT.format("level"): "0", "SELECT count(*) FROM users WHERE level = 3 AND name = 'u1'": "1"},
        back="ALTER TABLE users DROP COLUMN level;\n"),
    "add_not_null_whose_default_goes_as_asked": Row(
        "ALTER TABLE users ADD COLUMN level int NOT NULL DEFAULT 3;\n",
        OLD, ("INSERT INTO users (name, email, level) VALUES ('new', 'n', 4)", "SELECT level FROM users"),
        {NOT_NULL.format("level"): "True", DEFAULT.format("level"): "0"}, ["--drop-defaults"], back="ALTER TABLE users DROP COLUMN level;\n"),
    "add_not_null_without_a_default": Row(
        "ALTER TABLE users ADD COLUMN phone text NOT NULL;\n",
        OLD, ("INSERT INTO users (name, email, phone) VALUES ('new', 'n', '1')", "SELECT phone FROM users"),
        {NOT_NULL.format("phone"): "True", DEFAULT.format("phone"): "0"}, ["--default", "phone='-'"], back="ALTER TABLE users DROP COLUMN phone;\n"),
    "add_not_null_with_a_reference": Row(
        "ALTER TABLE users ADD COLUMN second int NOT NULL REFERENCES customers (id);\n",
        OLD, ("INSERT INTO users (name, email, second) VALUES ('new', 'n', 2)", "SELECT second FROM users"),
        {NOT_NULL.format("second"): "True", "SELECT count(*) FROM pg_constraint WHERE conname = 'users_second_fkey' AND convalidated": "1", INVALID: "0"},
        ["--default", "second=1"], post=2, back="ALTER TABLE users DROP COLUMN second;\n"),
    "drop_not_null_column": Row(
        "-- nobody reads it any more\nALTER TABLE users DROP COLUMN email;\n",
        (OLD_INSERT, OLD_SELECT), ("INSERT INTO users (name) VALUES ('new')", "SELECT id, name, age FROM users"),
        {"SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'": "0"},
        back="ALTER TABLE users ADD COLUMN email text NOT NULL DEFAULT '';\n"),
    "drop_not_null_column_with_a_default": Row(
        "ALTER TABLE users DROP COLUMN email;\n",
        (OLD_INSERT, OLD_SELECT), ("INSERT INTO users (name) VALUES ('new')", "SELECT id, name, age FROM users"),
        {"SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'": "0"}, ["--default", "users.email='gone'"],
        back="ALTER TABLE users ADD COLUMN email text NOT NULL DEFAULT '';\n", seen={"SELECT count(*) FROM users WHERE name = 'new' AND email = 'gone'": "1"},
        seen_back={DEFAULT.format("email"): "0"}),
    "set_not_null": Row(
        "UPDATE users SET age = 0 WHERE age IS NULL;\nALTER TABLE users ALTER COLUMN age SET NOT NULL;\n",
        ("INSERT INTO users (name, email, age) VALUES ('old', 'o', 1)", OLD_SELECT),
        ("INSERT INTO users (name, email, age) VALUES ('new', 'n', 2)", OLD_SELECT),
        {NOT_NULL.format("age"): "True", "SELECT count(*) FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'c'": "0"},
        ["--stage", "pre_deploy"], pre=1, post=3, back="ALTER TABLE users ALTER COLUMN age DROP NOT NULL;\n"),
    "foreign_key_on_a_table_in_use": Row(
        "CREATE TABLE other (id int);\nALTER TABLE users ADD FOREIGN KEY (customer) REFERENCES customers (id);\n",
        (*OLD, "INSERT INTO users (name, email, customer) VALUES ('old', 'o', 9999)", "DELETE FROM users WHERE customer = 9999"),
        ("INSERT INTO users (name, email, customer) VALUES ('new', 'n', 1)", "SELECT * FROM other"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'users_customer_fkey'": "True"}, post=2,
        back="ALTER TABLE users DROP CONSTRAINT users_customer_fkey;\nDROP TABLE other;\n"),
    "a_constraint_is_not_validated_behind_a_lock": Row(
        "ALTER TABLE users DROP COLUMN note, ADD COLUMN second int, ADD CONSTRAINT second_one FOREIGN KEY (second) REFERENCES customers (id);\n",
        (OLD_INSERT, OLD_SELECT), ("INSERT INTO users (name, email, second) VALUES ('new', 'n', 2)", "SELECT second FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'second_one'": "True"}, post=2),
    "check_on_a_table_in_use": Row(
        "CREATE TABLE other (id int);\nALTER TABLE users ADD CONSTRAINT grown CHECK (age > 0);\n",
        (*OLD, "INSERT INTO users (name, email, age) VALUES ('old', 'o', -1)", "DELETE FROM users WHERE age < 0"),
        ("INSERT INTO users (name, email, age) VALUES ('new', 'n', 1)", "SELECT * FROM other"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'grown'": "True"}, post=2),
    "foreign_key_on_a_new_nullable_column": Row(
        "ALTER TABLE users ADD COLUMN second int;\nALTER TABLE users ADD CONSTRAINT second_one FOREIGN KEY (second) REFERENCES customers (id);\n",
        OLD, ("INSERT INTO users (name, email, second) VALUES ('new', 'n', 2)", "SELECT second FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'second_one'": "True"}, back="ALTER TABLE users DROP COLUMN second;\n",
        kept_out=["UPDATE users SET second = 9999 WHERE name = 'new'"]),
    "check_on_a_new_nullable_column": Row(
        "ALTER TABLE users ADD COLUMN size int;\nALTER TABLE users ADD CONSTRAINT sized CHECK (size > 0 AND size < 10);\n",
        OLD, ("INSERT INTO users (name, email, size) VALUES ('new', 'n', 2)", "SELECT size FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'sized'": "True"}, kept_out=["UPDATE users SET size = 50 WHERE name = 'new'"]),
    "check_that_looks_at_null": Row(
        "ALTER TABLE users ADD COLUMN size int;\nALTER TABLE users ADD CONSTRAINT sized CHECK (size IS NULL OR size > 0);\n",
        OLD, ("INSERT INTO users (name, email, size) VALUES ('new', 'n', 2)", "SELECT size FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'sized'": "True"}, post=2),
    "check_that_null_breaks_on_a_new_column": Row(
        "ALTER TABLE users ADD COLUMN size int;\nALTER TABLE users ADD CONSTRAINT sized CHECK (age IS NULL OR size IS NULL);\n",
        OLD, ("INSERT INTO users (name, email, size) VALUES ('new', 'n', 2)", "SELECT size FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'sized'": "True"}, post=2),
    "unique": Row(
        "ALTER TABLE users ADD CONSTRAINT one_email UNIQUE (email);\n",
        (OLD_INSERT, OLD_SELECT, "DELETE FROM users WHERE name = 'old'"), ("INSERT INTO users (name, email) VALUES ('new', 'n1') ON CONFLICT (email) DO NOTHING",),
        {"SELECT indisvalid FROM pg_index JOIN pg_constraint ON conindid = indexrelid WHERE conname = 'one_email'": "True"},
        ["--stage", "pre_deploy"], pre=2, post=0, back="ALTER TABLE users DROP CONSTRAINT one_email;\n"),
    "what_needs_an_index_comes_behind_it": Row(
        "CREATE INDEX by_name ON users (name);\nCOMMENT ON INDEX by_name IS 'for the search';\n",
        OLD, ("SELECT id FROM users WHERE name = 'u1'",), {"SELECT obj_description('by_name'::regclass)": "for the search"}, pre=2, post=0),
    "unique_index_that_old_code_does_not_keep": Row(
        "CREATE UNIQUE INDEX one_email ON users (email);\n",
        (OLD_INSERT, OLD_INSERT, OLD_SELECT, "DELETE FROM users WHERE name = 'old'"), ("INSERT INTO users (name, email) VALUES ('new', 'n1') ON CONFLICT DO NOTHING",),
        {"SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_email'::regclass": "True"}, ["--stage", "post_deploy"], pre=0, post=1),
    "unique_that_old_code_does_not_keep": Row(
        "ALTER TABLE users ADD CONSTRAINT one_email UNIQUE NULLS NOT DISTINCT (email, age) INCLUDE (note);\n",
        (OLD_INSERT, OLD_INSERT, OLD_SELECT, "DELETE FROM users WHERE name = 'old'"), ("INSERT INTO users (name, email) VALUES ('new', 'n1') ON CONFLICT DO NOTHING",),
        {"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'one_email'": "UNIQUE NULLS NOT DISTINCT (email, age) INCLUDE (note)"},
        ["--stage", "post_deploy"], pre=0, post=2),
    "create_index": Row(
        "CREATE INDEX ON users (name);\nCREATE TABLE other (id int);\n",
        OLD, ("SELECT id FROM users WHERE name = 'u1'", "SELECT * FROM other"),
        {"SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_name_idx'::regclass": "True"}, pre=2, post=0),
    "drop_index": Row(
        "CREATE TABLE other (id int);\nDROP INDEX users_note;\n",
        OLD, ("SELECT * FROM other",), {"SELECT count(*) FROM pg_class WHERE relname = 'users_note'": "0"}, back="CREATE INDEX users_note ON users (note);\nDROP TABLE other;\n"),
    "rename_column": Row(
        "ALTER TABLE users RENAME COLUMN name TO full_name;\n",
        (OLD_INSERT, OLD_SELECT, "UPDATE users SET name = 'older' WHERE name = 'u2'", "SELECT 1 / count(*) FROM users WHERE full_name = 'older'"),
        ("INSERT INTO users (full_name, email) VALUES ('new', 'n')", "UPDATE users SET full_name = 'newer' WHERE full_name = 'u3'",
         "SELECT 1 / count(*) FROM users WHERE full_name = 'u4'"),
        {"SELECT count(*) FROM users WHERE full_name IN ('older', 'newer', 'old', 'new')": "6", NOT_NULL.format("full_name"): "True",
         "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'name'": "0", "SELECT count(*) FROM pg_trigger": "0"},
        ["--bridge-renames"], pre=2, back="ALTER TABLE users RENAME COLUMN full_name TO name;\n",
        seen={"SELECT count(*) FROM users WHERE name IS DISTINCT FROM full_name": "0", "SELECT count(*) FROM users WHERE full_name IN ('older', 'newer', 'old', 'new')": "4",
              "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'full_name'": "{=w/postgres}"}),
    "rename_table": Row(
        "ALTER TABLE users RENAME TO people;\n",
        (*OLD, "SELECT 1 / count(*) FROM information_schema.role_table_grants WHERE table_name = 'users' AND grantee = 'PUBLIC'"), ("INSERT INTO people (name, email) VALUES ('new', 'n')", "SELECT name FROM people"),
        {"SELECT count(*) FROM pg_class WHERE relname = 'users'": "0", "SELECT count(*) FROM people WHERE name IN ('old', 'new')": "4"},
        ["--bridge-renames"], back="ALTER TABLE people RENAME TO users;\n"),
    "change_type": Row(
        "ALTER TABLE users ALTER COLUMN age TYPE bigint;\n",
        OLD, ("INSERT INTO users (name, email, age) VALUES ('new', 'n', 8)", "SELECT age FROM users"),
        {"SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'": "bigint",
         "SELECT sum(age) FROM users WHERE name LIKE 'u%'": str(3000 * 3001 // 2), "SELECT count(*) FROM users WHERE age = 8": "3",
         "SELECT attacl::text FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'": "{=w/postgres}",
         "SELECT col_description('users'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'": "in years"},
        pre=2, back="ALTER TABLE users ALTER COLUMN age TYPE int;\n"),
    "change_type_of_a_column_with_a_default": Row(
        "ALTER TABLE users ALTER COLUMN customer TYPE bigint;\n",
        OLD, ("INSERT INTO users (name, email) VALUES ('new', 'n')", "SELECT customer FROM users"),
        {"SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'customer'": "bigint",
         DEFAULT.format("customer"): "1", "SELECT count(*) FROM users WHERE name = 'new' AND customer = 7": "2"}, pre=2),
    "change_type_with_using": Row(
        "ALTER TABLE users ALTER COLUMN email TYPE int USING length(users.email) + length(name);\n",
        OLD, ("INSERT INTO users (name, email) VALUES ('new', '8')", "SELECT email FROM users"),
        {"SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'": "integer",
         "SELECT email FROM users WHERE name = 'u10'": "6", NOT_NULL.format("email"): "True"}, pre=2, post=3),
    "volatile_default": Row(
        "ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();\n",
        OLD, ("INSERT INTO users (name, email) VALUES ('new', 'n')", "SELECT token FROM users"),
        {"SELECT count(*) FROM users WHERE token IS NULL": "0", "SELECT count(*) - count(DISTINCT token) FROM users": "0", DEFAULT.format("token"): "1"},
        pre=2, post=0, back="ALTER TABLE users DROP COLUMN token;\n"),
    "add_not_null_with_a_bridging_default_per_row": Row(
        "ALTER TABLE users ADD COLUMN token uuid NOT NULL;\n",
        OLD, ("INSERT INTO users (name, email, token) VALUES ('new', 'n', gen_random_uuid())", "SELECT token FROM users"),
        {"SELECT count(*) - count(DISTINCT token) FROM users": "0", NOT_NULL.format("token"): "True", DEFAULT.format("token"): "0"},
        ["--default", "token=gen_random_uuid()"], pre=2, post=3, back="ALTER TABLE users DROP COLUMN token;\n"),
    "volatile_default_with_a_check": Row(
        "ALTER TABLE users ADD COLUMN part int NOT NULL CHECK (part >= 0) DEFAULT floor(random() * 10);\n",
        OLD, ("INSERT INTO users (name, email, part) VALUES ('new', 'n', 3)", "SELECT part FROM users"),
        {"SELECT convalidated FROM pg_constraint WHERE conname = 'users_part_check'": "True", NOT_NULL.format("part"): "True", INVALID: "0"},
        pre=2, post=3, back="ALTER TABLE users DROP COLUMN part;\n"),
    "volatile_default_not_null_and_unique": Row(
        "ALTER TABLE users ADD COLUMN token uuid NOT NULL UNIQUE DEFAULT gen_random_uuid();\n",
        OLD, ("INSERT INTO users (name, email) VALUES ('new', 'n')", "SELECT token FROM users"),
        {"SELECT count(*) - count(DISTINCT token) FROM users": "0", NOT_NULL.format("token"): "True", INVALID: "0"},
        pre=4, post=3, back="ALTER TABLE users DROP COLUMN token;\n", seen_again={NOT_NULL.format("token"): "False"}),
}


def halves(site: Site) -> List[str]:
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(site.dir, "*.sql")))


class SplitCase(CliTest):
    def file(self, site: Site, name: str = "0002_change.sql") -> str:
        return os.path.join(site.dir, name)

    def split(self, site: Site, *arguments: str, name: str = "0002_change.sql") -> Ended:
        return syzygy("split", os.path.join(site.dir, name), *arguments)

    def run_all(self, site: Site, what: str, statements: Sequence[str]) -> None:
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            for statement in statements:
                try:
                    connection.execute(statement)
                except Exception as error:
                    self.fail(f"{what}: {statement}: {error}\n{self.texts(site)}")

    def value(self, site: Site, query: str) -> str:
        with self.postgres.connect(site.database.rsplit("/", 1)[1]) as connection:
            row = connection.execute(query).fetchone()
            return str(row[0]) if row else ""

    def texts(self, site: Site) -> str:
        return "".join(f"--- {name}\n{self.text(site, name)}" for name in halves(site))

    def text(self, site: Site, name: str) -> str:
        with open(os.path.join(site.dir, name), encoding="utf-8") as file:
            return file.read()

    def applies(self, site: Site, *arguments: str) -> None:
        done = site.alone(*arguments)
        self.assertEqual(done.code, 0, done.err + self.texts(site))

    def prove(self, site: Site, row: Row) -> None:
        """Splits `row.change` above what the site holds, and runs old and new code beside both halves and the way back."""
        self.applies(site)
        site.write(m0002_change=row.change + (f"\n-- syzygy:down\n{row.back}" if row.back else ""))
        done = self.split(site, *row.arguments)
        self.assertEqual(done.code, 0, done.err)
        stages = [self.text(site, name) for name in halves(site)[1:]]
        counts = (sum("-- syzygy:stage pre_deploy" in text for text in stages), sum("-- syzygy:stage post_deploy" in text for text in stages))
        self.assertEqual(counts, (row.pre, row.post), self.texts(site))
        self.harmless(site)
        if row.pre:
            self.applies(site, "--pre-deploy")
        self.run_all(site, "old code between the halves", row.old)
        self.run_all(site, "new code between the halves", row.new)
        for query, wanted in row.seen.items():
            self.assertEqual(self.value(site, query), wanted, query + "\n" + self.texts(site))
        for statement in row.kept_out:
            with self.assertRaises(Exception, msg=statement):
                self.value(site, statement + " RETURNING 1")
        if row.pre:
            self.run_all(site, "old code beside the new one", row.old)
        self.applies(site)
        self.run_all(site, "new code after both", row.new)
        for query, wanted in row.after.items():
            self.assertEqual(self.value(site, query), wanted, query + "\n" + self.texts(site))
        self.nothing_left(site)
        if row.back and row.pre and row.post:
            self.applies(site, "--revert-to", f"{1 + row.pre:04}")
            self.run_all(site, "old code after the way back to between the halves", row.old[:2])
            self.run_all(site, "new code after the way back to between the halves", row.new)
            for query, wanted in row.seen_again.items():
                self.assertEqual(self.value(site, query), wanted, query + "\n" + self.texts(site))
            self.applies(site)
        if row.back:
            self.applies(site, "--revert-to", "0001")
            self.run_all(site, "old code after the way back", row.old[:2])
            self.nothing_left(site)
            for query, wanted in row.seen_back.items():
                self.assertEqual(self.value(site, query), wanted, query + "\n" + self.texts(site))

    def harmless(self, site: Site) -> None:
        """What the linter, whose claims are held against PostgreSQL, would say against a half."""

    def nothing_left(self, site: Site) -> None:
        pass


class SplitTest(SplitCase):
    def row(self, row: Row) -> None:
        site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\n" + BASE)
        self.prove(site, row)

    def harmless(self, site: Site) -> None:
        for finding in json.loads(syzygy("lint", site.dir, "--output", "json").out)["findings"]:
            told = finding["group"] in ("blocks", "rewrites", "cannot work") and finding["severity"] == "error" and finding["migration"] != "0001"
            self.assertFalse(told, f"{finding}\n{self.texts(site)}")

    def nothing_left(self, site: Site) -> None:
        ours = "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'syzygy%')"
        self.assertEqual(self.value(site, ours), "0")

    def test_a_split_migration_has_nothing_left_to_split(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="ALTER TABLE users ADD COLUMN phone text NOT NULL;\n")
        self.assertEqual(self.split(site, "--default", "''").code, 0)
        for name in halves(site)[1:]:
            again = self.split(site, "--check", name=name)
            self.assertEqual(again.code, 0, name + again.err + self.texts(site))

    def test_indexes_are_built_and_dropped_concurrently(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="CREATE INDEX \"By Name\" ON users (name);\nDROP INDEX users_note;\n")
        self.assertEqual(self.split(site).code, 0)
        made, dropped = self.text(site, "0002_change.sql"), self.text(site, "0003_change_post_deploy.sql")
        for text in made, dropped:
            self.assertIn("-- syzygy:no-transaction\n", text)
        self.assertIn("CREATE INDEX CONCURRENTLY \"By Name\" ON users", made)
        self.assertIn("DROP INDEX CONCURRENTLY users_note;", dropped)

    def test_a_change_of_type_stops_where_something_would_be_lost_that_the_files_do_not_know(self) -> None:
        noop = "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        for by_hand, named in ((["CREATE INDEX by_age ON users (age)"], "index by_age"), (["CREATE STATISTICS about_age ON age, name FROM users"], "statistics object about_age"),
                               ([noop, "CREATE TRIGGER on_age AFTER UPDATE OF age ON users EXECUTE FUNCTION noop()"], "trigger on_age on table users"),
                               (["ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) STORED"], "column twice of table users")):  # fmt: skip
            with self.subTest(named):
                site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\n" + BASE)
                self.applies(site)
                self.run_all(site, "by hand", by_hand)
                site.write(m0002_change="ALTER TABLE users ALTER COLUMN age TYPE bigint;\n")
                self.assertEqual(self.split(site).code, 0)
                done = site.alone("--pre-deploy")
                self.assertEqual(done.code, 80, done.err)
                self.assertIn(f"{named} depends on column age of users, and would be lost with it", done.err)
                self.run_all(site, "old code", OLD)

    def test_a_change_of_type_where_nothing_is_known_of_the_column(self) -> None:
        site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\nSELECT 1;")
        self.run_all(site, "by hand", [BASE])
        self.applies(site)
        site.write(m0002_change="ALTER TABLE users ALTER COLUMN customer TYPE bigint;\n")
        self.assertEqual(self.split(site).code, 0)
        self.applies(site)
        self.assertEqual(self.value(site, DEFAULT.format("customer")), "1")

    WIDE = """-- syzygy:stage pre_deploy
CREATE TABLE wide (id int PRIMARY KEY, name text) WITH (fillfactor = 10);
INSERT INTO wide SELECT n, 'u' || n FROM generate_series(1, 12000) AS n;
"""

    def backfill_of(self, site: Site) -> str:
        (name,) = [name for name in halves(site) if "batch CONSTANT" in self.text(site, name)]
        return self.text(site, name)

    def test_a_backfill_fills_every_page_in_several_transactions_and_can_be_run_again(self) -> None:
        site = self.site(True, m0001_base=self.WIDE)
        self.applies(site)
        self.assertGreater(int(self.value(site, "SELECT pg_relation_size('wide') / 8192")), 450)
        site.write(m0002_change="ALTER TABLE wide ADD COLUMN token uuid DEFAULT gen_random_uuid();\n")
        self.assertEqual(self.split(site).code, 0)
        self.applies(site)
        self.assertEqual(self.value(site, "SELECT count(*) FROM wide WHERE token IS NULL"), "0")
        self.assertGreater(int(self.value(site, "SELECT count(DISTINCT xmin::text) FROM wide")), 2)
        tokens = "SELECT md5(string_agg(token::text, ',' ORDER BY id)) FROM wide"
        before = self.value(site, tokens)
        self.run_all(site, "again", [self.backfill_of(site)])
        self.assertEqual(self.value(site, tokens), before)

    def test_a_backfill_fills_rows_that_old_code_moves_behind_its_back(self) -> None:
        site = self.site(True, m0001_base=self.WIDE.replace(" WITH (fillfactor = 10)", "").replace("'u' || n", "repeat('u', 700)").replace("12000", "11990") + "DELETE FROM wide WHERE id <= 100;\n")
        self.applies(site)
        self.run_all(site, "room in the first page", ["VACUUM (INDEX_CLEANUP ON) wide"])
        site.write(m0002_change="ALTER TABLE wide ADD COLUMN token uuid DEFAULT gen_random_uuid();\n")
        self.assertEqual(self.split(site).code, 0)
        text = self.backfill_of(site)
        name = site.database.rsplit("/", 1)[1]
        with self.postgres.connect(name) as ours, self.postgres.connect(name) as old_code:
            ours.execute("ALTER TABLE wide ADD COLUMN token uuid")
            last = "SELECT id, (ctid::text::point)[0]::int FROM wide WHERE id = 11900"
            page = old_code.execute(last).fetchone()
            old_code.execute("BEGIN")
            old_code.execute("UPDATE wide SET name = repeat('x', 700) WHERE id = 11900")  # there is no room for it where it stands
            moved = old_code.execute(last).fetchone()
            assert page and moved
            self.assertLess(moved[1], 200, "the row did not move to the first pages")
            self.assertGreater(page[1], 400)
            running = threading.Thread(target=lambda: ours.execute(text))
            running.start()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            wait_until("the backfill waits for the row", lambda: self.value(site, waits) == "1", 30)
            old_code.execute("COMMIT")
            running.join(60)
        self.assertEqual(self.value(site, "SELECT count(*) FROM wide WHERE token IS NULL"), "0")

    def test_a_backfill_reaches_the_partitions(self) -> None:
        base = ("-- syzygy:stage pre_deploy\nCREATE TABLE wide (id int, name text) PARTITION BY RANGE (id);\nCREATE TABLE wide_1 PARTITION OF wide FOR VALUES FROM (0) TO (100000) "
                "WITH (fillfactor = 10);\nINSERT INTO wide SELECT n, 'u' || n FROM generate_series(1, 12000) AS n;\n")  # fmt: skip
        site = self.site(True, m0001_base=base)
        self.applies(site)
        site.write(m0002_change="ALTER TABLE wide ADD COLUMN token uuid DEFAULT gen_random_uuid();\n")
        self.assertEqual(self.split(site).code, 0)
        self.applies(site)
        self.assertEqual(self.value(site, "SELECT count(*) FROM wide WHERE token IS NULL"), "0")
        self.assertGreater(int(self.value(site, "SELECT count(DISTINCT xmin::text) FROM wide")), 2)

    def test_names_that_need_quotes_in_a_schema_that_is_not_searched(self) -> None:
        table, columns = '"My App"."User\'s Li%t"', '"Full Name", "E%Mail", "order", "Group"'
        base = (f'-- syzygy:stage pre_deploy\nCREATE SCHEMA "My App";\nCREATE TABLE "My App"."Groups" (id int PRIMARY KEY);\nCREATE TABLE {table} (id int PRIMARY KEY, "Full Name" text NOT NULL, '
                f'"E%Mail" text NOT NULL DEFAULT \'x\'\'%\', "order" int, "Group" int);\nINSERT INTO "My App"."Groups" VALUES (1);\n'
                f'INSERT INTO {table} (id, "Full Name", "order", "Group") SELECT n, \'n\' || n, n, 1 FROM generate_series(1, 100) AS n;\nGRANT SELECT ON {table} TO PUBLIC;\n'
                f'GRANT UPDATE ("E%Mail") ON {table} TO PUBLIC;\nCOMMENT ON COLUMN {table}."E%Mail" IS \'100 %\';\n')  # fmt: skip
        site = self.site(True, m0001_base=base)
        self.applies(site)
        alter = f"ALTER TABLE {table} "
        changes: Sequence[Tuple[str, Sequence[str]]] = (
            (alter + 'ADD COLUMN "New 1" int NOT NULL;', ["--default", "5"]),
            (alter + 'ADD COLUMN "To%ken" uuid NOT NULL UNIQUE DEFAULT gen_random_uuid();', []),
            (alter + 'ALTER COLUMN "order" SET NOT NULL;', []),
            (alter + 'ADD CONSTRAINT "Its Group" FOREIGN KEY ("Group") REFERENCES "My App"."Groups" (id);', []),
            (alter + 'ADD CONSTRAINT "Pos%itive" CHECK ("order" > 0);', []),
            (alter + 'ADD CONSTRAINT "One Name" UNIQUE ("Full Name") INCLUDE ("order");', ["--stage", "pre_deploy"]),
            (f'CREATE INDEX "By Group" ON {table} ("Group");', []),
            ('DROP INDEX "My App"."By Group";\nCREATE TABLE "My App"."Other" (id int);', []),
            (alter + 'DROP COLUMN "New 1";', ["--default", '"New 1"=7']),
            (alter + 'ALTER COLUMN "E%Mail" TYPE varchar(50);', []),
            (alter + 'RENAME COLUMN "E%Mail" TO "Mail\'s";', ["--bridge-renames"]),
            (alter + 'RENAME TO "Li%t";', ["--bridge-renames"]),
        )
        for number, (change, arguments) in enumerate(changes, 1):
            name = f"{10 * number:04}_change.sql"
            site.write(**{"m" + name[:-4]: change})
            done = self.split(site, *arguments, name=name)
            self.assertEqual(done.code, 0, change + done.err)
            self.applies(site, "--pre-deploy")
            self.run_all(site, "between the halves of " + change, [f"SELECT id, {columns.replace('E%Mail', 'Mail' + chr(39) + 's') if number > 11 else columns} FROM {table}",
                                                                   f'UPDATE {table} SET "Full Name" = "Full Name"'])  # fmt: skip
            self.applies(site)
        column = "FROM pg_attribute WHERE attrelid = '\"My App\".\"Li%t\"'::regclass AND attname = 'Mail''s'"
        self.assertEqual(self.value(site, "SELECT format_type(atttypid, atttypmod) " + column), "character varying(50)")
        self.assertEqual(self.value(site, "SELECT col_description(attrelid, attnum) " + column), "100 %")
        self.assertEqual(self.value(site, "SELECT attacl::text " + column), "{=w/postgres}")
        self.assertEqual(self.value(site, "SELECT attnotnull " + column), "True")
        self.assertEqual(self.value(site, 'SELECT count(*) FROM "My App"."Li%t" WHERE "Mail\'\'s" = \'x\'\'%\''.replace("Mail''s", "Mail's")), "100")
        self.assertEqual(self.value(site, INVALID), "0")
        self.nothing_left(site)

    def test_a_comment_goes_with_what_it_is_about(self) -> None:
        change = "CREATE TABLE other (id int);\nALTER TABLE users DROP COLUMN note;\nCOMMENT ON TABLE users IS 'without notes';\nCOMMENT ON TABLE other IS 'new';\n"
        site = self.site(m0001_base=BASE, m0002_change=change)
        self.assertEqual(self.split(site).code, 0)
        self.assertIn("'new'", self.text(site, "0002_change.sql"))
        self.assertIn("'without notes'", self.text(site, "0003_change_post_deploy.sql"))

    def test_the_right_to_grant_goes_along(self) -> None:
        site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\n" + BASE + "DO $$ BEGIN CREATE ROLE \"The Clerk\"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n"
                         "GRANT SELECT ON users TO \"The Clerk\" WITH GRANT OPTION;\n")  # fmt: skip
        self.applies(site)
        site.write(m0002_change="ALTER TABLE users RENAME TO people;\n")
        self.assertEqual(self.split(site, "--bridge-renames").code, 0)
        self.applies(site, "--pre-deploy")
        self.assertEqual(self.value(site, "SELECT has_table_privilege('The Clerk', 'users', 'SELECT WITH GRANT OPTION')"), "True")

    def test_looking_writes_nothing(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="ALTER TABLE users ADD COLUMN phone text NOT NULL;\n")
        before = self.texts(site)
        shown = self.split(site, "--diff", "--default", "phone=''")
        self.assertEqual(shown.code, 0, shown.err)
        self.assertIn("+++ " + os.path.join(site.dir, "0003_change_post_deploy.sql"), shown.out)
        self.assertIn("+ALTER TABLE users ALTER COLUMN phone DROP DEFAULT;", shown.out)
        self.assertIn("-ALTER TABLE users ADD COLUMN phone text NOT NULL;", shown.out)
        checked = self.split(site, "--check", "--default", "phone=''")
        self.assertEqual(checked.code, 1, checked.err)
        self.assertIn("1 pre_deploy, 1 post_deploy", checked.err)
        self.assertEqual(self.texts(site), before)

    def test_what_a_file_holds_never_reaches_a_terminal_as_an_escape(self) -> None:
        name = '"a\x1b[31m\x9bb"'
        change = f"ALTER TABLE users ADD COLUMN {name} text NOT NULL;\nALTER TABLE users DROP COLUMN {name[:-1]}c\";\nCREATE INDEX {name} ON users (name);\n"
        site = self.site(m0001_base=BASE, m0002_change=change)
        for arguments in (("split", self.file(site)), ("split", self.file(site), "--check", "--default", "''"), ("plan", site.dir), ("lint", site.dir),
                          ("plan", site.dir, "--pre-deploy"), ("lint", site.dir, "--output", "github")):  # fmt: skip
            with self.subTest(arguments):
                done = syzygy(*arguments)
                self.assertIn("[31m", done.out + done.err)
                for bad in "\x1b\x9b":
                    self.assertNotIn(bad, done.out + done.err)
        self.assertIn("\x1b[31m", self.split(site, "--diff", "--default", "''").out)  # a file gets every byte
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        with os.fdopen(slave, "w") as terminal:
            done_there = subprocess.run([os.environ["SYZYGY"], "split", self.file(site), "--diff", "--default", "''"], stdout=terminal, stderr=subprocess.DEVNULL, timeout=60)
        self.assertEqual(done_there.returncode, 0)
        seen = os.read(master, 65536).decode()
        self.assertIn("[31m", seen)
        self.assertNotIn("\x1b", seen)
        self.assertNotIn("\x9b", seen)

    def test_what_needs_no_splitting_is_left_alone(self) -> None:
        for change in ("ALTER TABLE users ADD COLUMN phone text;", "ALTER TABLE users DROP COLUMN note;", "CREATE TABLE other (id int); CREATE INDEX ON other (id);",
                       "ALTER TABLE users ADD COLUMN level int NOT NULL DEFAULT 3;", "ALTER TABLE users ALTER COLUMN note TYPE varchar;"):  # fmt: skip
            with self.subTest(change):
                site = self.site(m0001_base=BASE, m0002_change=change)
                done = self.split(site)
                self.assertEqual(done.code, 0, done.err)
                self.assertIn("nothing to split", done.err)
                self.assertEqual(self.text(site, "0002_change.sql"), change)

    def test_what_is_proved_already_is_not_proved_again(self) -> None:
        change = "ALTER TABLE users ALTER COLUMN age SET NOT NULL;"
        site = self.site(m0001_base=BASE + "ALTER TABLE users ADD CONSTRAINT aged CHECK (age IS NOT NULL);\n", m0002_change=change)
        done = self.split(site)
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("nothing to split", done.err)
        self.assertEqual(self.text(site, "0002_change.sql"), change)

    def test_what_is_refused_comes_with_its_recipe(self) -> None:
        for change, says in (
            ("ALTER TABLE users ADD COLUMN phone text NOT NULL;", "--default phone="),
            ("ALTER TABLE users RENAME COLUMN name TO full_name;", "--bridge-renames"),
            ("ALTER TABLE users RENAME TO people;", "--bridge-renames"),
            ("ALTER TABLE users ADD UNIQUE (email);", "--stage pre_deploy or --stage post_deploy"),
            ("CREATE UNIQUE INDEX ON users (email);", "--stage pre_deploy or --stage post_deploy"),
            ("ALTER TABLE users ALTER COLUMN id TYPE bigint;", "ADD PRIMARY KEY USING INDEX"),
            ("ALTER TABLE customers DROP COLUMN id;", "which is part of the primary key"),
            ("UPDATE users SET age = 1;", "--stage pre_deploy or --stage post_deploy"),
            ("ALTER TABLE users DROP COLUMN note;\nALTER TABLE users ADD COLUMN note int;", "both name table users"),
        ):  # fmt: skip
            with self.subTest(change):
                site = self.site(m0001_base=BASE, m0002_change=change)
                done = self.split(site)
                self.assertEqual(done.code, 65, done.err)
                self.assertIn("0002_change.sql:", done.err)
                self.assertIn(says, done.err)
                self.assertEqual(halves(site), ["0001_base.sql", "0002_change.sql"])

    def test_one_default_for_all_is_no_answer_for_a_unique_column(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="ALTER TABLE users ADD COLUMN code text NOT NULL UNIQUE;")
        done = self.split(site, "--default", "code='x'")
        self.assertEqual(done.code, 65, done.err)
        self.assertIn("fails at the second row", done.err)

    def test_comments_and_formatting_stay_byte_for_byte(self) -> None:
        drop = "/* nobody reads it */ ALTER  TABLE users\n    DROP COLUMN note; -- really\n"
        create = "\n-- the new one\nCREATE   TABLE other (\n  id int -- its key\n);\n"
        site = self.site(m0001_base=BASE, m0002_change="-- Ticket 12.\n\n" + drop + create + "-- end\n")
        self.assertEqual(self.split(site, "--organize").code, 0)
        self.assertEqual(halves(site)[1:], ["0002_change.sql", "0003_change_post_deploy.sql"])
        self.assertEqual(self.text(site, "0002_change.sql"), "-- syzygy:stage pre_deploy\n-- Ticket 12.\n\n" + create)
        self.assertEqual(self.text(site, "0003_change_post_deploy.sql"), "-- syzygy:stage post_deploy\n" + drop + "-- end\n")

    def test_line_ends_of_the_file_are_kept(self) -> None:
        site = self.site(m0001_base=BASE)
        with open(os.path.join(site.dir, "0002_change.sql"), "w", newline="") as file:
            file.write("CREATE TABLE a (id int);\r\nALTER TABLE users DROP COLUMN note;\r\n")
        self.assertEqual(self.split(site, "--organize").code, 0)
        for name in halves(site)[1:]:
            with open(os.path.join(site.dir, name), newline="") as file:
                text = file.read()
            self.assertEqual(text.count("\n"), text.count("\r\n"), name)

    def test_organize_rewrites_nothing(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="ALTER TABLE users ALTER COLUMN age SET NOT NULL;\nCREATE INDEX other ON customers (id);\n")
        self.assertEqual(self.split(site, "--organize").code, 0)
        self.assertIn("\nCREATE INDEX other ON customers (id);\n", self.text(site, "0002_change.sql"))
        self.assertIn("\nALTER TABLE users ALTER COLUMN age SET NOT NULL;\n", self.text(site, "0003_change_post_deploy.sql"))

    def test_settings_go_where_what_follows_them_goes(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="SET lock_timeout = '1s';\nCREATE TABLE a (id int);\nALTER TABLE users DROP COLUMN note;\n")
        self.assertEqual(self.split(site).code, 0)
        for name in halves(site)[1:]:
            self.assertEqual(self.text(site, name).count("SET lock_timeout = '1s';"), 1, name)

    def test_a_later_migration_keeps_its_place(self) -> None:
        change = "ALTER TABLE users ADD COLUMN phone text NOT NULL;\n"
        site = self.site(m0001_base=BASE, m0002_change=change, m0003_other="CREATE TABLE other (id int);")
        self.assertEqual(self.split(site, "--default", "phone=''").code, 0)
        self.assertIn("0004_change_post_deploy.sql", halves(site))
        tied = self.site(m0001_base=BASE, m0002_change=change, m0003_other="ALTER TABLE users ADD COLUMN x int;")
        done = self.split(tied, "--default", "phone=''")
        self.assertEqual(done.code, 65, done.err)
        self.assertIn("0003_other.sql", done.err)
        self.assertIn("table users", done.err)

    def test_what_a_database_has_applied_is_not_split(self) -> None:
        site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\n" + BASE, m0002_change="ALTER TABLE users DROP COLUMN email;\n")
        self.applies(site)
        done = self.split(site, "--database", site.database)
        self.assertEqual(done.code, 65, done.err)
        self.assertIn("is applied in that database already", done.err)

    def test_the_catalogue_says_what_the_files_do_not(self) -> None:
        site = self.site(True, m0001_base="-- syzygy:stage pre_deploy\n" + BASE)
        self.applies(site)
        alone = self.site(m0002_change="ALTER TABLE users RENAME COLUMN name TO full_name;\n")
        refused = self.split(alone, "--bridge-renames")
        self.assertEqual(refused.code, 65, refused.err)
        self.assertIn("give --database", refused.err)
        done = self.split(alone, "--bridge-renames", "--database", site.database)
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("ADD COLUMN full_name text", self.text(alone, "0002_change.sql"))

    def test_an_interrupted_split_is_seen_and_finished(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="ALTER TABLE users DROP COLUMN note;\n")
        os.mkdir(os.path.join(site.dir, ".syzygy-split"))
        with open(os.path.join(site.dir, ".syzygy-split", "0003_rest.sql"), "w") as file:
            file.write("SELECT 1;\n")
        seen = syzygy("plan", site.dir)
        self.assertEqual(seen.code, 65, seen.err)
        self.assertIn("syzygy split --finish", seen.err)
        done = syzygy("split", "--finish", site.dir)
        self.assertEqual(done.code, 0, done.err)
        self.assertEqual(halves(site), ["0001_base.sql", "0002_change.sql", "0003_rest.sql"])
        self.assertFalse(os.path.exists(os.path.join(site.dir, ".syzygy-split")))
        self.assertEqual(syzygy("split", "--finish", site.dir).code, 0)

    def test_bad_input(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="SELECT 1;")
        for arguments, says in (((), "file is missing"), (("--finish", "/nowhere"), "is no directory"), (("/nowhere.sql",), "is not there"), ((site.dir,), "is a directory"),
                                ((os.path.join(site.dir, "0002_change.sql"), "--check", "--diff"), "exclude each other"),
                                ((os.path.join(site.dir, "0002_change.sql"), "--default", "a="), "gives no expression")):  # fmt: skip
            with self.subTest(says):
                done = syzygy("split", *arguments)
                self.assertEqual(done.code, 2, done.err)
                self.assertIn(says, done.err)


class FormatsTest(SplitCase):
    """The halves as each format's files, which are read again as that format and applied."""

    CHANGE = "ALTER TABLE users ADD COLUMN token uuid NOT NULL UNIQUE DEFAULT gen_random_uuid();\n"
    BACK = "ALTER TABLE users DROP COLUMN token;\n"

    def directory(self, name: str, files: Dict[str, str], change: str, count: int) -> Site:
        site = self.site(True)
        for file, text in files.items():
            with open(os.path.join(site.dir, file), "w") as out:
                out.write(text)
        done = self.split(site, name=change)
        self.assertEqual(done.code, 0, done.err)
        plan = syzygy("plan", site.dir, "--format", name)
        self.assertEqual(plan.code, 0, plan.err + plan.out + self.texts(site))
        self.assertEqual(plan.out.count("in a transaction") + plan.out.count("outside a transaction"), count, plan.out)
        self.applies(site, "--pre-deploy")
        self.run_all(site, "between", ["INSERT INTO users (name, email) VALUES ('o', 'o')", "SELECT token FROM users"])
        self.applies(site)
        self.assertEqual(self.value(site, NOT_NULL.format("token")), "True")
        return site

    def test_golang_migrate(self) -> None:
        site = self.directory("golang-migrate", {"1_base.up.sql": "-- syzygy:stage pre_deploy\n" + BASE, "1_base.down.sql": "DROP TABLE users, customers;",
                              "2_token.up.sql": self.CHANGE, "2_token.down.sql": self.BACK}, "2_token.up.sql", 8)  # fmt: skip
        self.assertIn("6_token_post_deploy.down.sql", halves(site))
        self.applies(site, "--revert-to", "1")

    def test_goose(self) -> None:
        site = self.directory("goose", {"00001_base.sql": "-- +goose Up\n-- syzygy:stage pre_deploy\n" + BASE,
                              "00002_token.sql": f"-- +goose Up\n{self.CHANGE}\n-- +goose Down\n{self.BACK}"}, "00002_token.sql", 8)  # fmt: skip
        self.assertIn("-- +goose NO TRANSACTION\n-- +goose Up\n", self.text(site, "00003_token_pre_deploy_2.sql"))
        self.assertIn("-- +goose StatementBegin\nDO ", self.text(site, "00003_token_pre_deploy_2.sql"))
        self.applies(site, "--revert-to", "1")

    def test_dbmate(self) -> None:
        site = self.directory("dbmate", {"20240101000000_base.sql": "-- migrate:up\n-- syzygy:stage pre_deploy\n" + BASE + "-- migrate:down\n",
                              "20240101000100_token.sql": f"-- migrate:up\n{self.CHANGE}\n-- migrate:down\n{self.BACK}"}, "20240101000100_token.sql", 8)  # fmt: skip
        self.assertIn("-- migrate:up transaction:false\n", self.text(site, "20240101000101_token_pre_deploy_2.sql"))
        self.applies(site, "--revert-to", "20240101000000")

    def test_flyway(self) -> None:
        site = self.directory("flyway", {"V1__base.sql": "-- syzygy:stage pre_deploy\n" + BASE, "V2__token.sql": self.CHANGE, "U2__token.sql": self.BACK,
                              "V3__other.sql": "CREATE TABLE other (id int);"}, "V2__token.sql", 9)  # fmt: skip
        self.assertIn("V2.1__token_pre_deploy_2.sql", halves(site))
        with open(os.path.join(site.dir, "V2.1__token_pre_deploy_2.sql.conf")) as file:
            self.assertEqual(file.read(), "executeInTransaction=false\n")

    def test_atlas_with_its_checksums(self) -> None:
        files = {"20240101000000_base.sql": "-- syzygy:stage pre_deploy\n" + BASE, "20240101000100_token.sql": self.CHANGE}
        running, of_all, lines = hashlib.sha256(), hashlib.sha256(), []
        for name, text in files.items():
            running.update((name + text).encode())
            hashed = base64.b64encode(running.digest()).decode()
            of_all.update((name + hashed).encode())
            lines.append(f"{name} h1:{hashed}\n")
        files["atlas.sum"] = f"h1:{base64.b64encode(of_all.digest()).decode()}\n" + "".join(lines)
        site = self.directory("atlas", files, "20240101000100_token.sql", 8)
        self.assertTrue(self.text(site, "20240101000101_token_pre_deploy_2.sql").startswith("-- atlas:txmode none\n\n"))

    def test_a_way_back_in_a_file_of_its_own(self) -> None:
        site = self.site(m0001_base=BASE, m0002_change="CREATE TABLE a (id int);\nALTER TABLE users DROP COLUMN note;\n")
        with open(os.path.join(site.dir, "0002_change.down.sql"), "w") as file:
            file.write("ALTER TABLE users ADD COLUMN note text;\nDROP TABLE a;\n")
        self.assertEqual(self.split(site).code, 0)
        self.assertEqual(self.text(site, "0002_change.down.sql"), "DROP TABLE a;\n")
        self.assertEqual(self.text(site, "0003_change_post_deploy.down.sql"), "ALTER TABLE users ADD COLUMN note text;\n")


SQLITE_BASE = """CREATE TABLE customers (id INTEGER PRIMARY KEY);
CREATE TABLE users (id INTEGER PRIMARY KEY, name text NOT NULL, email text NOT NULL, age int, note text DEFAULT '-' NOT NULL);
CREATE INDEX users_note ON users (note);
INSERT INTO users (name, email, age) VALUES ('u1', 'e1', 1), ('u2', 'e2', 2);
"""
REBUILD = """CREATE TABLE new__users ({0});
INSERT INTO new__users ({1}) SELECT {1} FROM users;
DROP TABLE users;
ALTER TABLE new__users RENAME TO users;
CREATE INDEX users_note ON users (note);
"""
SAME = "id INTEGER PRIMARY KEY, name text NOT NULL, email text NOT NULL, "
OLD_SQLITE = (OLD_INSERT, "SELECT id, name, email, age, note FROM users")
SQLITE_ROWS = {
    "add_not_null_without_a_default": Row(
        "ALTER TABLE users ADD COLUMN phone text NOT NULL;\nDROP INDEX users_note;\n",
        OLD_SQLITE, ("INSERT INTO users (name, email, phone) VALUES ('new', 'n', '1')", "SELECT phone FROM users"),
        {"SELECT phone FROM users WHERE name = 'u1'": "it's", "SELECT count(*) FROM sqlite_master WHERE name = 'users_note'": "0"}, ["--default", "phone='it''s'"]),
    "drop_a_nullable_column": Row(
        "CREATE TABLE other (id int);\nALTER TABLE users DROP COLUMN age;\n",
        OLD_SQLITE, ("INSERT INTO users (name, email) VALUES ('new', 'n')", "SELECT * FROM other"),
        {"SELECT count(*) FROM pragma_table_info('users') WHERE name = 'age'": "0"}, back="DROP TABLE other;\nALTER TABLE users ADD COLUMN age int;\n"),
    "drop_a_not_null_column_with_a_default": Row(
        "CREATE TABLE other (id int);\nDROP INDEX users_note;\nALTER TABLE users DROP COLUMN note;\n",
        OLD_SQLITE, ("INSERT INTO users (name, email) VALUES ('new', 'n')",), {"SELECT count(*) FROM pragma_table_info('users') WHERE name = 'note'": "0"}),
    "a_unique_index": Row(
        "CREATE TABLE other (id int);\nCREATE UNIQUE INDEX one_email ON users (email);\n",
        (*OLD_SQLITE, "DELETE FROM users WHERE name = 'old'"), ("INSERT INTO users (name, email) VALUES ('new', 'n' || random())",),
        {"SELECT count(*) FROM sqlite_master WHERE name = 'one_email'": "1"}, ["--stage", "post_deploy"]),
    "a_rebuild_for_old_code": Row(
        "CREATE TABLE other (id int);\nDROP TABLE customers;\n" + REBUILD.format(SAME + "age int, note text DEFAULT '-', level int NOT NULL DEFAULT 3", "id, name, email, age, note"),
        OLD_SQLITE, ("INSERT INTO users (name, email, note, level) VALUES ('new', 'n', NULL, 4)", "SELECT level FROM users"),
        {"SELECT level FROM users WHERE name = 'u1'": "3", "SELECT count(*) FROM sqlite_master WHERE name = 'customers'": "0"}),
    "a_rebuild_for_new_code": Row(
        "CREATE TABLE other (id int);\n" + REBUILD.format(SAME + "age int CHECK (age > 0), note text DEFAULT '-' NOT NULL REFERENCES customers (id)", "id, name, email, age, note"),
        (*OLD_SQLITE, "INSERT INTO users (name, email, age) VALUES ('old', 'o', -1)", "DELETE FROM users WHERE age < 0"),
        ("INSERT INTO users (name, email, age) VALUES ('new', 'n', 1)", "SELECT * FROM other"),
        {"SELECT sql LIKE '%CHECK%' FROM sqlite_master WHERE name = 'users'": "1", "SELECT count(*) FROM sqlite_master WHERE name = 'users_note'": "1"}),
}


class SqliteTest(SplitCase):
    """What ALTER TABLE of SQLite can do, proved on one; what takes a rebuild is refused with its recipe, or stays as its author wrote it."""

    def run_all(self, site: Site, what: str, statements: Sequence[str]) -> None:
        connection = sqlite3.connect(site.path("target.db"))
        try:
            for statement in statements:
                try:
                    with connection:
                        connection.execute(statement)
                except sqlite3.Error as error:
                    self.fail(f"{what}: {statement}: {error}\n{self.texts(site)}")
        finally:
            connection.close()

    def value(self, site: Site, query: str) -> str:
        connection = sqlite3.connect(site.path("target.db"))
        try:
            row = connection.execute(query).fetchone()
            return str(row[0]) if row else ""
        finally:
            connection.close()

    def split(self, site: Site, *arguments: str, name: str = "0002_change.sql") -> Ended:
        return super().split(site, "--dialect", "sqlite", *arguments, name=name)

    def row(self, row: Row) -> None:
        self.prove(self.site(m0001_base="-- syzygy:stage pre_deploy\n" + SQLITE_BASE), row)

    def test_what_needs_no_splitting_is_left_alone(self) -> None:
        rebuild = REBUILD.format(SAME + "age int CHECK (age > 0), note text DEFAULT '-' NOT NULL", "id, name, email, age, note")
        for change in ("ALTER TABLE users ADD COLUMN phone text;", "ALTER TABLE users ADD COLUMN level int NOT NULL DEFAULT (-3);", "ALTER TABLE users DROP COLUMN age;",
                       "CREATE INDEX users_age ON users (age);", "ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) VIRTUAL;", rebuild,
                       "-- syzygy:no-transaction\nPRAGMA foreign_keys = OFF;\nBEGIN;\n" + rebuild + "COMMIT;\nPRAGMA foreign_keys = ON;\n"):  # fmt: skip
            with self.subTest(change):
                site = self.site(m0001_base=SQLITE_BASE, m0002_change=change)
                done = self.split(site)
                self.assertEqual(done.code, 0, done.err)
                self.assertIn("nothing to split", done.err)
                self.assertEqual(self.text(site, "0002_change.sql"), change)

    def test_what_is_refused_comes_with_its_recipe(self) -> None:
        both = REBUILD.format(SAME + "age int CHECK (age > 0), note text DEFAULT '-' NOT NULL, level int DEFAULT 1", "id, name, email, age, note")
        gone = REBUILD.format("id INTEGER PRIMARY KEY, name text NOT NULL, age int, note text DEFAULT '-' NOT NULL", "id, name, age, note")
        for change, arguments, says in (
            ("ALTER TABLE users ADD COLUMN phone text NOT NULL;", (), "--default phone="),
            ("ALTER TABLE users ADD COLUMN phone text NOT NULL;", ("--default", "phone=random()"), "only with a constant"),
            ("ALTER TABLE users ADD COLUMN at text DEFAULT CURRENT_TIMESTAMP;", (), "UPDATE users SET at = CURRENT_TIMESTAMP WHERE at IS NULL"),
            ("ALTER TABLE users ADD COLUMN at text DEFAULT (hex(randomblob(8)));", (), "only with a constant"),
            ("ALTER TABLE users DROP COLUMN email;", (), "NOT NULL without a default"),
            ("ALTER TABLE users RENAME COLUMN name TO full_name;", ("--bridge-renames",), "expand, contract"),
            ("ALTER TABLE users RENAME TO people;", (), "keep the name"),
            ("CREATE UNIQUE INDEX one_email ON users (email);", (), "--stage pre_deploy or --stage post_deploy"),
            (both, (), "rebuild twice"),
            (gone, (), "NOT NULL without a default"),
            (both.replace("level int DEFAULT 1", "level int NOT NULL"), (), "Say its stage: --stage pre_deploy or --stage post_deploy"),
            ("UPDATE users SET age = 1;", (), "--stage pre_deploy or --stage post_deploy"),
            ("-- syzygy:no-transaction\nCREATE TABLE other (id int);\nDROP TABLE customers;\n", (), "outside a transaction cannot be taken apart"),
        ):  # fmt: skip
            with self.subTest(change):
                site = self.site(m0001_base=SQLITE_BASE, m0002_change=change)
                done = self.split(site, *arguments)
                self.assertEqual(done.code, 65, done.err)
                self.assertIn("0002_change.sql:", done.err)
                self.assertIn(says, done.err)
                self.assertEqual(halves(site), ["0001_base.sql", "0002_change.sql"])

    def test_a_default_that_stays_is_said(self) -> None:
        site = self.site(m0001_base=SQLITE_BASE, m0002_change="ALTER TABLE users ADD COLUMN phone text NOT NULL;")
        done = self.split(site, "--default=-1")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("the default -1 of column phone of table users stays", done.err)
        self.assertIn("ADD COLUMN phone text NOT NULL DEFAULT -1;", self.text(site, "0002_change.sql"))
        self.assertEqual(halves(site), ["0001_base.sql", "0002_change.sql"])


class DocumentedSession(unittest.TestCase):
    def test_the_session_in_the_documentation_is_what_happens(self) -> None:
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "split.md")) as file:
            session = file.read().split("```\n")[1]
        scratch = ScratchDirectory("session")
        self.addCleanup(scratch.close)
        os.mkdir(os.path.join(scratch.path, "migrations"))
        steps = [step.split("\n", 1) for step in session[2:].split("\n$ ")]

        def shell(command: str) -> str:
            run = f'syzygy() {{ "$SYZYGY" "$@"; }}; git() {{ command git -c user.name=t -c user.email=t@x "$@"; }}; {command}'
            done = subprocess.run(["bash", "-c", run], cwd=scratch.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            return done.stdout

        shell("git init -q -b main . && echo 'CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);' > migrations/0006_users.sql"
              " && git add -A && git commit -qm x && git checkout -q -b branch")  # fmt: skip
        with open(os.path.join(scratch.path, "migrations", "0007_contact.sql"), "w") as file:
            file.write(steps[0][1] + "\n")
        self.assertGreater(len(steps), 5)
        for command, output in steps:
            self.assertEqual(shell(command).rstrip("\n"), output.rstrip("\n"), command)


def _add_rows() -> None:
    for name, row in ROWS.items():
        setattr(SplitTest, f"test_{name}", lambda self, row=row: self.row(row))
    for name, row in SQLITE_ROWS.items():
        setattr(SqliteTest, f"test_{name}", lambda self, row=row: self.row(row))


_add_rows()


if __name__ == "__main__":
    unittest.main()
