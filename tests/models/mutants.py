#!/usr/bin/env python3
"""Shows that the model has teeth: deletes lines of shipped code and expects what `mutants.toml` says.

    tests/models/mutants.py                 all of them
    tests/models/mutants.py --only WORDS    those whose name contains the words
    tests/models/mutants.py --json          a summary for programs

For each mutant a copy of the workspace under target/mutants loses the lines and is built; the model must find the shortest way to break
the property; the same actions on a real SQLite file must break it too; and on the shipped code they must break nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
TRACE = WORK / "trace.json"
SHIPPED = ROOT / "target" / "release" / "grantway-models"
# Quick to build anew after a change of one line; what others wrote is built once, with optimization.
PROFILE = ("--config", 'profile.mutants.inherits="release"', "--config", "profile.mutants.opt-level=1",
           "--config", "profile.mutants.incremental=true", "--config", "profile.mutants.codegen-units=16",
           "--config", 'profile.mutants.package."*".opt-level=3', "--profile", "mutants")
SECONDS = "600"


@dataclass(frozen=True)
class Mutant:
    """Lines to be deleted, and what must follow: a broken property, or something that never happens any more."""

    name: str
    file: str
    delete: str
    scenario: str
    property: str | None = None
    misses: str | None = None
    after: str = ""

    def apply(self, text: str) -> str:
        """The text without the lines, which must stand there once."""
        lines = self.delete.removeprefix("\n")
        begin = text.find(self.after) if self.after else 0
        at = text.find("\n" + lines, max(begin, 0))
        if begin < 0 or at < 0:
            raise Survived(f"{self.file} has no such lines any more")
        if not self.after and text.find("\n" + lines, at + 1) >= 0:
            raise Survived(f"{self.file} has these lines twice")
        return text[: at + 1] + text[at + 1 + len(lines):]


class Survived(Exception):
    """The mutant was not noticed, or could not be tried."""


def run(*command: str | Path, cwd: Path = ROOT) -> tuple[int, str]:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True,
                          env=None, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def copy_workspace() -> None:
    """All files of the workspace's members; those that are as they were keep their time, so that little is built anew."""
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    code, listed = run("git", "ls-files", "-co", "--exclude-standard", "--", "Cargo.toml", "Cargo.lock", *members)
    if code:
        sys.exit(listed)
    wanted = {Path(line) for line in listed.splitlines() if (ROOT / line).is_file()}
    for path in wanted:
        put(TREE / path, (ROOT / path).read_bytes())
    for path in TREE.rglob("*"):
        if path.is_file() and path.relative_to(TREE) not in wanted:
            path.unlink()


def put(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def build() -> Path:
    code, said = run("cargo", "build", "-q", "--locked", "-p", "grantway-models", "--target-dir", WORK / "build", *PROFILE,
                     cwd=TREE)
    if code:
        raise Survived(f"it does not build:\n{said}")
    return WORK / "build" / "mutants" / "grantway-models"


def attempt(mutant: Mutant) -> str:
    """The story of the mutant's end."""
    path = TREE / mutant.file
    shipped = (ROOT / mutant.file).read_text()
    put(path, mutant.apply(shipped).encode())
    try:
        model = build()
    finally:
        put(path, shipped.encode())
    if mutant.misses:
        code, said = run(model, "run", "--json", "--scenario", mutant.scenario, "--seconds", SECONDS)
        report = json.loads(said)[0]["report"]
        if report["cut_off"] or mutant.misses not in report["missing"]:
            raise Survived(f"{mutant.misses} still happens: {said}")
        return f"  {mutant.misses} never happens in {report['states']} states\n"
    trace = TRACE
    trace.unlink(missing_ok=True)
    code, found = run(model, "find", "--scenario", mutant.scenario, "--property", mutant.property,
                      "--to", trace, "--seconds", SECONDS, "--threads", "1")
    if code:
        raise Survived(found)
    code, played = run(model, "replay", "--trace", trace)
    if code:
        raise Survived(f"it is not broken on SQLite:\n{played}")
    code, clean = run(SHIPPED, "replay", "--trace", trace, "--clean")
    if code:
        raise Survived(f"the shipped code breaks too:\n{clean}")
    return f"  found after {found.strip()}; on SQLite:\n{indented(played)}  on the shipped code the same actions break nothing\n"


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", default="")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    mutants = [Mutant(**each) for each in tomllib.loads((HERE / "mutants.toml").read_text())["mutant"]]
    code, said = run("cargo", "build", "-q", "--release", "-p", "grantway-models")
    if code:
        sys.exit(said)
    code, names = run(SHIPPED, "properties")
    bare = sorted(set(names.split()) - {mutant.property for mutant in mutants})
    copy_workspace()
    results: dict[str, str | None] = {}
    for mutant in mutants:
        if arguments.only not in mutant.name:
            continue
        began = time.monotonic()
        if not arguments.json:
            print(f"{mutant.name} ({mutant.file}): {mutant.property or mutant.misses} in {mutant.scenario}", flush=True)
        try:
            story, results[mutant.name] = attempt(mutant), None
        except Survived as why:
            story = results[mutant.name] = f"  SURVIVED: {why}\n"
        if not arguments.json:
            print(f"{story}  {time.monotonic() - began:.0f} s\n", flush=True)
    survivors = [name for name, why in results.items() if why]
    if arguments.json:
        print(json.dumps({"mutants": results, "properties_without": bare}))
    else:
        if bare:
            print(f"properties without a mutant: {', '.join(bare)}")
        print(f"{len(results)} mutants, {len(results) - len(survivors)} noticed, {len(survivors)} survived"
              + "".join(f"\n  {name}" for name in survivors))
    sys.exit(1 if survivors or bare else 0)


if __name__ == "__main__":
    main()
