"""in_venv.py DIRECTORY ARGUMENT...: runs that virtual environment's Python with these arguments.

Makes the environment first if it is not there, or if requirements.txt or the Python has changed. Many may ask at the same time.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv

REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt")


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    directory = os.path.abspath(sys.argv[1])
    status = make(directory)
    if status == 0:
        python = os.path.join(directory, "bin", "python")
        os.execv(python, [python, *sys.argv[2:]])
    return status


def make(directory: str) -> int:
    stamp = os.path.join(directory, "made-from")
    with open(REQUIREMENTS, "rb") as file:
        wanted = hashlib.sha256(file.read() + sys.version.encode()).hexdigest()
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    with open(directory + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(stamp) as file:
                if file.read() == wanted:
                    return 0
        except FileNotFoundError:
            pass
        shutil.rmtree(directory, ignore_errors=True)
        venv.create(directory, with_pip=True)
        pip = [os.path.join(directory, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        status = subprocess.run([*pip, "-r", REQUIREMENTS]).returncode
        if status != 0:
            print(f"{REQUIREMENTS} could not be installed; these tests need Python's package index", file=sys.stderr)
            return status
        with open(stamp, "w") as file:
            file.write(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
