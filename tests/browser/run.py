"""Looks at the pages of the gateway in Chromium: one of each, then whole journeys of people.

    python3 tests/browser/run.py
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import packages  # noqa: E402


def main() -> None:
    node = packages.npm(HERE)
    for script in ("pages.mjs", "flows.mjs"):
        done = subprocess.run([str(node), str(HERE / script)], cwd=ROOT, check=False)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
