"""No #include goes against the arrows, and src/round stays pure: no clock, random number, thread, Asio, input or output.

    base <- {round, store, migration};  {round, store} <- engine <- api <- transport <- daemon
    client/cpp sees only proto and base; client/cli adds migration.  round and store meet only in engine and above it.

    arrows_test.py REPOSITORY
"""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])

# What the files of a folder may include: folders of the tree, by the first part of the path in the #include. `syzygy` is
# what is generated from proto/.
MAY_INCLUDE = {
    "src/base": {"base"},
    "src/round": {"round", "base"},
    "src/store": {"store", "base"},
    "src/migration": {"migration", "base"},
    "src/engine": {"engine", "round", "store", "base"},
    "src/api": {"api", "engine", "round", "base"},
    "src/transport": {"transport", "api", "engine", "round", "base", "syzygy", "grpc"},
    "daemon": {"daemon", "transport", "api", "engine", "round", "store", "base", "syzygy"},
    "client/cpp": {"client/cpp", "base", "syzygy"},
    "client/cli": {"client/cli", "client/cpp", "migration", "base", "syzygy"},
}

# What has no place in the heart. The standard headers are those that come with a clock, a thread, or a way out.
IMPURE_HEADERS = re.compile(
    r"<(random|thread|mutex|shared_mutex|atomic|condition_variable|future|iostream|fstream|istream|ostream|cstdio|stdio\.h|"
    r"ctime|time\.h|unistd\.h|fcntl\.h|syslog\.h|csignal|filesystem|sys/[^>]*|boost/[^>]*|asio[^>]*|grpc[^>]*|spdlog/[^>]*|"
    r"openssl/[^>]*|sqlite3\.h|pqxx/[^>]*|hiredis/[^>]*)>"
)
IMPURE_WORDS = re.compile(
    r"\b(system_clock|steady_clock|high_resolution_clock|clock_gettime|gettimeofday|random_device|mt19937|srand|"
    r"rand|getenv|printf|fprintf|std::cout|std::cerr|std::clog|this_thread|sleep_for|usleep)\b"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|(<[^>]+>))', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def folder_of(path: str) -> str | None:
    """The longest folder of MAY_INCLUDE that the file is in."""
    matching = [folder for folder in MAY_INCLUDE if path.startswith(folder + "/")]
    return max(matching, key=len, default=None)


def place_of(include: str) -> str | None:
    """Which folder an #include in quotes names; None for a file beside the one that includes it."""
    parts = include.split("/")
    if len(parts) == 1:
        return None
    return "/".join(parts[:2]) if parts[0] == "client" else parts[0]


def against_the_arrows(path: str, text: str) -> list[str]:
    folder = folder_of(path)
    if folder is None:
        return []
    wrong = []
    for quoted, angled in INCLUDE.findall(text):
        place = place_of(quoted) if quoted else None
        if place is not None and place not in MAY_INCLUDE[folder]:
            wrong.append(f'{path}: "{quoted}" is against the arrows: {folder} may include {sorted(MAY_INCLUDE[folder])}')
        if folder == "src/round" and angled and IMPURE_HEADERS.fullmatch(angled):
            wrong.append(f"{path}: {angled} has no place in the pure core")
    if folder == "src/round":
        for word in IMPURE_WORDS.findall(COMMENT.sub("", text)):
            wrong.append(f"{path}: {word} has no place in the pure core")
    return wrong


def sources() -> list[pathlib.Path]:
    found = []
    for top in ("src", "daemon", "client"):
        found += [p for p in (ROOT / top).rglob("*") if p.suffix in (".h", ".cpp") and p.is_file()]
    return found


class Arrows(unittest.TestCase):
    def test_every_include_of_the_tree(self):
        seen = set()
        wrong = []
        for path in sources():
            name = path.relative_to(ROOT).as_posix()
            seen.add(folder_of(name))
            wrong += against_the_arrows(name, path.read_text())
        self.assertEqual([], wrong)
        self.assertEqual(set(MAY_INCLUDE), seen - {None}, "a folder of the table has no sources: the table is out of date")
        self.assertNotIn(None, seen, "there are sources in a folder that the table does not know")

    def test_link_lines_say_the_same(self):
        heart = (ROOT / "src/round/CMakeLists.txt").read_text()
        self.assertEqual(["PUBLIC syzygy_base"], re.findall(r"target_link_libraries\(syzygy_round ([^)]*)\)", heart))
        store = (ROOT / "src/store/CMakeLists.txt").read_text()
        self.assertNotRegex(store, "syzygy_round|syzygy_engine")

    def test_it_would_notice(self):
        for path, line in (
            ("src/round/step.cpp", '#include "store/store.h"'),
            ("src/store/sqlite.cpp", '#include "round/round.h"'),
            ("src/base/plan.cpp", '#include "round/round.h"'),
            ("src/engine/lane.cpp", '#include "api/service.h"'),
            ("src/api/service.cpp", '#include "store/store.h"'),
            ("src/migration/plan/plan.cpp", '#include "engine/engine.h"'),
            ("client/cpp/session.cpp", '#include "migration/plan/plan.h"'),
            ("client/cli/main.cpp", '#include "round/round.h"'),
            ("daemon/main.cpp", '#include "client/cpp/client.h"'),
            ("src/round/step.cpp", "#include <random>"),
            ("src/round/step.cpp", "#include <thread>"),
            ("src/round/step.cpp", "#include <iostream>"),
            ("src/round/step.cpp", "#include <boost/asio.hpp>"),
            ("src/round/step.cpp", "auto now = std::chrono::system_clock::now();"),
        ):
            with self.subTest(path=path, line=line):
                self.assertEqual(1, len(against_the_arrows(path, line)))
        self.assertEqual([], against_the_arrows("src/round/step.cpp", "#include <map>\n// no system_clock here\n"))


if __name__ == "__main__":
    unittest.main()
