#!/usr/bin/env python3
"""lint_bench.py SYZYGY [FILES] [RUNS]: linting FILES migrations (10,000) of 20 statements beside squawk, on one core. A row of ./dev bench.

Both read the same directory and print their findings as they print them to people, with the line and a caret, to a file. They take turns
for RUNS rounds (3), each bound to one core; the figure is the best processor time of the whole process, user and system, so that
neighbours on the machine do not count. No statement equals another one. squawk's binary comes with the package squawk-cli of Python's
index, into build/squawk, once.
"""

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

STATEMENTS = 20
SQUAWK = "squawk-cli==2.70.0"


def statements(file):
    table = f"orders_{file}"
    for n in range(STATEMENTS // 10):
        yield f"CREATE TABLE {table}_{n} (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10,2), at timestamptz DEFAULT now());"
        yield f"ALTER TABLE shared_{file % 97} ADD COLUMN c{file}_{n} varchar(20) NOT NULL DEFAULT 'x{file}';"
        yield f"CREATE INDEX CONCURRENTLY {table}_{n}_name ON shared_{file % 89} (name, price);"
        yield f"COMMENT ON COLUMN {table}_{n}.name IS 'what {file} is called';"
        yield f"ALTER TABLE {table}_{n} ADD CONSTRAINT {table}_{n}_c CHECK (price > {file}) NOT VALID;"
        yield f"INSERT INTO {table}_{n} (id, name, price) VALUES ({n}, 'a', 1.5), ({n + 1}, 'b', {file});"
        yield f"CREATE INDEX {table}_{n}_at ON shared_{file % 83} (at);"
        yield f"UPDATE {table}_{n} SET price = price * 1.1 WHERE id = {file};"
        yield f"ALTER TABLE shared_{file % 79} ALTER COLUMN d{n} TYPE bigint, ALTER COLUMN e{n} SET NOT NULL;"
        yield f"CREATE OR REPLACE VIEW v_{file}_{n} AS SELECT id, name FROM {table}_{n} WHERE price > {n};"


def squawk():
    """The program; the first to ask installs it."""
    directory = Path(__file__).resolve().parents[2] / "build" / "squawk"
    program = directory / "bin" / "squawk"
    if not program.exists():
        venv.create(directory, with_pip=True)
        done = subprocess.run([directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SQUAWK],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{SQUAWK} could not be installed; this row needs Python's package index: {done.stdout}")
    return program


def once(command, directory, findings):
    """Seconds of processor time, and on the clock."""
    with open(findings, "wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(["taskset", "-c", "0", *command], stdout=output, stderr=subprocess.STDOUT, cwd=directory)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        clock = time.monotonic() - began
    if child.returncode != 1 or os.path.getsize(findings) < 1000:
        raise RuntimeError(f"{command[0]} ended with {child.returncode} and wrote {os.path.getsize(findings)} bytes")
    return used.ru_utime + used.ru_stime, clock


def measure(syzygy, scratch, files, runs):
    """{"syzygy": [(processor, clock), ...], "squawk": [...]}, in seconds."""
    directory = Path(scratch) / "migrations"
    directory.mkdir()
    for file in range(files):
        (directory / f"{file + 1:05}_step.sql").write_text("-- syzygy:no-transaction\n" + "\n".join(statements(file)) + "\n")
    commands = {"syzygy": [syzygy, "lint", "."], "squawk": [squawk(), "*.sql"]}
    samples = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            samples[name].append(once(command, directory, Path(scratch) / "findings"))
    return samples


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    files, runs = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 10_000), (3, 3)))
    with tempfile.TemporaryDirectory() as scratch:
        samples = measure(os.path.abspath(sys.argv[1]), scratch, files, runs)
    for name, taken in samples.items():
        processor, clock = min(taken)
        print(f"{name:8} {processor:6.2f} s of processor time ({clock:.2f} s on the clock), "
              f"{processor / (files * STATEMENTS) * 1e6:.1f} us a statement")
    print(f"squawk takes {min(samples['squawk'])[0] / min(samples['syzygy'])[0]:.1f} times as long")
    return 0


if __name__ == "__main__":
    sys.exit(main())
