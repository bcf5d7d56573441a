"""Starts the stand (see `src/main.rs`), for tests in Python."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import packages  # noqa: E402


def build() -> str:
    """The path of the program."""
    command = ["cargo", "build", "--quiet", "--package", "grantway-stand", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        packages.fail("the stand does not build")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "grantway-stand")


@contextmanager
def stand(program: str, *flags: str):
    """A stand at work: its URLs. It ends with the block."""
    process = subprocess.Popen([program, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            packages.fail("the stand does not start")
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()
