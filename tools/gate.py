#!/usr/bin/env python3
"""Runs the checks of the project, one after the other, and says what each came to.

    tools/gate.py test                what CI demands (at most 40 minutes on two cores, from a clean checkout)
    tools/gate.py verify              everything there is; writes its summary to spec/VERIFIED.md
    tools/gate.py verify --resume     the same, but for what has passed on this very commit already
    tools/gate.py --only STEP ...     some of them, by name
    tools/gate.py --list              their names

A check that cannot run, because a service or a tool is missing and cannot be installed, fails: nothing is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "target" / "gate"


@dataclass(frozen=True)
class Check:
    """One check: its commands, which must all succeed."""

    name: str
    about: str
    commands: tuple[str, ...]
    gate: bool = True
    # A smaller check that need not run where this one does.
    covers: str = ""
    # Mostly waits: runs beside the others, and is told of at the end.
    beside: bool = False


CHECKS = (
    Check("lint", "formatting, lints as errors, no clock, random source or hash map in the core", (
        "cargo fmt --all --check",
        "cargo clippy -q --workspace --all-targets --all-features -- -D warnings",
    )),
    Check("unit", "unit, law, operation and attack tests of all crates", (
        "cargo test -q --workspace --all-features",
    )),
    Check("doc", "every public item is documented, every link resolves", (
        "cargo doc -q --workspace --no-deps --all-features",
    )),
    Check("wasm", "the core builds for wasm32-unknown-unknown and imports nothing", (
        "python3 tools/wasm.py",
    ), gate=False),
    Check("vectors", "recording the vectors anew makes no difference", (
        "cargo run -q -p grantway-vectors -- --check",
    )),
    Check("ledger", "requirements are cited where they are enforced and where they are proved", (
        "python3 tools/setup.py ledger",
        "python3 tools/ledger_test.py",
        "python3 tools/ledger.py --check",
    )),
    Check("attacks", "attacks of the gallery have tests or reasons", (
        "python3 tools/attacks.py --check",
    )),
    Check("attack-mutants", "each P0 attack's test fails when its check is deleted", (
        "python3 tests/attacks/mutants.py",
    ), gate=False),
    Check("fuzz-smoke", "every fuzz target on some thousand inputs, always the same", (
        "python3 tools/setup.py fuzz",
        "python3 tools/fuzz.py --runs 5000",
    )),
    Check("fuzz", "every fuzz target for half a minute", (
        "python3 tools/setup.py fuzz",
        "python3 tools/fuzz.py --seconds 30",
    ), gate=False, covers="fuzz-smoke"),
    Check("bench", "operations A to E as ratios to the floor", (
        "cargo bench -q -p grantway-benches",
    ), gate=False),
    Check("conformance", "the official suite, one scenario at a time, counts asserted", (
        "python3 tests/conformance/run.py",
        "python3 tests/conformance/authorization.py",
    )),
    Check("interop", "authorization servers that others wrote", (
        "python3 tests/interop/run.py",
    )),
    Check("sdk", "the official SDKs sign in at the gateway and call tools", (
        "python3 tests/sdk/run.py",
    ), gate=False),
    Check("browser", "every page and whole journeys in Chromium, with an accessibility checker", (
        "python3 tools/setup.py browser",
        "python3 tests/browser/run.py",
    ), gate=False),
    Check("models-quick", "the real operations, explored within small bounds", (
        "cargo run -q --release -p grantway-models -- run --quick",
    )),
    Check("stampede-quick", "sixteen processes on one file, a few rounds", (
        "cargo run -q -p grantway-stampede -- --rounds 10",
    )),
    Check("demo", "both parts of the demo run from beginning to end", (
        "cargo run -q -p grantway-demo -- gateway --quiet",
        "cargo run -q -p grantway-demo -- terminal --quiet",
    )),
    Check("stampede", "sixteen processes on one file, 200 rounds, then with kill -9", (
        "cargo run -q -p grantway-stampede -- --rounds 200",
    ), gate=False, covers="stampede-quick", beside=True),
    Check("models", "the real operations, explored within all printed bounds", (
        "cargo run -q --release -p grantway-models -- run",
    ), gate=False, covers="models-quick"),
    Check("mutants", "each property of the model notices a deleted line of shipped code", (
        "python3 tests/models/mutants.py",
    ), gate=False),
)


def run(check: Check) -> tuple[bool, float, str]:
    """Runs a check: whether it succeeded, seconds, and its last telling line."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{check.name}.log"
    began = time.monotonic()
    ok = True
    with log.open("w") as out:
        for command in check.commands:
            out.write(f"$ {command}\n")
            out.flush()
            env = {"RUSTDOCFLAGS": "-D warnings"} if check.name == "doc" else {}
            done = subprocess.run(["env", *(f"{k}={v}" for k, v in env.items()), "bash", "-c", command],
                                  cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            if done.returncode:
                ok = False
                out.write(f"\nexit status {done.returncode}: {command}\n")
                break
    said = log.read_text(errors="replace")
    if ok and ignored(said):
        ok = False
        with log.open("a") as out:
            out.write("\ntests are ignored, and nothing is skipped here\n")
    return ok, time.monotonic() - began, summary(said)


def ignored(log: str) -> int:
    """How many tests did not run."""
    return sum(int(n) for n in re.findall(r"(\d+) ignored", log))


def summary(log: str) -> str:
    """The counts of test runners added up, or the last line that says something."""
    passed = sum(int(n) for n in re.findall(r"test result: ok\. (\d+) passed", log))
    if passed:
        return f"{passed} tests passed, {ignored(log)} ignored"
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("$ ")]
    return lines[-1][:160] if lines else "no complaint"


def show_failure(check: Check) -> None:
    print(f"\n--- {check.name}: the end of target/gate/{check.name}.log", flush=True)
    tail = (LOGS / f"{check.name}.log").read_text(errors="replace").splitlines()[-80:]
    print("\n".join(tail), flush=True)


def commit() -> tuple[str, bool]:
    """The commit that is checked out, and whether something is changed."""
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout
    return head, bool(changed.strip())


class Passed:
    """What has passed on a commit without changes, for a run that was cut off."""

    def __init__(self, resume: bool) -> None:
        self.file = LOGS / "passed.json"
        self.head, changed = commit()
        self.rows: dict[str, tuple[float, str]] = {}
        self.lock = Lock()
        if resume and not changed and self.file.is_file():
            known = json.loads(self.file.read_text())
            self.rows = {name: (s, line) for name, (s, line) in known["checks"].items()} if known["commit"] == self.head else {}

    def note(self, check: Check, seconds: float, line: str) -> None:
        with self.lock:
            self.rows[check.name] = (seconds, line)
            if not commit()[1]:
                self.file.write_text(json.dumps({"commit": self.head, "checks": self.rows}))


def write_verified(rows: list[tuple[Check, float, str]]) -> None:
    head, changed = commit()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = ["# Verified", "", f"`make verify` on {now}, commit `{head}`"
             + (" with uncommitted changes" if changed else "") + f", {os.cpu_count()} cores.", "",
             "| check | what | seconds | came to |", "| --- | --- | --: | --- |"]
    lines += [f"| {c.name} | {c.about} | {s:.0f} | {line.replace('|', '/')} |" for c, s, line in rows]
    (ROOT / "spec" / "VERIFIED.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", choices=["test", "verify"], default="test")
    parser.add_argument("--only", nargs="+", metavar="STEP")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{c.name:16} {c.about}" for c in CHECKS))
        return
    names = {c.name for c in CHECKS}
    if arguments.only and not set(arguments.only) <= names:
        sys.exit(f"gate: no such check: {', '.join(sorted(set(arguments.only) - names))}")
    chosen = [c for c in CHECKS if (c.name in arguments.only if arguments.only else
                                    c.gate or arguments.set == "verify")]
    if not arguments.only:
        chosen = [c for c in chosen if c.name not in {wide.covers for wide in chosen}]
    LOGS.mkdir(parents=True, exist_ok=True)
    passed = Passed(arguments.resume)
    rows: list[tuple[Check, float, str]] = []
    failed: list[str] = []

    def tell(check: Check, ok: bool, seconds: float, line: str) -> None:
        print(f"{'ok' if ok else 'FAILED':>16} {seconds:6.0f} s  {line}", flush=True)
        rows.append((check, seconds, line))
        if ok:
            passed.note(check, seconds, line)
        else:
            failed.append(check.name)
            show_failure(check)

    with ThreadPoolExecutor() as pool:
        beside = {}
        for check in chosen:
            # What runs beside the others begins when the first of them has built the workspace.
            if rows and not beside:
                beside = {c: pool.submit(run, c) for c in chosen if c.beside and c.name not in passed.rows}
            if check.beside:
                continue
            print(f"{check.name:16} {check.about} …", flush=True)
            tell(check, *((True, *passed.rows[check.name]) if check.name in passed.rows else run(check)))
        for check in (c for c in chosen if c.beside):
            print(f"{check.name:16} {check.about} …", flush=True)
            known = (True, *passed.rows[check.name]) if check.name in passed.rows else None
            tell(check, *(known or (beside[check].result() if check in beside else run(check))))
    if arguments.set == "verify" and not arguments.only and not failed:
        write_verified(rows)
    if arguments.json:
        print(json.dumps({"failed": failed, "checks": {c.name: {"seconds": s, "line": l} for c, s, l in rows}}))
    print(f"\n{len(rows) - len(failed)} passed, {len(failed)} failed", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
