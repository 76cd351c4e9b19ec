"""The tests of tests/run: all that cargo knows, side by side; what failed is run once more, alone.

Needs the programs (`cargo build --bins`) and target/tools/bin/cargo-nextest (tests/parts). Prints the ten
slowest, `FLAKY` with the name of each test that failed and then passed, and the totals; exits 0 only where
none failed twice.

    run.py [FILTER…]        only tests whose names contain one of these, without the doctests
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from dataclasses import dataclass

NEXTEST = "target/tools/bin/cargo-nextest"
REPORT = "target/nextest/default/junit.xml"
# What nextest exits with where tests failed, and not nextest itself.
TESTS_FAILED = 100
# Most tests are waiting most of the time.
SIDE_BY_SIDE = 2 * (os.cpu_count() or 1)
# Where more fail, it is no accident, and running them again would only take time.
MOST_AGAIN = 20
SLOWEST = 10


@dataclass(frozen=True)
class Test:
    binary: str
    name: str
    seconds: float
    failed: bool

    def __str__(self):
        return f"{self.binary} {self.name}"

    def filter(self):
        return f"(binary_id(={self.binary}) & test(={self.name}))"


def run(threads, *arguments):
    """Runs tests, so many at a time; what came of each."""
    command = [NEXTEST, "nextest", "run", "--locked", "--workspace", "--test-threads", str(threads)]
    status = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL).returncode
    if status not in (0, TESTS_FAILED):
        sys.exit(status)
    tests = []
    for suite in xml.parse(REPORT).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            failed = case.find("failure") is not None or case.find("error") is not None
            tests.append(Test(suite.get("name"), case.get("name"), float(case.get("time")), failed))
    if (status == 0) == any(test.failed for test in tests):
        sys.exit(f"run.py: {REPORT} does not say what nextest says")
    return tests


def again(failed):
    """Those of them that fail when they are run alone, too."""
    print(f"\n{len(failed)} failed; each is run once more, alone", flush=True)
    tests = run(1, "--filterset", " | ".join(test.filter() for test in failed))
    return [test for test in tests if test.failed]


def doctests():
    """How many passed and how many failed; what they say is shown where one does."""
    command = ["cargo", "test", "--locked", "--workspace", "--doc", "--quiet"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    results = re.findall(r"^test result: .* (\d+) passed; (\d+) failed", ran.stdout, re.MULTILINE)
    passed, failed = (sum(int(result[at]) for result in results) for at in (0, 1))
    if ran.returncode != 0:
        print(ran.stdout)
        failed = max(failed, 1)
    return passed, failed


def main(filters):
    tests = run(SIDE_BY_SIDE, *filters)
    failed = [test for test in tests if test.failed]
    still = again(failed) if 0 < len(failed) <= MOST_AGAIN else failed
    passed_documentation, failed_documentation = (0, 0) if filters else doctests()

    print(f"\nthe {SLOWEST} slowest of {len(tests)} tests")
    for test in sorted(tests, key=lambda test: -test.seconds)[:SLOWEST]:
        print(f"{test.seconds:8.1f} s  {test}")
    names = {str(test) for test in still}
    for test in failed:
        print(f"{'FAILED' if str(test) in names else 'FLAKY'}  {test}")
    lost = len(still) + failed_documentation
    print(f"{len(tests) - len(still) + passed_documentation} passed, {lost} failed", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
