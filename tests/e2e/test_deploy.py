"""deploy/ and the Dockerfile: well-formed, and naming only flags and variables that the real binaries have.

Run by ctest (e2e_deploy) through in_venv.py. $SYZYGYD and $SYZYGY name the binaries.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from typing import Any, Dict, Iterator, List, Set

import kubernetes_validate
import yaml

from tests.e2e.support.cli import flags_in, help_of

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(*path: str) -> str:
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def documents(*path: str) -> List[Dict[str, Any]]:
    return list(yaml.safe_load_all(read(*path)))


def containers(node: Any) -> Iterator[Dict[str, Any]]:
    """Every container of a manifest, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("containers", "initContainers"):
                yield from value
            else:
                yield from containers(value)
    elif isinstance(node, list):
        for value in node:
            yield from containers(value)


def with_dependencies(packages: List[str]) -> Set[str]:
    """These packages and all that they depend on, as they are installed here."""
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Package}|${Depends}, ${Pre-Depends}\n"], check=True, capture_output=True, text=True)
    needs = {}
    for line in said.stdout.splitlines():
        package, _, dependencies = line.partition("|")
        needs[package] = set(re.findall(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9.+-]+)", dependencies))
    found: Set[str] = set()
    todo = set(packages)
    while todo:
        found |= todo
        todo = set().union(*(needs.get(package, set()) for package in todo)) - found
    return found


class BinariesTest(unittest.TestCase):
    """What the files say to the binaries, held against what those say of themselves."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon_flags = flags_in(help_of(os.environ["SYZYGYD"]))
        cls.migrate_flags = flags_in(help_of(os.environ["SYZYGY"], "migrate"))

    def check_command(self, where: str, command: List[str]) -> None:
        used = {argument.split("=")[0] for argument in command if argument.startswith("--")}
        if os.path.basename(command[0]) == "syzygyd":
            self.assertLessEqual(used, self.daemon_flags, where)
        else:
            self.assertEqual(command[0], "syzygy", where)
            self.assertLessEqual(used, flags_in(help_of(os.environ["SYZYGY"], command[1])), where)

    def test_systemd(self) -> None:
        unit = read("deploy", "systemd", "syzygyd.service").replace("\\\n#", "")
        lines = [line.lstrip("# ") for line in unit.splitlines() if "ExecStart=/" in line]
        self.assertEqual(len(lines), 2)  # the one in force, and the one that its head recommends
        for line in lines:
            self.check_command("syzygyd.service", line.split("=", 1)[1].split())

    def test_compose(self) -> None:
        (compose,) = documents("deploy", "compose.yaml")
        self.check_command("compose.yaml", compose["services"]["syzygyd"]["command"])

    def test_kubernetes(self) -> None:
        checked = 0
        for path in glob.glob(os.path.join(ROOT, "deploy", "kubernetes", "*.yaml")):
            for document in documents(path):
                for container in containers(document):
                    if "/syzygy:" in container["image"]:
                        self.check_command(f"{path} {container['name']}", container["command"])
                        checked += 1
                if document["kind"] == "ConfigMap":
                    flags = {"--" + name[len("SYZYGY_") :].lower().replace("_", "-") for name in document["data"]}
                    self.assertLessEqual(flags, self.migrate_flags, path)
        self.assertEqual(checked, 3)

    def test_dockerfile(self) -> None:
        instructions = [line for line in read("Dockerfile").splitlines() if not line.startswith("#")]
        commands = [line.split("CMD ")[1] for line in instructions if "CMD [" in line]
        self.assertEqual(len(commands), 2)  # what runs, and what asks how it goes
        for command in commands:
            self.check_command("Dockerfile", yaml.safe_load(command))
        comments = "\n".join(line for line in read("Dockerfile").splitlines() if "syzygyd --" in line)
        self.assertLessEqual(flags_in(comments), self.daemon_flags)


class FilesTest(unittest.TestCase):
    def test_kubernetes_accepts_every_manifest(self) -> None:
        paths = glob.glob(os.path.join(ROOT, "deploy", "kubernetes", "*.yaml"))
        self.assertGreaterEqual(len(paths), 3)
        for path in paths:
            for document in documents(path):
                with self.subTest(path=path, kind=document["kind"]):
                    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)

    def test_a_wrong_manifest_is_noticed(self) -> None:
        document = documents("deploy", "kubernetes", "syzygyd.yaml")[1]
        document["spec"]["template"]["spec"]["containers"][0]["prots"] = []
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)

    def test_every_volume_that_is_mounted_exists(self) -> None:
        for path in glob.glob(os.path.join(ROOT, "deploy", "kubernetes", "*.yaml")):
            for document in documents(path):
                pod = document.get("spec", {}).get("template", {}).get("spec", {})
                have = {volume["name"] for volume in pod.get("volumes", [])}
                have |= {claim["metadata"]["name"] for claim in document.get("spec", {}).get("volumeClaimTemplates", [])}
                for container in containers(pod):
                    self.assertLessEqual({mount["name"] for mount in container.get("volumeMounts", [])}, have, path)

    def test_compose_refers_to_what_is_there(self) -> None:
        (compose,) = documents("deploy", "compose.yaml")
        self.assertEqual(set(compose), {"name", "services", "volumes"})
        for service in compose["services"].values():
            context = os.path.join(ROOT, "deploy", service["build"]["context"])
            self.assertTrue(os.path.isfile(os.path.join(context, "Dockerfile")))
            for volume in service["volumes"]:
                self.assertIn(volume.split(":")[0], compose["volumes"])
            for port in service["ports"]:  # --insecure-listen is for this host alone
                self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_the_unit_is_well_formed(self) -> None:
        unit = read("deploy", "systemd", "syzygyd.service")
        sections: Dict[str, Dict[str, str]] = {}
        for line in unit.splitlines():
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                section = sections.setdefault(line.strip("[]"), {})
                continue
            key, equals, value = line.partition("=")
            self.assertTrue(equals and re.fullmatch("[A-Z][A-Za-z0-9]*", key), line)
            section[key] = value
        self.assertEqual(set(sections), {"Unit", "Service", "Install"})
        service = sections["Service"]
        self.assertIn(f"sqlite:%S/{service['StateDirectory']}", service["ExecStart"])
        self.assertEqual((service["DynamicUser"], service["NoNewPrivileges"], service["ProtectSystem"]), ("yes", "yes", "strict"))
        analyze = shutil.which("systemd-analyze")
        if analyze:  # where systemd is, it has the last word
            with tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "syzygyd.service")
                with open(path, "w") as file:
                    file.write(unit.replace("/usr/bin/syzygyd", os.path.realpath(os.environ["SYZYGYD"])))
                said = subprocess.run([analyze, "verify", path], capture_output=True, text=True, timeout=60)
                self.assertEqual((said.returncode, said.stdout + said.stderr), (0, ""))

    def test_the_image_has_every_library_that_the_binaries_load(self) -> None:
        listed = read("packages.txt").split("\n[run]\n")[1].split("\n[test]\n")[0].split()
        installed = with_dependencies(listed)
        said = subprocess.run(["ldd", os.environ["SYZYGYD"], os.environ["SYZYGY"]], check=True, capture_output=True, text=True).stdout
        libraries = {os.path.basename(os.path.realpath(path)) for path in re.findall(r"=> (/\S+)", said)}
        self.assertGreater(len(libraries), 20)
        owners: Dict[str, Set[str]] = {library: set() for library in libraries}
        for path in glob.glob("/var/lib/dpkg/info/*.list"):  # as `dpkg -S` would, in a fraction of the time
            with open(path) as file:
                for line in file:
                    name = line.rstrip("\n").rpartition("/")[2]
                    if name in owners:
                        owners[name].add(os.path.basename(path)[: -len(".list")].split(":")[0])
        for library in libraries:
            self.assertTrue(owners[library] & installed, f"{library} of {owners[library]} is missing: add it to [run] in packages.txt")

    def test_the_image_installs_the_listed_packages(self) -> None:
        scripts = re.findall(r"\$\(sed -n '([^']*)'", read("Dockerfile"))
        self.assertEqual(len(scripts), 2)
        for script, section, following in zip(scripts, ("build", "run"), ("run", "test")):
            sed = ["sed", "-n", script, os.path.join(ROOT, "packages.txt")]
            said = subprocess.run(sed, check=True, capture_output=True, text=True).stdout.split()
            listed = read("packages.txt").split(f"\n[{section}]\n")[1].split(f"\n[{following}]\n")[0].split()
            self.assertEqual(said, listed)


if __name__ == "__main__":
    unittest.main()
