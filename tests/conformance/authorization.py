"""Runs the official MCP conformance suite's scenarios of authorization servers against the gateway, with the stand as its host:
once with a public client, once with a confidential one. A person at a browser does what the suite waits for.

    python3 tests/conformance/authorization.py [--json]

A run passes if each of the scenarios was run, each expected check was a SUCCESS, nothing failed, was skipped or was a warning that no reason
is recorded for, and the pages that the person came by are those of a consent.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "stand")]
import packages  # noqa: E402
from person import Browser, Lost, Person  # noqa: E402
from stand import build, stand  # noqa: E402

RESULTS = ROOT / "target" / "conformance-authorization"
SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
# The revisions that the suite knows of, and what has to succeed in each.
VERSIONS = ("2025-11-25", "2026-07-28")
PROVES = {
    "authorization-server-metadata-endpoint": ["authorization-server-metadata", "authorization-server-metadata-cimd"],
    "authorization-code-grant": ["authorization-code-grant"],
}
# What is a warning instead, for which clients, and why. It has to be one: the day it is none, this line goes.
WARNS = {
    "confidential": {
        "authorization-server-metadata-cimd": "the suite authenticates a client only where `none` is not offered, and clients with a"
        " metadata document have no secret: a gateway without public clients cannot take their documents"
    },
}
CLIENTS = ("public", "confidential")
TIMEOUT_SECONDS = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    suite = [str(packages.npm(HERE)), str(HERE / SUITE)]
    check_complete(suite)
    program = build()
    shutil.rmtree(RESULTS, ignore_errors=True)
    results = [run(suite, program, client, version) for client in CLIENTS for version in VERSIONS]
    report(results, arguments.json)
    sys.exit(any(result["faults"] for result in results))


def check_complete(suite: list[str]) -> None:
    """What is expected is all that the suite has, neither more nor less."""
    listed = subprocess.run([*suite, "list", "--authorization"], capture_output=True, text=True, check=True).stdout
    theirs = set(re.findall(r"^  - (\S+)", listed, re.MULTILINE))
    if theirs != set(PROVES):
        packages.fail(f"the suite has other scenarios of authorization servers: {sorted(theirs ^ set(PROVES))}\n{listed}")


def run(suite: list[str], program: str, client: str, version: str) -> dict:
    begun = time.monotonic()
    result = {"client": client, "version": version, "scenarios": 0, "successes": 0, "warnings": [], "faults": []}
    out = RESULTS / client / version
    with stand(program, *(["--confidential"] if client == "confidential" else [])) as at:
        port = free_port()
        registered = register(at["register"], f"http://127.0.0.1:{port}/callback", client)
        command = [*suite, "authorization", "--url", at["issuer"], "--client-id", registered["client_id"], "--port", str(port)]
        command += ["--spec-version", version, "--resource", at["mcp"], "--output-dir", str(out)]
        if client == "confidential":
            command += ["--client-secret", registered["client_secret"]]
        code, said, seen = drive(command, result["faults"])
    judge(result, out, code, said, seen)
    result["seconds"] = round(time.monotonic() - begun, 1)
    return result


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def register(endpoint: str, redirect_uri: str, client: str) -> dict:
    method = "none" if client == "public" else "client_secret_post"
    asked = {
        "client_name": "Conformance suite",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": method,
    }
    page = Browser().send("POST", endpoint, json.dumps(asked), {"Content-Type": "application/json"})
    answer = json.loads(page.body)
    if page.status != 201 or answer.get("token_endpoint_auth_method") != method or ("client_secret" in answer) == (method == "none"):
        packages.fail(f"the gateway does not register a {client} client: {page.status} {page.body}")
    return answer


def drive(command: list[str], faults: list[str]) -> tuple[int, str, list[str]]:
    """Runs the suite, and is the person whose browser it wants opened."""
    said, seen = [], []
    suite = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = threading.Timer(TIMEOUT_SECONDS, suite.kill)
    timer.start()
    for line in suite.stdout:
        said.append(line)
        if re.match(r"http\S+response_type=code", line):
            person = Person("alice", Browser())
            try:
                person.go(line.strip())
            except (Lost, OSError) as lost:
                faults.append(f"the person is lost: {lost}")
                suite.kill()
            seen = person.seen
    timer.cancel()
    return suite.wait(), "".join(said), seen


def judge(result: dict, out: Path, code: int, said: str, seen: list[str]) -> None:
    faults, recorded = result["faults"], WARNS.get(result["client"], {})
    (out / "said.txt").parent.mkdir(parents=True, exist_ok=True)
    (out / "said.txt").write_text(said)
    files = sorted(out.rglob("checks.json"))
    result["scenarios"] = len(files)
    if len(files) != len(PROVES):
        faults.append(f"{len(files)} scenarios were run, not {len(PROVES)}")
    for scenario, proves in PROVES.items():
        mine = [file for file in files if scenario in str(file.relative_to(out))]
        checks = [check for file in mine for check in json.loads(file.read_text())]
        succeeded = [check["id"] for check in checks if check["status"] == "SUCCESS"]
        result["successes"] += len(succeeded)
        warned = [check["id"] for check in checks if check["status"] == "WARNING"]
        result["warnings"] += [check for check in warned if check in recorded]
        bad = [check for check in checks if check["status"] not in ("SUCCESS", "INFO") and check["id"] not in result["warnings"]]
        faults += [f"{check['status'].lower()}: {check['id']}" for check in bad]
        faults += [f"not proved: {check}" for check in proves if check not in succeeded + result["warnings"]]
    faults += [f"no warning any more: {check}" for check in recorded if check not in result["warnings"]]
    if code:
        faults.append(f"the suite's exit code is {code}")
    if not re.search(r"\b0 failed", said) or re.search(r"skipped|warning", re.sub(r"\b0 (skipped|warnings?)", "", said), re.IGNORECASE):
        faults.append("the suite tells of failures, skipped scenarios or warnings")
    for heading in ("Who are you?", "Sign in to the stand", "Connect your accounts", "Allow Conformance suite to act for you?"):
        if heading not in seen:
            faults.append(f"the person has not seen `{heading}`, but {seen}")


def report(results: list[dict], as_json: bool) -> None:
    passed = sum(not result["faults"] for result in results)
    if as_json:
        print(json.dumps({"passed": passed, "total": len(results), "runs": results}, indent=2))
        return
    for result in results:
        verdict = "FAILED" if result["faults"] else "ok"
        print(
            f"{verdict:6} {result['version']} {result['client']:12} {result['scenarios']} scenarios,"
            f" {result['successes']} checks {result['seconds']:5.1f} s"
        )
        for check in result["warnings"]:
            print(f"         recorded warning: {check}, because {WARNS[result['client']][check]}")
        for fault in result["faults"]:
            print(f"         {fault}")
    print(f"\n{passed}/{len(results)} passed")


if __name__ == "__main__":
    main()
