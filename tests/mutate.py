#!/usr/bin/env python3
"""Changes conditions, constants and signs of src one at a time, and sees whether a test notices.

    python3 tests/mutate.py build/dev --changes 60 --seed 1 [--only src/run] [--list]

Each change is built into the named build folder. The test program of the file's mirror runs first, then
the other tests of the folder. The source is put back after each change, also after Ctrl-C. Kernels are left
out: their tests compare them with naive twins to the bit. So is src/mpi, which tests/mpi/check.sh runs. The exit
status is 1 where a change survived.
"""

import argparse
import collections
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEFT_OUT = ("src/kernels", "src/mpi")
CHANGES = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ",
    " && ": " || ", " || ": " && ", " + ": " - ", " - ": " + ", " += ": " -= ", " -= ": " += ",
    " * ": " / ", " / ": " * ", "++": "--", "true": "false", "false": "true",
    "std::max(": "std::min(", "std::min(": "std::max(", "(!": "(", "return -": "return ", "continue;": "break;",
}  # fmt: skip
PATTERN = re.compile("|".join(map(re.escape, sorted(CHANGES, key=len, reverse=True))) + r"|(?<![\w.'\"])\d+(?![\w.'\"])")
# Strings, characters and comments hold nothing that runs; neither do lines for the compiler alone.
SILENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|//[^\n]*|^\s*(?:#|template|using|static_assert|namespace)[^\n]*', re.M)
# A sum of texts is a message, not arithmetic.
TEXT = re.compile(r'"|string|text|throw|message|shape_text|std::to_string')


def places(path):
    """Returns (offset, old, new) for each change that the file admits."""
    source = path.read_text()
    masked = SILENT.sub(lambda m: " " * len(m[0]), source)
    found = []
    for match in PATTERN.finditer(masked):
        old = match[0]
        start = source.rfind("\n", 0, match.start()) + 1
        line = source[start : source.find("\n", match.start())]
        if old.strip() in "+-" and TEXT.search(line):
            continue
        if old.isdigit() and int(old) > 1 << 20:
            continue
        found.append((match.start(), old, str(int(old) + 1) if old.isdigit() else CHANGES[old]))
    return source, found


def run(command, limit):
    """Runs a command; returns True where it succeeded within `limit` seconds."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=limit).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def tests_of(build, path):
    """Returns the ctest names of the mirror of a file, and those of its folder."""
    listing = subprocess.run(["ctest", "--test-dir", build, "-N"], cwd=ROOT, capture_output=True, text=True).stdout
    names = re.findall(r"Test +#\d+: (\S+)", listing)
    folder, name = path.parent.relative_to(ROOT / "src"), path.stem
    mirror = [n for n in names if n == f"{folder}/{name}"]
    return mirror, [n for n in names if n.startswith(f"{folder}/") and n not in mirror]


def verdict(build, path):
    """Builds and runs the tests of a changed file; returns who noticed the change."""
    mirror, others = tests_of(build, path)
    if not run(["cmake", "--build", build, "--target", "xtape"], 600):
        return "does not compile"
    for who, names in (("mirror", mirror), ("folder", others)):
        if not names:
            continue
        targets = ["test_" + n.replace("/", "_") for n in names]
        if not run(["cmake", "--build", build, "--target", *targets], 1200):
            return "does not compile"
        exactly = "^(" + "|".join(map(re.escape, names)) + ")$"
        if not run(["ctest", "--test-dir", build, "-R", exactly, "--stop-on-failure", "-j2", "--timeout", "300"], 900):
            return who
    return "SURVIVED"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="src", help="a folder or file of src")
    parser.add_argument("--list", action="store_true", help="show the changes and build nothing")
    options = parser.parse_args()
    random.seed(options.seed)
    for end in (signal.SIGINT, signal.SIGTERM):  # the source is put back
        signal.signal(end, lambda *_: sys.exit(2))
    below = ROOT / options.only
    files = sorted(below.rglob("*.cpp")) if below.is_dir() else [below]
    files = [f for f in files if not str(f.relative_to(ROOT)).startswith(LEFT_OUT)]
    # A folder is drawn first, then a file: long files get no more than their share.
    folders = collections.defaultdict(list)
    for file in files:
        folders[file.parent].append(file)
    seen, count, done = set(), collections.Counter(), 0
    while done < options.changes:
        path = random.choice(folders[random.choice(sorted(folders))])
        source, found = places(path)
        if not found:
            continue
        offset, old, new = random.choice(found)
        if (path, offset) in seen:
            continue
        seen.add((path, offset))
        line = source.count("\n", 0, offset) + 1
        start = time.time()
        who = "listed"
        if not options.list:
            try:
                path.write_text(source[:offset] + new + source[offset + len(old) :])
                who = verdict(options.build, path)
            finally:
                path.write_text(source)
        count[who] += 1
        done += who != "does not compile"
        text = source.splitlines()[line - 1].strip()
        print(f"{who:16} {path.relative_to(ROOT)}:{line}: {old.strip()} -> {new.strip()}: {text}  ({time.time() - start:.0f} s)", flush=True)
    print(", ".join(f"{n} {who}" for who, n in sorted(count.items())))
    return 1 if count["SURVIVED"] else 0


if __name__ == "__main__":
    sys.exit(main())
