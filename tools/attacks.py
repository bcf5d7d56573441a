#!/usr/bin/env python3
"""Counts which attacks of the gallery are tests.

    tools/attacks.py            prints them, with the tests of each
    tools/attacks.py --write    rewrites spec/ATTACKS.md
    tools/attacks.py --check    fails if that file is out of date, a P0 attack has neither a test nor a reason, one that has a test has
                                no mutant, or the code has no longer what a mutant cuts out
    tools/attacks.py --json     for programs

A test is one whose comment names the attack: `// atk:MIX-02` above or in it, in a test file or below `#[cfg(test)]`. That it fails
without the check it is about is shown by tests/attacks/mutants.py; here it is only checked that its mutant can still be made.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mutation import Cut, NotFound, mutated

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "spec" / "ATTACKS.md"
MUTANTS = ROOT / "tests" / "attacks" / "mutants.toml"
TAG = re.compile(r"\batk:([A-Z]+-\d+)")
FUNCTION = re.compile(r"\bfn (\w+)")


@dataclass(frozen=True, order=True)
class Test:
    """One test: package, target (`lib`, `bin/NAME`, or the name of an integration test), and its full name."""

    package: str
    target: str
    name: str

    def __str__(self) -> str:
        return f"{self.package} {self.target} {self.name}"

    def function(self) -> str:
        return self.name.rpartition("::")[2]

    def target_arguments(self) -> list[str]:
        if self.target == "lib":
            return ["--lib"]
        kind, _, name = self.target.rpartition("/")
        return [f"--{kind or 'test'}", name]

    def target_name(self) -> str:
        return self.package if self.target == "lib" else self.target.rpartition("/")[2]

    def directory(self) -> str:
        return packages()[self.package]


@dataclass(frozen=True)
class Mutant:
    """What is cut out, and the test of the attack that must fail without it."""

    attack: str
    cuts: list[Cut]
    test: Test

    @classmethod
    def read(cls, row: dict) -> Mutant:
        cuts = row["cut"] if "cut" in row else [{key: row[key] for key in row if key not in ("attack", "test")}]
        return cls(row["attack"], [Cut(**cut) for cut in cuts], Test(*row["test"].split(" ", 2)))

    def told(self) -> str:
        """What is cut out, for people."""
        def one(cut: Cut) -> str:
            text = " ".join(cut.delete.split())
            into = f" becomes `{' '.join(cut.replace_with.split())}`" if cut.replace_with else ""
            return f"{cut.file}: `{text}`{into}"
        return "; ".join(one(cut) for cut in self.cuts)


@cache
def packages() -> dict[str, str]:
    """The directory of each package of the workspace."""
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    return {tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]["name"]: member for member in members}


@cache
def mutants() -> list[Mutant]:
    return [Mutant.read(row) for row in tomllib.loads(MUTANTS.read_text())["mutant"]]


def without_mutant() -> list[str]:
    """The P0 attacks that have a test which nobody has shown to fail."""
    gallery, found = tomllib.loads((ROOT / "spec" / "attacks.toml").read_text()), tests()
    have = {mutant.attack for mutant in mutants()}
    return [attack for attack, row in gallery.items() if row["priority"] == "P0" and found.get(attack) and attack not in have]


def wrong_mutants(found: dict[str, list[str]]) -> list[str]:
    """Mutants that cannot be made any more, or whose test is not about their attack."""
    wrong = []
    for mutant in mutants():
        try:
            mutated(mutant.cuts)
        except NotFound as why:
            wrong.append(f"{mutant.attack}: {why}")
        if mutant.test.function() not in found.get(mutant.attack, []):
            wrong.append(f"{mutant.attack}: no comment says that `{mutant.test.function()}` is about it")
    return wrong


def tests() -> dict[str, list[str]]:
    """The names of the tests that a comment connects with each attack."""
    found: dict[str, list[str]] = defaultdict(list)
    listed = subprocess.run(["git", "ls-files", "*.rs"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        in_tests = "/tests/" in name or name.startswith("tests/") or name.endswith("tests.rs")
        current = ""
        waiting: list[str] = []
        lines = (ROOT / name).read_text().splitlines()
        for line, following in zip(lines, [*lines[1:], ""]):
            code = line.strip()
            # Not where the tests are a file of their own.
            if code.startswith("#[cfg(test)]") and not following.strip().endswith(";"):
                in_tests = True
            if code.startswith("//"):
                waiting += TAG.findall(code) if in_tests else []
                continue
            function = FUNCTION.search(code)
            # A comment belongs to the function that follows it, attributes between them, or else to the one it stands in.
            if not function and (not code or code.startswith(("#[", "proptest!"))):
                continue
            if function:
                current = function.group(1)
            for attack in waiting + (TAG.findall(line) if in_tests else []):
                if current:
                    add(found[attack], current)
            waiting = []
    return found


def add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)


def page(gallery: dict, found: dict[str, list[str]]) -> str:
    tested = [a for a in gallery if found.get(a)]
    p0 = [a for a, row in gallery.items() if row["priority"] == "P0"]
    cut = Counter(mutant.attack for mutant in mutants())
    lines = ["# Attacks", "", "Made by `tools/attacks.py --write` from `attacks.toml` and the comments at the tests.", "",
             f"{len(tested)} of {len(gallery)} have tests; of {len(p0)} with priority P0 {sum(a in tested for a in p0)}.",
             "Mutants: so many ways to cut the check out were tried, and a test failed each time (`tests/attacks/mutants.py`).", "",
             "| id | attack | half | priority | mutants | tests |", "| --- | --- | --- | --- | --: | --- |"]
    for attack, row in gallery.items():
        names = found.get(attack, [])
        said = ", ".join(f"`{n}`" for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        if not names:
            said = f"open: {row.get('open', 'no test yet')}"
        lines.append(f"| {attack} | {row['name'].replace('|', '/')} | {row['half']} | {row['priority']} | {cut[attack] or ''} | {said} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    gallery = tomllib.loads((ROOT / "spec" / "attacks.toml").read_text())
    found = tests()
    text = page(gallery, found)
    if "--json" in sys.argv:
        print(json.dumps({a: {**row, "tests": found.get(a, [])} for a, row in gallery.items()}, indent=1))
    elif "--write" in sys.argv:
        PAGE.write_text(text)
    elif "--check" not in sys.argv:
        print(text)
    if "--check" in sys.argv:
        bare = [a for a, row in gallery.items() if row["priority"] == "P0" and not found.get(a) and "open" not in row]
        if bare:
            sys.exit(f"attacks: no test and no reason: {', '.join(bare)}")
        if bare := without_mutant():
            sys.exit(f"attacks: no mutant in tests/attacks/mutants.toml: {', '.join(bare)}")
        if wrong := wrong_mutants(found):
            sys.exit("attacks: tests/attacks/mutants.toml is out of date:\n" + "\n".join(wrong))
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("attacks: spec/ATTACKS.md is out of date: tools/attacks.py --write")
        print(next(line for line in text.splitlines() if " have tests; " in line))


if __name__ == "__main__":
    main()
