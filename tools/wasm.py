#!/usr/bin/env python3
"""Builds the core for wasm32-unknown-unknown and checks that the module imports nothing: no clock, no random source, no I/O.

Uses rustup's target where it is installed; else Debian's rustc-web with its wasm32 standard library, installed if need be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import setup  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TARGET = "wasm32-unknown-unknown"
OUT = ROOT / "target" / "wasm"


def toolchain() -> dict[str, str]:
    """The environment of a cargo that has the target."""
    listed = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True) \
        if shutil.which("rustup") else None
    if listed and TARGET in listed.stdout:
        return {}
    setup.debian("rustc-web", "cargo-web", "libstd-rust-web-dev-wasm32")
    for cargo, rustc in (("/usr/bin/cargo-web", "/usr/bin/rustc-web"), ("/usr/bin/cargo", "/usr/bin/rustc")):
        if Path(cargo).exists() and Path(rustc).exists():
            return {"CARGO": cargo, "RUSTC": rustc}
    sys.exit(f"wasm: no toolchain with {TARGET}: install it with `rustup target add {TARGET}`")


def imports(module: bytes) -> int:
    """The number of imports of a WebAssembly module (section 2, counted by its LEB128 prefix)."""
    def leb(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = module[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                return value, at

    if module[:4] != b"\0asm":
        sys.exit("wasm: not a module")
    at = 8
    while at < len(module):
        kind, (size, at) = module[at], leb(at + 1)
        if kind == 2:
            return leb(at)[0]
        at += size
    return 0


def main() -> None:
    env = toolchain()
    cargo = env.pop("CARGO", "cargo")
    subprocess.run([cargo, "build", "-q", "--release", "-p", "grantway-wasm-check", "--target", TARGET,
                    "--target-dir", str(OUT)], check=True, cwd=ROOT, env={**os.environ, **env})
    module = (OUT / TARGET / "release" / "grantway_wasm_check.wasm").read_bytes()
    count = imports(module)
    if count:
        sys.exit(f"wasm: the module has {count} imports; the core must have none")
    print(f"the core is a module of {len(module) // 1024} KiB without imports")


if __name__ == "__main__":
    main()
