#!/usr/bin/env python3
"""Builds the core for wasm32-unknown-unknown and checks that the module imports nothing: no clock, no random source, no I/O.

Uses rustup's target where it is installed; else Debian's rustc-web with its sources of the standard library, installed if need be.
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


def toolchain() -> tuple[str, list[str], dict[str, str]]:
    """A cargo that can build for the target, with arguments and environment."""
    listed = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True) \
        if shutil.which("rustup") else None
    if listed and TARGET in listed.stdout:
        return "cargo", [], {}
    setup.debian("rustc-web", "cargo-web", "rust-web-src")
    # Its library has no prebuilt part for the target: it is built along, which only a bootstrap compiler takes.
    env = {"RUSTC": "/usr/bin/rustc", "RUSTC_BOOTSTRAP": "1"}
    # Nor does it bring the target's linker, which every toolchain of rustup has.
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    linker = next(Path(sysroot).glob("lib/rustlib/*/bin/rust-lld"), None)
    if linker:
        env["CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER"] = str(linker)
    return "/usr/bin/cargo", ["-Zbuild-std=std,panic_abort"], env


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
    cargo, arguments, env = toolchain()
    subprocess.run([cargo, "build", "-q", "--release", "-p", "grantway-wasm-check", "--target", TARGET,
                    "--target-dir", str(OUT), *arguments], check=True, cwd=ROOT, env={**os.environ, **env})
    module = (OUT / TARGET / "release" / "grantway_wasm_check.wasm").read_bytes()
    count = imports(module)
    if count:
        sys.exit(f"wasm: the module has {count} imports; the core must have none")
    print(f"the core is a module of {len(module) // 1024} KiB without imports")


if __name__ == "__main__":
    main()
