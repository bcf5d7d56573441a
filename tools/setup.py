#!/usr/bin/env python3
"""Installs what the project needs on a fresh machine, and nothing that is there already.

    tools/setup.py rust      the toolchain's components
    tools/setup.py ledger    duvet, with what it builds from
    tools/setup.py fuzz      cargo-fuzz, with what libFuzzer builds from
    tools/setup.py browser   Chromium
    tools/setup.py all       everything
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "target" / "tools"


def run(*command: str, **env: str) -> None:
    print("setup:", " ".join(command), flush=True)
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **env})


def debian(*packages: str) -> None:
    """Installs Debian packages that are missing; elsewhere says what to install."""
    missing = [p for p in packages if subprocess.run(["dpkg", "-s", p], capture_output=True).returncode] \
        if shutil.which("dpkg") else []
    if not missing:
        return
    if os.geteuid() != 0:
        sys.exit(f"setup: please install these packages first: {' '.join(missing)}")
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-yq", "--no-install-recommends", *missing)


def cargo_tool(name: str, version: str, *, check: str | None = None) -> None:
    if shutil.which(check or name):
        return
    # One target directory for all tools, so that what they share is built once.
    run("cargo", "install", "--locked", "--debug", name, "--version", version, CARGO_TARGET_DIR=str(TOOLS))


def rust() -> None:
    if not shutil.which("cargo"):
        sys.exit("setup: Rust is missing: install it with rustup, stable 1.89 or newer")


def ledger() -> None:
    rust()
    if not shutil.which("duvet"):
        debian("pkg-config", "libssl-dev")
    cargo_tool("duvet", "0.4.3")


def fuzz() -> None:
    rust()
    if not shutil.which("c++"):
        # libFuzzer is C++.
        debian("g++")
    cargo_tool("cargo-fuzz", "0.13.2", check="cargo-fuzz")


def browser() -> None:
    rust()
    debian("chromium")


PARTS = {"rust": rust, "ledger": ledger, "fuzz": fuzz, "browser": browser}


def main() -> None:
    wanted = sys.argv[1:] or ["all"]
    for part in PARTS if wanted == ["all"] else wanted:
        if part not in PARTS:
            sys.exit(__doc__)
        PARTS[part]()


if __name__ == "__main__":
    main()
