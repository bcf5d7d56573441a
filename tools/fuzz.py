#!/usr/bin/env python3
"""Runs every fuzz target for some seconds, from its committed corpus.

    tools/fuzz.py --seconds 60                  every target
    tools/fuzz.py --seconds 600 --only steps    one of them
    tools/fuzz.py --runs 5000                   the same inputs each time: for a gate that must not depend on chance
    tools/fuzz.py --sanitizer address           with AddressSanitizer, for the dependencies that have `unsafe` code
    tools/fuzz.py --json                        for programs

Inputs that reach something new are kept in target/fuzz/new/TARGET; `cargo fuzz cmin TARGET fuzz/corpus/TARGET` chooses among them. An input that
breaks a law, or takes more than five seconds, is a failure: its path is printed, and it belongs into fuzz/corpus/TARGET when it is mended.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "target" / "fuzz"
# Instrumented code goes beside the project's other builds, and needs flags that stable Rust keeps for itself. A little optimization builds in
# half the time and runs hardly slower.
ENV = {**os.environ, "RUSTC_BOOTSTRAP": "1", "CARGO_TARGET_DIR": str(BUILT), "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1"}


def targets() -> list[str]:
    manifest = tomllib.loads((ROOT / "fuzz" / "Cargo.toml").read_text())
    return [target["name"] for target in manifest["bin"]]


def build(chosen: list[str], sanitizer: str) -> Path:
    """Builds the targets: the directory of their programs."""
    host = re.search(r"^host: (\S+)$", subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout,
                     re.MULTILINE)
    if not host:
        sys.exit("fuzz: rustc does not say which host it is for")
    one = chosen if len(chosen) == 1 else []
    done = subprocess.run(["cargo", "fuzz", "build", "--sanitizer", sanitizer, "--target", host[1], *one], cwd=ROOT, env=ENV,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"fuzz: the targets do not build:\n{done.stderr[-4000:]}")
    return BUILT / host[1] / "release"


def fuzz(program: Path, limits: list[str], keeps: bool) -> tuple[str, int, str | None]:
    """One target: its name, executions, and what was found."""
    name = program.name
    new, found = BUILT / ("new" if keeps else "passing") / name, BUILT / "found" / name
    if not keeps:
        shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    ran = subprocess.run([program, *limits, "-timeout=5", "-rss_limit_mb=2048", "-max_len=4096", "-verbosity=1",
                          "-print_final_stats=1", f"-artifact_prefix={found}/", new, ROOT / "fuzz" / "corpus" / name],
                         cwd=ROOT, capture_output=True, text=True, errors="replace", env={**ENV, "RUST_BACKTRACE": "0"})
    count = re.search(r"^stat::number_of_executed_units:\s*(\d+)", ran.stderr, re.MULTILINE)
    executed = int(count[1]) if count else 0
    if ran.returncode:
        written = re.search(r"Test unit written to (\S+)", ran.stderr)
        said = re.search(r"panicked at .*\n.*", ran.stderr) or re.search(r"ERROR: .*", ran.stderr)
        where = written[1] if written else f"no input; exit status {ran.returncode}"
        return name, executed, f"{where}\n{said[0] if said else ran.stderr[-1000:]}"
    return name, executed, None if executed else "it executed nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, help="of each target, always the same, instead")
    parser.add_argument("--only", metavar="TARGET", choices=targets())
    parser.add_argument("--sanitizer", choices=["none", "address"], default="none")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    chosen = [arguments.only] if arguments.only else targets()
    programs = build(chosen, arguments.sanitizer)
    results = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        same = [f"-runs={arguments.runs}", "-seed=1"] if arguments.runs else None
        limits = same or [f"-max_total_time={arguments.seconds}"]
        for name, executed, found in pool.map(lambda name: fuzz(programs / name, limits, same is None), chosen):
            results[name] = {"executions": executed, "found": found}
            if not arguments.json:
                pace = "" if same else f", {executed // max(arguments.seconds, 1):7} a second"
                print(f"{name:22} {executed:10} executions{pace}", flush=True)
    broken = {name: result["found"] for name, result in results.items() if result["found"]}
    if arguments.json:
        print(json.dumps(results, indent=1))
    for name, found in broken.items():
        print(f"\n{name}: {found}\nagain: cargo run -q -p grantway-fuzz --bin {name} -- FILE", file=sys.stderr)
    total = sum(result["executions"] for result in results.values())
    if not arguments.json:
        print(f"{len(chosen)} targets, {total} executions, {len(broken)} with findings")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
