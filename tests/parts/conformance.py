"""Autobahn|Testsuite against one URL: which cases run, how, and what counts as conforming."""

import concurrent.futures
import json
import os
import re
import shutil
from dataclasses import dataclass

from workspace import LOGS, ROOT, STORE, Failed, run, try_output

REPORTS = STORE / "autobahn-reports"
TABLE = ROOT / "docs" / "conformance.md"
AGENT = "gaugeway"

# Sections 12 and 13 repeat one exchange with many sizes, two minutes per group: the short run takes one group of each.
# 13.7 makes several offers in one handshake, so that it also covers the choice among them.
SHORT = [*(f"{section}.*" for section in range(1, 11)), "12.1.*", "13.7.*"]
FULL = ["*"]

# Strict: NON-STRICT, UNIMPLEMENTED and every wrong or unclean close are failures.
CONFORMING = {"OK", "INFORMATIONAL"}

SECTIONS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8",
    7: "Close handshake",
    9: "Limits and performance",
    10: "Miscellaneous",
    12: "Compression, different payloads",
    13: "Compression, different parameters",
}

WSTEST = "from autobahntestsuite import wstest; wstest.run()"
# Asks the suite itself which cases a pattern stands for: a run that stopped early must not pass for a whole one.
LIST_CASES = """
import json, sys
from autobahntestsuite.case import CaseBasename, CaseCategories, CaseSetname, CaseSubCategories, Cases
from autobahntestsuite.caseset import CaseSet
cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
print(json.dumps(cases.parseSpecCases({"cases": json.loads(sys.argv[1])})))
"""


@dataclass(frozen=True)
class Case:
    number: str
    behavior: str
    behavior_close: str

    @property
    def conforms(self):
        return {self.behavior, self.behavior_close} <= CONFORMING

    @property
    def section(self):
        return int(self.number.split(".")[0])


def order(number):
    return [int(part) for part in number.split(".")]


def list_cases(python, packages, patterns):
    """The numbers of the cases that match, in order."""
    output = try_output([python, "-W", "ignore", "-c", LIST_CASES, json.dumps(patterns)], env=suite_env(packages))
    if output is None:
        raise Failed("Autobahn|Testsuite does not start; remove target/parts/autobahn to install it anew")
    return sorted(json.loads(output.splitlines()[-1]), key=order)


def suite_env(packages):
    return {**os.environ, "PYTHONPATH": packages}


def run_share(python, packages, url, share, cases):
    """One process of the suite with its share of the cases. Returns its results."""
    folder = REPORTS / str(share)
    folder.mkdir(parents=True)
    spec = folder / "fuzzingclient.json"
    spec.write_text(
        json.dumps(
            {
                "outdir": str(folder),
                "servers": [{"agent": AGENT, "url": url}],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    suite = [python, "-W", "ignore", "-c", WSTEST, "--mode", "fuzzingclient", "--spec", spec, "--webport", "0"]
    run(suite, LOGS / f"autobahn-{share}.log", 3600, env=suite_env(packages), cwd=folder)
    results = json.loads((folder / "index.json").read_text())[AGENT]
    return [Case(number, found["behavior"], found["behaviorClose"]) for number, found in results.items()]


def run_cases(python, packages, url, full):
    """Runs the suite, one process per core because it computes more than it waits. Raises Failed for any deviation."""
    wanted = list_cases(python, packages, FULL if full else SHORT)
    shutil.rmtree(REPORTS, ignore_errors=True)
    shares = min(os.cpu_count() or 1, 4)
    for share in range(shares):
        (LOGS / f"autobahn-{share}.log").unlink(missing_ok=True)
    # Dealt out one by one: the slow cases of a group are neighbours.
    with concurrent.futures.ThreadPoolExecutor(shares) as pool:
        runs = [pool.submit(run_share, python, packages, url, share, wanted[share::shares]) for share in range(shares)]
        cases = sorted((case for each in runs for case in each.result()), key=lambda case: order(case.number))

    missing = sorted(set(wanted) - {case.number for case in cases}, key=order)
    if missing:
        raise Failed(f"{len(missing)} of {len(wanted)} cases were not run: {', '.join(missing[:10])}")
    wrong = [case for case in cases if not case.conforms]
    if wrong:
        lines = [f"  {case.number}: {case.behavior}, close {case.behavior_close}" for case in wrong]
        raise Failed(f"{len(wrong)} of {len(cases)} cases do not conform ({REPORTS}):\n" + "\n".join(lines))
    return cases


def write_table(cases):
    """Writes docs/conformance.md from a full run."""
    rows = []
    for section in sorted({case.section for case in cases}):
        own = [case for case in cases if case.section == section]
        ok = sum(case.behavior == "OK" for case in own)
        rows.append(f"| {section} {SECTIONS.get(section, '')} | {len(own)} | {ok} | {len(own) - ok} |")
    informational = [case.number for case in cases if case.behavior == "INFORMATIONAL"]
    total_ok = len(cases) - len(informational)
    version = re.search(r"^autobahntestsuite==(.*)$", packages_list(), re.MULTILINE)[1]
    TABLE.write_text(
        f"""# Conformance

Written by `tests/run --full --only autobahn --write`: Autobahn|Testsuite {version}, every case of its fuzzing client,
against a release build, on an echo endpoint with a message limit of 16 MiB and the default compression.

A case passes as OK, or as INFORMATIONAL where RFC 6455 leaves the behaviour open. NON-STRICT, UNIMPLEMENTED, FAILED and
any wrong, failed or unclean close fail the run; there is none.

| section | cases | OK | INFORMATIONAL |
|---|---|---|---|
{chr(10).join(rows)}
| **all** | **{len(cases)}** | **{total_ok}** | **{len(informational)}** |

INFORMATIONAL: {', '.join(informational) or 'none'}.
"""
    )


def packages_list():
    return (ROOT / "tests" / "parts" / "autobahn" / "packages-second.txt").read_text()
