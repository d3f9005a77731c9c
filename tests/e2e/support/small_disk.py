"""A disk that is small: a tmpfs in a mount namespace of its own, which goes with the test. Needs root, or a kernel that lets users make namespaces."""

import os
import pwd
from typing import List

from .processes import Process, ScratchDirectory, wait_until


class SmallDisk:
    """Mounted at `path` for those who are started by `enter`, and for nobody else. Where we are root it belongs to `user`.
    close() takes it away with all that is on it."""

    def __init__(self, megabytes: int, user: str) -> None:
        self._directory = ScratchDirectory("disk")
        self.path = os.path.join(self._directory.path, "small")
        os.mkdir(self.path)
        os.chmod(self._directory.path, 0o755)
        options = f"size={megabytes}m,mode=700" + (f",uid={pwd.getpwnam(user).pw_uid}" if os.getuid() == 0 else "")
        own = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        mount = f"mount -t tmpfs -o {options} tmpfs {self.path} && touch {self.path}/.here && exec sleep infinity"
        self._holder = Process(["unshare", "--mount", *own, "sh", "-c", mount], os.path.join(self._directory.path, "log"))
        try:
            wait_until("a tmpfs is mounted", lambda: os.path.exists(self._seen(".here")) or not self._holder.running())
            assert self._holder.running(), f"no tmpfs can be mounted here:\n{self._holder.output()}"
        except BaseException:
            self.close()
            raise
        namespaces = ["--mount"] if os.getuid() == 0 else ["--user", "--preserve-credentials", "--mount"]
        self.enter: List[str] = ["nsenter", *namespaces, f"--target={self._holder.popen.pid}", "--"]

    def _seen(self, name: str) -> str:
        """The path by which those outside see a file on it."""
        return f"/proc/{self._holder.popen.pid}/root{self.path}/{name}"

    def fill(self) -> None:
        """To the last byte."""
        with open(self._seen(".filler"), "ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1 << 9):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    continue

    def free(self) -> None:
        os.remove(self._seen(".filler"))

    def close(self) -> None:
        self._holder.stop(9)
        self._directory.close()
