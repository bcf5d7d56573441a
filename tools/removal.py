"""Mutants that share one build: shipped code of which pieces can be taken away when a program starts.

    tree = Tree(ROOT / "target" / "mutants")
    tree.make([[Piece("core/src/upstream/place.rs", "self.park(grant.parked());")]])
    program = tree.build("-p", "grantway-models") / "grantway-models"
    run(program, …, without=0)

All mutants share one build: in a copy of the workspace each piece stands behind a condition, which fails where the environment names the
mutant's number. To take a statement away, a condition of a longer one or a guarded arm of a `match` is the same as to delete its lines. Where
lines have to be others rather than gone, `instead` says how they read with both: `HAS` in it is whether the shipped ones are in place.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mutation import ROOT, put

# As `release`, apart from it so that neither builds the other anew.
PROFILE = ("--config", 'profile.mutants.inherits="release"', "--profile", "mutants")
VARIABLE = "GRANTWAY_WITHOUT"
CLOSES = {"(": ")", "[": "]", "{": "}"}
SWITCH = f"""
#[allow(missing_docs)]
pub(crate) fn has(piece: usize) -> bool {{
    static WITHOUT: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("{VARIABLE}").ok()?.parse().ok());
    *WITHOUT != Some(piece)
}}
"""


class Unfit(Exception):
    """A mutant cannot be tried: its piece is not there, is there twice, or what is left does not build."""


@dataclass(frozen=True)
class Piece:
    """Lines of the core, indentation aside, which must stand in the file once, or stand next behind the line `after`. Where they leave
    brackets open, what follows belongs to the piece as well, up to the end of the line that closes them."""

    file: str
    text: str
    after: str = ""
    # Stands in their place, if it is not empty; then nothing but the lines themselves belongs to the piece.
    instead: str = ""

    def lines(self, shipped: list[str]) -> tuple[int, int]:
        """The first of its lines, and the one behind its last."""
        wanted = [line.strip() for line in self.text.strip().splitlines()]
        first = 0
        if self.after:
            first = next((at + 1 for at, line in enumerate(shipped) if self.after in line), len(shipped))
        found = [at for at in range(first, len(shipped) - len(wanted) + 1)
                 if [line.strip() for line in shipped[at:at + len(wanted)]] == wanted]
        if not found:
            raise Unfit(f"{self.file} has no such lines any more: {self.text.strip()}")
        if len(found) > 1 and not self.after:
            raise Unfit(f"{self.file} has these lines {len(found)} times: {self.text.strip()}")
        begin, end = found[0], found[0] + len(wanted)
        while not self.instead and end < len(shipped) and is_open("".join(shipped[begin:end])):
            end += 1
        return begin, end


def is_open(code: str) -> bool:
    """Whether a bracket is still to be closed; brackets in texts and comments are taken for code."""
    missing: list[str] = []
    for sign in code:
        if sign in CLOSES:
            missing.append(CLOSES[sign])
        elif sign in CLOSES.values():
            if not missing or missing.pop() != sign:
                raise Unfit(f"the piece closes a bracket that it does not open: {code}")
    return bool(missing)


def removable(shipped: str, pieces: list[tuple[int, Piece]]) -> str:
    """The text of a file in which each of these pieces stands behind a condition with its number."""
    lines = shipped.splitlines(keepends=True)
    before: dict[int, str] = defaultdict(str)
    behind: dict[int, str] = defaultdict(str)
    for number, piece in pieces:
        begin, end = piece.lines(lines)
        line = lines[begin]
        if piece.instead:
            lines[begin:end] = [piece.instead.strip().replace("HAS", f"crate::has({number})") + "\n", *[""] * (end - begin - 1)]
        elif line.lstrip().startswith("&& "):
            lines[begin] = line.replace("&& ", f"&& (!crate::has({number}) || ", 1)
            lines[end - 1] = lines[end - 1].rstrip("\n") + ")\n"
        elif "=>" in line:
            lines[begin] = line.replace(" if ", f" if crate::has({number}) && ", 1)
        else:
            before[begin] += f"if crate::has({number}) {{\n"
            behind[end - 1] += "}\n"
    return "".join(before[at] + line + behind[at] for at, line in enumerate(lines))


def run(*command: str | Path, cwd: Path = ROOT, without: int | None = None) -> tuple[int, str]:
    """Exit status, and what was said; `without` is the number of the mutant whose pieces are taken away."""
    env = {**os.environ, VARIABLE: "" if without is None else str(without)}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    return done.returncode, done.stdout


class Tree:
    """A copy of the workspace with a build directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.copy = directory / "tree"
        self.target = directory / "build"

    def make(self, mutants: list[list[Piece]]) -> None:
        """Copies all files of the workspace's members, and makes the pieces of each mutant removable together: their number is its place
        in the list. What is as it was keeps its time, so that little is built anew."""
        members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
        code, listed = run("git", "ls-files", "-co", "--exclude-standard", "--", "Cargo.toml", "Cargo.lock", "spec", *members)
        if code:
            raise Unfit(listed)
        wanted = {Path(line) for line in listed.splitlines() if (ROOT / line).is_file()}
        changed: dict[Path, list[tuple[int, Piece]]] = defaultdict(list)
        for number, pieces in enumerate(mutants):
            for piece in pieces:
                changed[Path(piece.file)].append((number, piece))
        for path in wanted:
            content = (ROOT / path).read_bytes()
            if path in changed:
                content = removable(content.decode(), changed[path]).encode()
            if path == Path("core/src/lib.rs"):
                content += SWITCH.encode()
            put(self.copy / path, content)
        for path in self.copy.rglob("*"):
            if path.is_file() and path.relative_to(self.copy) not in wanted:
                path.unlink()

    def build(self, *what: str) -> Path:
        """Builds, and says where the programs are."""
        code, said = run("cargo", "build", "-q", "--locked", *what, "--target-dir", self.target, *PROFILE, cwd=self.copy)
        if code:
            raise Unfit(f"it does not build:\n{said}")
        return self.target / "mutants"
