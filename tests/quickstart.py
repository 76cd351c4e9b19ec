"""The table at the end of tests/quickstart, and the judgement: exit status 0 only if all of it held.

    quickstart.py SCRATCH-FOLDER
"""

import json
import sys
from pathlib import Path

SCRATCH = Path(sys.argv[1])
OLD, NEW = "1.0.0", "1.1.0"


def read(name):
    return json.loads((SCRATCH / f"{name}.json").read_text())


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

stages = list(dict.fromkeys(time["stage"] for receipt in receipts.values() for time in receipt["stages"]))
rows = [["seconds", *stages]]
for step, receipt in receipts.items():
    seconds = {time["stage"]: f"{time['seconds']:.2f}" for time in receipt["stages"]}
    rows.append([step, *(seconds.get(stage, "") for stage in stages)])
table(rows)

# The rest is what changing over adds to what any start of this service takes.
times = {time["stage"]: time["seconds"] for time in receipts["hold"]["stages"]}
waited, starting = receipts["hold"]["gate"]["longest_wait"], times["start"] + times["health"]
print(f"\nhold: no request waited longer than {waited:.2f} s, of which the service took {starting:.2f} s to start")

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
expect("backoff: some were refused, with Retry-After", tallies["backoff"]["refused"] > 0)
for step, (before, after) in {
    "install": (None, OLD), "upgrade": (OLD, NEW), "rollback": (NEW, OLD), "backoff": (OLD, NEW),
    "hold": (NEW, OLD),
}.items():
    ended = receipts[step]
    expect(f"{step}: {before} to {after}", (ended["from"], ended["to"]) == (before, after))
    expect(f"{step}: done", ended["result"] == "done")
sys.exit(0 if all(expectations) else 1)
