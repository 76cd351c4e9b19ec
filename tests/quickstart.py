"""The table at the end of tests/quickstart, and the judgement: exit status 0 only if all of it held.

    quickstart.py SCRATCH-FOLDER
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRATCH = Path(sys.argv[1])
OLD, NEW = "1.0.0", "1.1.0"


def read(name):
    return json.loads((SCRATCH / f"{name}.json").read_text())


def start_by_hand(version):
    """Seconds from the start of the release's own command, without a gate, to its first healthy answer."""
    node, address = SCRATCH / "node", str(SCRATCH / "by-hand.sock")
    service = json.loads((node / "state/releases" / version / "release.json").read_text())["service"]

    def fill(text):
        return text.replace("{prefix}", str(node / "releases" / version)).replace("{socket}", address)

    def healthy():
        with socket.socket(socket.AF_UNIX) as question:
            question.settimeout(10)
            try:
                question.connect(address)
                question.sendall(f"GET {service['health']['path']} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                return question.recv(16).split()[1:2] == [b"200"]
            except OSError:
                return False

    Path(address).unlink(missing_ok=True)
    variables = {name: fill(value) for name, value in service["env"].items()}
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command, silent = [fill(word) for word in service["command"]], subprocess.DEVNULL
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=silent, stderr=silent, start_new_session=True)
    try:
        while not healthy():
            if process.poll() is not None or time.monotonic() - began > 60:
                sys.exit(f"did not start by hand: {command}")
            time.sleep(0.002)
        return time.monotonic() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells))


steps = [("install", "1.0.0"), ("upgrade", "upgrade"), ("rollback", "rollback"), ("backoff", "backoff"), ("hold", "hold")]
receipts = {step: read(f"install-{name}") for step, name in steps}
tallies = {step: read(f"traffic-{name}") for step, name in steps if step != "install"}

rows = [["", "requests", f"by {OLD}", f"by {NEW}", "failed", "refused", "slowest", "dark", "fetched"]]
for step, receipt in receipts.items():
    tally = tallies.get(step, {})
    figures = receipt["gate"] or {}
    rows.append([
        step,
        str(tally.get("requests", "")),
        str(tally.get("served", {}).get(OLD, 0) if tally else ""),
        str(tally.get("served", {}).get(NEW, 0) if tally else ""),
        str(tally.get("failed", "")),
        str(tally.get("refused", "")),
        f"{tally['slowest_ms']} ms" if tally else "",
        f"{figures['dark']:.2f} s" if figures else "",
        f"{receipt['fetched'] / 1e6:.1f} MB",
    ])
table(rows)
print()

stages = list(dict.fromkeys(took["stage"] for receipt in receipts.values() for took in receipt["stages"]))
rows = [["seconds", *stages]]
for step, receipt in receipts.items():
    seconds = {took["stage"]: f"{took['seconds']:.2f}" for took in receipt["stages"]}
    rows.append([step, *(seconds.get(stage, "") for stage in stages)])
table(rows)

# The service's own start is from its command to its first healthy answer: the stages `start` and `health`.
# The rest is what changing over adds.
times = {stage["stage"]: stage["seconds"] for stage in receipts["hold"]["stages"]}
waited, starting = receipts["hold"]["gate"]["longest_wait"], times["start"] + times["health"]
beyond = waited - starting
by_hand = statistics.median(start_by_hand(OLD) for _ in range(5))
print(f"\nhold: no request waited longer than {waited:.3f} s: the service took {starting:.3f} s to start, and changing over {beyond:.3f} s")
print(f"      (by hand, without the gate, that service takes {by_hand:.3f} s to start, median of five)")

expectations = []


def expect(what, holds):
    expectations.append(holds)
    if not holds:
        print(f"did not hold: {what}", file=sys.stderr)


for step, tally in tallies.items():
    expect(f"{step}: no request failed {tally['failures']}", tally["failed"] == 0)
    expect(f"{step}: both releases served", all(tally["served"].get(v, 0) > 0 for v in (OLD, NEW)))
for step in ("upgrade", "rollback"):
    expect(f"{step}: nothing was refused", tallies[step]["refused"] == 0)
    expect(f"{step}: it was never dark", receipts[step]["gate"]["dark"] == 0)
expect("hold: nothing was refused", tallies["hold"]["refused"] == 0)
expect("hold: some waited", receipts["hold"]["gate"]["held"] > 0)
expect("hold: no more than 0.1 s beyond the service's own start", beyond <= 0.1)
expect("backoff: some were refused, with Retry-After", tallies["backoff"]["refused"] > 0)
for step, (before, after) in {
    "install": (None, OLD), "upgrade": (OLD, NEW), "rollback": (NEW, OLD), "backoff": (OLD, NEW),
    "hold": (NEW, OLD),
}.items():
    ended = receipts[step]
    expect(f"{step}: {before} to {after}", (ended["from"], ended["to"]) == (before, after))
    expect(f"{step}: done", ended["result"] == "done")
sys.exit(0 if all(expectations) else 1)
