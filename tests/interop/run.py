"""Runs Grantway against authorization servers that others wrote: oidc-provider (npm) and FastMCP (PyPI), on loopback.

    python3 tests/interop/run.py
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import packages  # noqa: E402


def main() -> None:
    node = packages.npm(HERE / "oidc-provider")
    python = packages.pip(HERE / "fastmcp" / "requirements.txt", ROOT / "target" / "interop" / "fastmcp")
    command = ["cargo", "run", "--quiet", "--package", "grantway-interop", "--", str(node), str(python)]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
