"""What the binaries say of themselves."""

import os
import re
import subprocess
from typing import Set


def help_of(*command: str) -> str:
    return subprocess.run([*command, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout


def flags_in(text: str) -> Set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def commands_of(help_text: str) -> Set[str]:
    """The subcommands that a --help lists."""
    listed = re.search(r"\nSubcommands:\n(.*?)\n\n", help_text, re.DOTALL)
    return set(re.findall(r"^  ([a-z][a-z-]*)", listed.group(1), re.MULTILINE)) if listed else set()


def all_flags_of_syzygy() -> Set[str]:
    """Of every command and subcommand."""
    binary = os.environ["SYZYGY"]
    flags: Set[str] = set()
    todo = [(binary,)]
    while todo:
        command = todo.pop()
        said = help_of(*command)
        flags |= flags_in(said)
        if len(command) < 3:
            todo += [(*command, name) for name in commands_of(said)]
    return flags
