"""Mutants: a copy of the workspace, and fragments of shipped code that are cut out of it to see who notices."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class NotFound(Exception):
    """The fragment does not stand in its file, or not once."""


@dataclass(frozen=True)
class Cut:
    """A fragment of a file, and what stands in its place in a mutant.

    One that ends a line consists of whole lines. It must stand there once, or `after` says behind what it is looked for.
    """

    file: str
    delete: str
    replace_with: str = ""
    after: str = ""

    def apply(self, text: str) -> str:
        """The text with the fragment cut out."""
        begin = text.find(self.after)
        if begin < 0:
            raise NotFound(f"{self.file} does not say {self.after!r} any more")
        begin += len(self.after)
        at = self.find(text, begin)
        if at < 0:
            raise NotFound(f"{self.file} does not say {self.delete!r} any more")
        if not self.after and self.find(text, at + 1) >= 0:
            raise NotFound(f"{self.file} says {self.delete!r} twice")
        return text[:at] + self.replace_with + text[at + len(self.delete):]

    def find(self, text: str, begin: int) -> int:
        if not self.delete.endswith("\n"):
            return text.find(self.delete, begin)
        at = text.find("\n" + self.delete, begin)
        return at if at < 0 else at + 1

    def shipped(self) -> str:
        """The file as it is shipped."""
        path = ROOT / self.file
        if not path.is_file():
            raise NotFound(f"there is no {self.file} any more")
        return path.read_text()


def mutated(cuts: list[Cut]) -> dict[str, str]:
    """The files of a mutant that differ from what is shipped."""
    files: dict[str, str] = {}
    for cut in cuts:
        files[cut.file] = cut.apply(files.get(cut.file) or cut.shipped())
    return files


class Copy:
    """A copy of the repository in which one mutant stands at a time. What does not differ keeps its time, so that little is
    built anew."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.changed: set[str] = set()
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                                check=True).stdout
        wanted = {Path(line) for line in listed.splitlines() if (ROOT / line).is_file()}
        for path in wanted:
            put(tree / path, (ROOT / path).read_bytes())
        for path in tree.rglob("*"):
            if path.is_file() and path.relative_to(tree) not in wanted:
                path.unlink()

    def become(self, files: dict[str, str]) -> None:
        """Turns the copy into this mutant; into what is shipped if there are no files."""
        for name in self.changed - set(files):
            put(self.tree / name, (ROOT / name).read_bytes())
        for name, text in files.items():
            put(self.tree / name, text.encode())
        self.changed = set(files)


def put(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
