#!/usr/bin/env python3
"""Shows that the attack tests have teeth: deletes the check that an attack meets, and expects its test to fail.

    tests/attacks/mutants.py                all of `mutants.toml`
    tests/attacks/mutants.py --only ID      those of one attack, or of several: MIX-02 CSR-05, or of a family: TOK
    tests/attacks/mutants.py --gallery      a line for each: attack, test, what is cut out, red (noticed) or green (survived)
    tests/attacks/mutants.py --json         a summary for programs

All the tests named are first run on a copy of the code as it is, under target/attacks: each must be there and pass. Then each mutant is
built, and the tests that name it are run. It survives if one of them passes, and likewise if it does not build: that shows nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import attacks  # noqa: E402
import mutation  # noqa: E402
from attacks import Mutant, Test  # noqa: E402

WORK = ROOT / "target" / "attacks"
# Debug information would cost more time than the tests.
PROFILE = ("--config", "profile.dev.debug=0", "--config", "profile.dev.incremental=true")
FEATURES = {"grantway": ("--all-features",)}
SECONDS = 120


class Survived(Exception):
    """The mutant was not noticed, or shows nothing."""


@dataclass(frozen=True)
class Run:
    """What a run of one test came to."""

    status: int
    said: str

    def passed(self) -> bool:
        return self.status == 0 and "1 passed" in self.said

    def failed(self) -> bool:
        return self.status == 101 and "0 passed; 1 failed" in self.said


def build(test: Test) -> Path:
    """The program of the target in which the test stands."""
    command = ["cargo", "test", "-q", "--locked", "--no-run", "--message-format=json", "-p", test.package, *test.target_arguments(),
               *FEATURES.get(test.package, ()), "--target-dir", str(WORK / "build"), *PROFILE]
    done = subprocess.run(command, cwd=WORK / "tree", capture_output=True, text=True, stdin=subprocess.DEVNULL)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        errors = [m["message"]["rendered"] for m in messages
                  if m["reason"] == "compiler-message" and m["message"]["level"] == "error"]
        raise Survived("it does not build:\n" + ("".join(errors) or done.stderr))
    programs = [m["executable"] for m in messages
                if m["reason"] == "compiler-artifact" and m["profile"]["test"] and m.get("executable")
                and m["target"]["name"].replace("-", "_") == test.target_name().replace("-", "_")]
    if len(programs) != 1:
        raise Survived(f"`{test.package} {test.target}` is no single test target")
    return Path(programs[0])


def run(program: Path, test: Test) -> Run:
    manifest = WORK / "tree" / test.directory()
    try:
        done = subprocess.run([program, "--exact", test.name], cwd=manifest, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS,
                              env={**os.environ, "CARGO_MANIFEST_DIR": str(manifest), "RUST_BACKTRACE": "0"})
    except subprocess.TimeoutExpired:
        return Run(-1, f"it did not end within {SECONDS} s")
    return Run(done.returncode, done.stdout + done.stderr)


def check_unmutated(mutants: list[Mutant]) -> None:
    """Every test named is there and passes."""
    by_target: dict[tuple[str, str], set[Test]] = defaultdict(set)
    for mutant in mutants:
        by_target[mutant.test.package, mutant.test.target].add(mutant.test)
    bad = []
    for tests in by_target.values():
        program = build(next(iter(tests)))
        bad += [f"{test}:\n{outcome.said}" for test in sorted(tests) if not (outcome := run(program, test)).passed()]
    if bad:
        sys.exit("attack-mutants: on the code as it is these tests do not pass:\n" + "\n".join(bad))


def attempt(copy: mutation.Copy, mutant: Mutant) -> str:
    """What the test complained of."""
    try:
        copy.become(mutation.mutated(mutant.cuts))
    except mutation.NotFound as why:
        raise Survived(str(why)) from None
    outcome = run(build(mutant.test), mutant.test)
    if outcome.failed():
        return complaint(outcome.said)
    if outcome.passed():
        raise Survived(f"`{mutant.test.name}` passes")
    raise Survived(f"`{mutant.test.name}` was not run to its end:\n{outcome.said}")


def test_name(test: Test) -> str:
    """Where it stands and what it is called, without what is the same for most."""
    return f"{test.target}::{test.name}"


def complaint(said: str) -> str:
    """The first line of the last panic: others may be those of its helpers, or of cases that were made smaller."""
    lines = said.rpartition("panicked at ")[2].splitlines()[1:]
    return next((line.strip()[:150] for line in lines if line.strip()), "it failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="ID", nargs="+", default=[])
    parser.add_argument("--gallery", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    bare = attacks.without_mutant()
    mutants = [m for m in attacks.mutants() if not arguments.only or any(m.attack.startswith(only) for only in arguments.only)]
    say = (lambda _: None) if arguments.json or arguments.gallery else (lambda text: print(text, flush=True))
    copy = mutation.Copy(WORK / "tree")
    check_unmutated(mutants)
    if arguments.gallery:
        print("Each test is green on the code as it is. `red`: it fails once that is cut out.\n", flush=True)
    say(f"{len({m.test for m in mutants})} tests pass on the code as it is, {time.monotonic() - began:.0f} s\n")
    results: list[dict[str, object]] = []
    # Together by target: what a mutant does not touch stays built. In the end by attack again.
    for mutant in sorted(mutants, key=lambda m: (m.test.package, m.test.target)):
        start = time.monotonic()
        try:
            noticed, why = attempt(copy, mutant), None
        except Survived as survived:
            noticed, why = None, str(survived)
        seconds = round(time.monotonic() - start, 1)
        results.append({"attack": mutant.attack, "cuts": [vars(cut) for cut in mutant.cuts], "test": str(mutant.test),
                        "noticed": noticed, "survived": why, "seconds": seconds})
        if arguments.gallery:
            print(f"{mutant.attack:<7} {'red  ' if why is None else 'GREEN'} {test_name(mutant.test)}  <-  {mutant.told()}", flush=True)
        say(f"{mutant.attack} {mutant.told()}\n  {mutant.test}\n  " + (f"noticed: {noticed}" if why is None else f"SURVIVED: {why}")
            + f"\n  {seconds:.0f} s\n")
    copy.become({})
    survivors = [result for result in results if result["survived"]]
    seconds = time.monotonic() - began
    if arguments.json:
        print(json.dumps({"mutants": results, "attacks_without": bare, "seconds": round(seconds)}, indent=1))
    else:
        print("".join(f"SURVIVED {result['attack']} {result['test']}\n" for result in survivors)
              + "".join(f"NO MUTANT {attack}\n" for attack in bare)
              + f"{len({m.attack for m in mutants})} attacks, {len(results)} mutants, {len(results) - len(survivors)} noticed, "
              + f"{len(survivors)} survived, {seconds:.0f} s")
    sys.exit(1 if survivors or bare else 0)


if __name__ == "__main__":
    main()
