#!/usr/bin/env python3
"""Counts which attacks of the gallery are tests.

    tools/attacks.py            prints them, with the tests of each
    tools/attacks.py --write    rewrites spec/ATTACKS.md
    tools/attacks.py --check    fails if that file is out of date, or a P0 attack has neither a test nor a reason
    tools/attacks.py --json     for programs

A test is one whose comment names the attack: `// atk:MIX-02` above it, in a test file or below `#[cfg(test)]`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "spec" / "ATTACKS.md"
TAG = re.compile(r"\batk:([A-Z]+-\d+)")
FUNCTION = re.compile(r"\bfn (\w+)")


def tests() -> dict[str, list[str]]:
    """The names of the tests that a comment connects with each attack."""
    found: dict[str, list[str]] = defaultdict(list)
    listed = subprocess.run(["git", "ls-files", "*.rs"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        in_tests = "/tests/" in name or name.startswith("tests/") or name.endswith("tests.rs")
        current = ""
        waiting: list[str] = []
        for line in (ROOT / name).read_text().splitlines():
            if line.strip().startswith("#[cfg(test)]"):
                in_tests = True
            function = FUNCTION.search(line)
            if function and not line.strip().startswith("//"):
                current = function.group(1)
                for attack in waiting:
                    add(found[attack], current)
                waiting = []
            if not in_tests:
                continue
            for attack in TAG.findall(line):
                # Inside a function the comment belongs to it, before one to the next.
                if line.startswith(("    //", "        //", "            ")) and current and not is_item(line, name):
                    add(found[attack], current)
                if not line.startswith("        "):
                    waiting.append(attack)
    return found


def is_item(line: str, name: str) -> bool:
    """Whether a comment stands at the level of functions: unindented, or indented once in a test module of a source file."""
    return line.startswith("//") or (line.startswith("    //") and "/tests/" not in name and not name.endswith("tests.rs"))


def add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def page(gallery: dict, found: dict[str, list[str]]) -> str:
    tested = [a for a in gallery if found.get(a)]
    p0 = [a for a, row in gallery.items() if row["priority"] == "P0"]
    lines = ["# Attacks", "", "Made by `tools/attacks.py --write` from `attacks.toml` and the comments at the tests.", "",
             f"{len(tested)} of {len(gallery)} have tests; of {len(p0)} with priority P0 {sum(a in tested for a in p0)}.", "",
             "| id | attack | half | priority | tests |", "| --- | --- | --- | --- | --- |"]
    for attack, row in gallery.items():
        names = found.get(attack, [])
        said = ", ".join(f"`{n}`" for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        if not names:
            said = f"open: {row.get('open', 'no test yet')}"
        lines.append(f"| {attack} | {row['name'].replace('|', '/')} | {row['half']} | {row['priority']} | {said} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    gallery = tomllib.loads((ROOT / "spec" / "attacks.toml").read_text())
    found = tests()
    text = page(gallery, found)
    if "--json" in sys.argv:
        print(json.dumps({a: {**row, "tests": found.get(a, [])} for a, row in gallery.items()}, indent=1))
    elif "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        print(text)
    if "--check" in sys.argv:
        bare = [a for a, row in gallery.items() if row["priority"] == "P0" and not found.get(a) and "open" not in row]
        if bare:
            sys.exit(f"attacks: no test and no reason: {', '.join(bare)}")
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("attacks: spec/ATTACKS.md is out of date: tools/attacks.py --write")


if __name__ == "__main__":
    main()
