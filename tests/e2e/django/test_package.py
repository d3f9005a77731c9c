"""client/python can be installed as its README says, and imports without Django."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "client", "python")


class PackageTest(unittest.TestCase):
    def test_it_installs_and_imports_alone(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            source, site = os.path.join(directory, "source"), os.path.join(directory, "site")
            shutil.copytree(CLIENT, source)  # building writes beside the sources
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", site, source]
            done = subprocess.run(pip, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(sorted(name for name in os.listdir(site) if not name.endswith(".dist-info")), ["syzygy_client"])
            self.assertIn("py.typed", os.listdir(os.path.join(site, "syzygy_client")))
            self.assertIn("syzygylint.py", os.listdir(os.path.join(site, "syzygy_client", "management", "commands")))
            script = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [{site!r}]; import syzygy_client.quorum"
            done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
