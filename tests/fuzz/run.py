"""Fuzzes every target for a bounded time: python3 tests/fuzz/run.py BUILD [TARGET...]

SYZYGY_FUZZ_SECONDS is the time for each target (default 8: all of them take less than two minutes on two cores). Inputs that reached new
code stay in BUILD/found, so that the next run goes on from there; one that broke a promise goes to BUILD/failures, and the
command that replays it is printed. Exit 0: nothing was found; 1: something was; 2: could not run.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_PER_INPUT = 20  # more is a hang
MEGABYTES = 2048

printing = threading.Lock()


def say(text: str) -> None:
    with printing:
        print(text, flush=True)


def programs_of(build: str) -> dict[str, str]:
    found = {}
    for program in sorted(glob.glob(f"{build}/tests/fuzz/fuzz_*")):
        if not os.access(program, os.X_OK) or os.path.isdir(program) or program.endswith("_corpus"):
            continue
        for target in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
            found[target] = program
    return found


def environment() -> dict[str, str]:
    suppressions = os.path.join(os.path.dirname(HERE), "lsan.supp")
    return os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1", "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
                         "ASAN_OPTIONS": "detect_stack_use_after_return=1"}  # fmt: skip


def fuzz(build: str, program: str, target: str, seconds: int) -> bool:
    found, failures = f"{build}/found/{target}", f"{build}/failures"
    os.makedirs(found, exist_ok=True)
    os.makedirs(failures, exist_ok=True)
    command = [program, f"--target={target}", f"-max_total_time={seconds}", f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEGABYTES}",
               "-print_final_stats=1", "-use_value_profile=1", f"-artifact_prefix={failures}/{target}-", found, f"{HERE}/corpus/{target}"]  # fmt: skip
    dictionary = f"{HERE}/dictionaries/{target}.dict"
    if os.path.exists(dictionary):
        command.insert(2, f"-dict={dictionary}")
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment())
    units = re.search(r"stat::number_of_executed_units:\s*(\d+)", run.stderr)
    if run.returncode == 0:
        say(f"{target}: {units.group(1) if units else '?'} inputs, nothing found")
        return True
    with printing:
        print(f"{target}: FOUND something\n" + "\n".join(run.stderr.splitlines()[-60:]))
        artifact = re.search(r"Test unit written to (\S+)", run.stderr)
        if artifact:
            print(f"{target}: replay it with\n  {program} --target={target} {artifact.group(1)}\n"
                  f"and keep it, once mended, in tests/fuzz/corpus/{target}/", flush=True)  # fmt: skip
    return False


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    build = os.path.relpath(arguments[0])
    programs = programs_of(build)
    targets = arguments[1:] or sorted(programs)
    unknown = [target for target in targets if target not in programs]
    seconds = os.environ.get("SYZYGY_FUZZ_SECONDS", "8")
    if unknown or not targets or not seconds.isdigit() or int(seconds) == 0:
        print(f"fuzz: no target {', '.join(unknown) or 'at all'}, or SYZYGY_FUZZ_SECONDS ({seconds}) is no number of seconds; the targets of "
              f"{build} are: {', '.join(sorted(programs)) or 'none (build its target fuzzers)'}", file=sys.stderr)  # fmt: skip
        return 2
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(lambda target: fuzz(build, programs[target], target, int(seconds)), targets))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
