#!/usr/bin/env python3
"""Shows that the models have teeth: deletes lines of shipped code and expects what `mutants.toml` and `mutants-gateway.toml` say.

    tests/models/mutants.py                 all of them
    tests/models/mutants.py --only WORDS    those whose name contains the words
    tests/models/mutants.py --page NAME     those of one page: refresh.md or gateway-model.md
    tests/models/mutants.py --json          a summary for programs
    tests/models/mutants.py --write         all of them, and their tables in spec/refresh.md and spec/gateway-model.md

In a copy of the workspace under target/mutants each mutant's lines can be taken away (see `tools/removal.py`). Without them the model must
find the shortest way to break the property; the same actions on a real SQLite file must break it too; on the shipped code they must break
nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))

from removal import ROOT, Piece, Tree, Unfit, run  # noqa: E402

WORK = ROOT / "target" / "mutants"
SHIPPED = ROOT / "target" / "release" / "grantway-models"
BEGIN, END = "<!-- mutants: written by tests/models/mutants.py --write -->", "<!-- end of mutants -->"
SECONDS = "300"


@dataclass(frozen=True)
class Set:
    """The mutants of one model."""

    file: str
    spec: str
    # For the program's `properties`.
    option: tuple[str, ...] = ()

    def mutants(self) -> list[Mutant]:
        """All of them."""
        return [Mutant(**each) for each in tomllib.loads((HERE / self.file).read_text())["mutant"]]

    def without(self, mutants: list[Mutant]) -> list[str]:
        """Properties that have none."""
        _, names = run(SHIPPED, "properties", *self.option)
        return sorted(set(names.split()) - {mutant.property for mutant in mutants})


SETS = (Set("mutants.toml", "refresh.md"), Set("mutants-gateway.toml", "gateway-model.md", ("--gateway",)))


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
    instead: str = ""
    also_file: str = ""
    also_delete: str = ""
    also_instead: str = ""

    def pieces(self) -> list[Piece]:
        """Its lines."""
        also = [Piece(self.also_file, self.also_delete, instead=self.also_instead)] if self.also_delete else []
        return [Piece(self.file, self.delete, self.after, self.instead), *also]


@dataclass(frozen=True)
class Noticed:
    """What the model said of a mutant: in full, and in the words of the table."""

    story: str
    came_to: str
    seconds: float = 0.0


class Survived(Exception):
    """The mutant was not noticed."""


class Model:
    """The model on shipped code with removable pieces: one for each mutant, numbered alike."""

    def __init__(self, mutants: list[Mutant]) -> None:
        tree = Tree(WORK)
        tree.make([mutant.pieces() for mutant in mutants])
        self.program = tree.build("-p", "grantway-models") / "grantway-models"
        self.mutants = mutants

    def attempt(self, number: int) -> Noticed | Survived:
        """Tries one mutant."""
        mutant = self.mutants[number]
        began = time.monotonic()
        try:
            noticed = self.miss(number, mutant) if mutant.misses else self.find(number, mutant)
        except Survived as why:
            return why
        return replace(noticed, seconds=time.monotonic() - began)

    def miss(self, number: int, mutant: Mutant) -> Noticed:
        """Something must not happen any more, in all states there are."""
        _, said = run(self.program, "run", "--json", "--scenario", mutant.scenario, "--seconds", SECONDS, without=number)
        report = json.loads(said)[0]["report"]
        if report["cut_off"] or report["broken"] or mutant.misses not in report["missing"]:
            raise Survived(f"`{mutant.misses}` still happens: {said}")
        return Noticed(f"  `{mutant.misses}` never happens in {report['states']} states\n", "never happens")

    def find(self, number: int, mutant: Mutant) -> Noticed:
        """A property must break, here and on SQLite, and on the shipped code nothing must."""
        trace = WORK / f"trace-{number}.json"
        trace.unlink(missing_ok=True)
        code, found = run(self.program, "find", "--scenario", mutant.scenario, "--property", mutant.property,
                          "--to", trace, "--seconds", SECONDS, "--threads", "1", without=number)
        if code:
            raise Survived(found)
        code, played = run(self.program, "replay", "--trace", trace, without=number)
        if code:
            raise Survived(f"it is not broken on SQLite:\n{played}")
        code, clean = run(SHIPPED, "replay", "--trace", trace, "--clean")
        if code:
            raise Survived(f"the shipped code breaks too:\n{clean}")
        story = f"  found after {found.strip()}; on SQLite:\n{indented(played)}  on the shipped code the same actions break nothing\n"
        return Noticed(story, f"{len(json.loads(trace.read_text())['actions'])} actions")


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def table(rows: list[tuple[Mutant, Noticed]]) -> str:
    lines = ["| what the code without the lines does | noticed as | in | shortest way |", "|--|--|--|--|"]
    lines += [f"| {mutant.name} | `{mutant.property or mutant.misses}` | {mutant.scenario} | {noticed.came_to} |"
              for mutant, noticed in rows]
    return "\n".join([BEGIN, *lines, END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORDS", default="")
    parser.add_argument("--page", choices=[each.spec for each in SETS], default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    say = (lambda text: None) if arguments.json else (lambda text: print(text, flush=True))
    sets = [(each, each.mutants()) for each in SETS if arguments.page in ("", each.spec)]
    mutants = [mutant for _, some in sets for mutant in some]
    code, said = run("cargo", "build", "-q", "--release", "-p", "grantway-models")
    if code:
        sys.exit(said)
    bare = [name for each, some in sets for name in each.without(some)]
    try:
        model = Model(mutants)
    except Unfit as why:
        sys.exit(f"mutants: {why}")
    noticed: list[tuple[Mutant, Noticed]] = []
    survivors: dict[str, str] = {}
    chosen = [number for number, mutant in enumerate(mutants) if arguments.only in mutant.name]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for number, result in zip(chosen, pool.map(model.attempt, chosen)):
            mutant = mutants[number]
            say(f"{mutant.name} ({mutant.file}): {mutant.property or mutant.misses} in {mutant.scenario}")
            if isinstance(result, Survived):
                survivors[mutant.name] = str(result)
                say(f"  SURVIVED: {result}\n")
            else:
                noticed.append((mutant, result))
                say(f"{result.story}  {result.seconds:.0f} s\n")
    stale = []
    for each, some in sets if not arguments.only and not survivors else []:
        path = ROOT / "spec" / each.spec
        spec = path.read_text()
        rows = [(mutant, at) for mutant, at in noticed if mutant in some]
        now = re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table(rows), spec, flags=re.DOTALL)
        if arguments.write:
            path.write_text(now)
        elif now != spec:
            stale.append(each.spec)
    if arguments.json:
        print(json.dumps({"noticed": {mutant.name: at.came_to for mutant, at in noticed}, "survived": survivors,
                          "properties_without": bare, "stale_tables": stale}))
    for name, why in survivors.items():
        say(f"survived: {name}")
    if bare:
        say(f"properties without a mutant: {', '.join(bare)}")
    for spec in stale:
        say(f"the table in spec/{spec} is not what was found: look, then run with --write")
    say(f"{len(noticed) + len(survivors)} mutants, {len(noticed)} noticed, {len(survivors)} survived")
    sys.exit(1 if survivors or bare or stale else 0)


if __name__ == "__main__":
    main()
