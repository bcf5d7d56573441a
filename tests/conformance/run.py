"""Runs the official MCP conformance suite against Grantway as a client, one scenario at a time: the suite's strictest form.

    python3 tests/conformance/run.py [--scenario NAME]... [--version DATE] [--json] [--list] [--client COMMAND] [--jobs N]
    python3 tests/conformance/run.py --record      after a new version of the suite: writes the numbers seen into expected.json

`expected.json` has a line for each scenario and protocol version: which checks must have succeeded (`proves`), how many at
least in all (`successes`), and for servers that must be refused the failure that the engine has to end in (`refused`). A
scenario passes if the suite says so, nothing is a warning, nothing was skipped, and all of that holds.

The client is a command that gets the server's URL as its last argument. It exits with 0 when the tool was called, else it
says `refused: SLUG: MESSAGE` on standard output.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import packages  # noqa: E402

RESULTS = ROOT / "target" / "conformance"
EXPECTED = HERE / "expected.json"
SCENARIOS = 41
SCORED = ("2025-11-25", "2026-07-28")
BACK_COMPAT = "2025-03-26"


def main() -> None:
    arguments = parse()
    expected = json.loads(EXPECTED.read_text())
    if len(expected) != SCENARIOS:
        packages.fail(f"expected.json has {len(expected)} scenarios, not {SCENARIOS}")
    if arguments.list:
        for entry in expected:
            print(entry["version"], entry["scenario"])
        return
    suite = [str(packages.npm(HERE)), str(HERE / "node_modules/@modelcontextprotocol/conformance/dist/index.js")]
    check_complete(suite, expected)
    chosen = [
        entry
        for entry in expected
        if arguments.scenario in ([], None) or entry["scenario"].removeprefix("auth/") in arguments.scenario
        if arguments.version in (None, entry["version"])
    ]
    if not chosen:
        packages.fail("there is no such scenario; see --list")
    client = arguments.client or build_client()
    shutil.rmtree(RESULTS, ignore_errors=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda entry: run(suite, client, entry), chosen))
    if arguments.record:
        record(expected, chosen, results)
    report(results, arguments.json)
    sys.exit(any(result["faults"] for result in results))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", action="append", type=lambda name: name.removeprefix("auth/"), metavar="NAME")
    parser.add_argument("--version", choices=[*SCORED, BACK_COMPAT])
    parser.add_argument("--client", metavar="COMMAND")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--record", action="store_true")
    return parser.parse_args()


def check_complete(suite: list[str], expected: list[dict]) -> None:
    """What is expected is all that the suite scores about authorization, neither more nor less."""
    for version in (*SCORED, BACK_COMPAT):
        which = ["--spec-version"] if version == BACK_COMPAT else ["--requirements"]
        listed = subprocess.run([*suite, "list", "--client", *which, version], capture_output=True, text=True, check=True)
        scored = listed.stdout.split("Run and reported, but never scored:")[0]
        scored = set(re.findall(r"^  - (auth/\S+)", scored, re.MULTILINE))
        ours = {entry["scenario"] for entry in expected if entry["version"] == version}
        if scored != ours:
            packages.fail(f"expected.json and the suite differ at {version}: {sorted(scored ^ ours)}")


def build_client() -> str:
    command = ["cargo", "build", "--quiet", "--package", "grantway-conformance-client", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        packages.fail("the client does not build")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    program = next(m["executable"] for m in messages if m.get("executable") and "client" in m["target"]["name"])
    # The suite splits the command at blanks; a relative path has none.
    return os.path.join(".", os.path.relpath(program, ROOT))


def run(suite: list[str], client: str, entry: dict) -> dict:
    """Runs one scenario; what is wrong with it stands in `faults`."""
    out = RESULTS / entry["version"]
    command = [*suite, "client", "--command", client, "--scenario", entry["scenario"]]
    command += ["--spec-version", entry["version"], "--output-dir", str(out)]
    begun = time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = round(time.monotonic() - begun, 1)
    code = re.search(r"Client exited with code (-?\d+)", ended.stderr)
    code = int(code[1]) if code else 0
    folders = list((out / "auth").glob(entry["scenario"].removeprefix("auth/") + "-20*"))
    checks, said = [], ""
    if len(folders) == 1 and (folders[0] / "checks.json").exists():
        checks = json.loads((folders[0] / "checks.json").read_text())
        said = (folders[0] / "stdout.txt").read_text()
    refused = re.search(r"^refused: (\w+\.\w+):", said, re.MULTILINE)
    refused = refused[1] if refused else None
    succeeded = [check["id"] for check in checks if check["status"] == "SUCCESS"]

    faults = [] if checks else ["no checks were made" + (": skipped" if "SKIPPED" in ended.stdout else "")]
    faults += [f"{check['status'].lower()}: {check['id']}" for check in checks if check["status"] not in ("SUCCESS", "INFO")]
    faults += [f"not proved: {check}" for check in entry["proves"] if check not in succeeded]
    if ended.returncode and not faults:
        faults.append("the suite says no: client timed out" if "TIMED OUT" in ended.stderr else "the suite says no")
    if len(succeeded) < entry["successes"]:
        faults.append(f"{len(succeeded)} checks succeeded, {entry['successes']} did before")
    if refused != entry.get("refused"):
        faults.append(f"ended in {refused or 'success'}, not in {entry.get('refused', 'success')}")
    if bool(code) != ("refused" in entry):
        faults.append(f"the client's exit code is {code}")
    return {
        "scenario": entry["scenario"],
        "version": entry["version"],
        "successes": len(succeeded),
        "refused": refused,
        "seconds": seconds,
        "faults": faults,
    }


def record(expected: list[dict], chosen: list[dict], results: list[dict]) -> None:
    for entry, result in zip(chosen, results, strict=True):
        entry["successes"] = result["successes"]
        result["faults"] = [fault for fault in result["faults"] if "did before" not in fault]
    EXPECTED.write_text("[\n" + ",\n".join("  " + json.dumps(entry) for entry in expected) + "\n]\n")


def report(results: list[dict], as_json: bool) -> None:
    passed = sum(not result["faults"] for result in results)
    if as_json:
        print(json.dumps({"passed": passed, "total": len(results), "scenarios": results}, indent=2))
        return
    for result in results:
        verdict = "FAILED" if result["faults"] else "ok"
        name = result["scenario"].removeprefix("auth/")
        print(
            f"{verdict:6} {result['version']} {name:38} {result['successes']:2} checks {result['seconds']:5.1f} s"
            f"  {result['refused'] or ''}".rstrip()
        )
        for fault in result["faults"]:
            print(f"         {fault}")
    print(f"\n{passed}/{len(results)} passed")


if __name__ == "__main__":
    main()
