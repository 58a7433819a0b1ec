"""The steps of tests/run, in their order. Each returns a short remark for its line, or raises Failed."""

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import api_check
import conformance
import gateway
from workspace import LOGS, NOT_RUN_FILE, PARTS, ROOT, STORE, Failed, run, try_output

FUZZ_SECONDS = 30


@dataclass(frozen=True)
class Context:
    """What the command line and the installer said."""

    found: dict  # part name -> path
    variables: dict  # for the Rust tests
    full: bool
    write: bool


@dataclass(frozen=True)
class Step:
    name: str
    run: Callable[[Context, Path], str]
    requires: tuple = ()  # parts without which it cannot run at all
    uses: tuple = ()  # parts that single tests of it need


def fmt(_context, log):
    run(["cargo", "fmt", "--check"], log, 120)


def clippy(_context, log):
    clippy_command = ["cargo", "clippy", "--all-targets", "--locked"]
    run([*clippy_command, "--", "-D", "warnings"], log, 1800)
    # What the bench compares with must build, too.
    run([*clippy_command, "--features", "without-telemetry", "--", "-D", "warnings"], log, 1800)


def deny(_context, log):
    run(["cargo", "deny", "--locked", "check", "bans", "licenses", "sources"], log, 300)


def nginx(context, log):
    """The shipped configuration, as printed in the README, with every option of nginx/render, and as compose runs it."""
    debian, newer = context.found["nginx"], context.found["nginx-1.28"]
    compose = ["--address", "0.0.0.0", "--upstream-file", ROOT / "nginx" / "compose" / "upstream.conf"]
    variants = {
        "plain": ([debian, newer], ["--no-tls"]),
        "tls": ([debian, newer], []),
        "rendered": ([debian, newer],
                     ["--balance", "user", "--upstream", "127.0.0.1:8080,127.0.0.1:8090", "--read-timeout", "3s",
                      "--set", "worker_processes=2", "--set", "worker_shutdown_timeout=2s"]),
        "compose": ([newer], compose),
        "compose-by-user": ([newer], [*compose, "--balance", "user"]),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, (programs, options) in variants.items():
            target = Path(folder) / name
            # An authority of its own: the tests leave the user's one alone.
            run([ROOT / "nginx" / "render", target, *options], log, 60, env={"CAROOT": str(STORE / "ca")})
            for program in programs:
                run([program, "-t", "-p", target, "-c", "nginx.conf"], log, 60)
    return f"{len(variants)} configurations"


def test(context, log):
    """Unit and end-to-end tests, in the dev profile: it builds in a third of the release profile's time."""
    NOT_RUN_FILE.unlink(missing_ok=True)
    run(["cargo", "test", "--locked", "--no-fail-fast"], log, 1500, env=context.variables)
    passed = sum(int(count) for count in re.findall(r"^test result: ok\. (\d+) passed", log.read_text(), re.MULTILINE))
    if passed == 0:
        raise Failed("cargo test ran no test")
    return f"{passed} tests"


def build(_context, log):
    gateway.build(log)


def instructions(_context, log):
    """The hot paths' instruction counts against the committed baseline: they repeat where times do not."""
    run([ROOT / "bench" / "instructions"], log, 900)
    return f"{len(re.findall(r'^.+[+-][0-9.]+% ', log.read_text(), re.MULTILINE))} paths"


def promtool(context, log):
    """Metrics of a gateway that has served a client, then the shipped rules and configuration where there are any."""
    with gateway.running("promtool") as running:
        scenario = {
            "url": f"ws://127.0.0.1:{running.public}/ws-notifications",
            "steps": [{"send": {"text_length": 1000}}, {"expect": {"text_length": 1000}}],
        }
        answer = try_output([context.found["node"], str(PARTS / "node" / "client.mjs"), json.dumps(scenario)])
        if answer is None or not json.loads(answer)["ok"]:
            raise Failed(f"the client failed: {answer}")
        metrics = running.metrics()
    check = subprocess.run(
        [context.found["promtool"], "check", "metrics"], input=metrics, capture_output=True, check=False, timeout=60
    )
    findings = (check.stdout + check.stderr).decode()
    if check.returncode != 0 or findings.strip():
        raise Failed(f"promtool check metrics:\n{findings}")

    with tempfile.TemporaryDirectory() as folder:
        render = [ROOT / "prometheus" / "render", folder, "--gateway", "127.0.0.1:8081,127.0.0.1:8091"]
        run([*render, "--exporter", "127.0.0.1:9114", "--listen", "127.0.0.1:9091", "--interval", "1s"], log, 60)
        files = [*sorted((ROOT / "prometheus").glob("**/*.yml")), Path(folder) / "prometheus.yml"]
        for file in files:
            kind = "config" if file.stem == "prometheus" else "rules"
            run([context.found["promtool"], "check", kind, file], log, 60)
    return f"{len(metrics.splitlines())} lines of metrics, {len(files)} files"


def schemathesis(context, log):
    """The API's description against a live gateway, without keys and with one."""
    return f"{api_check.run_all(context.found['schemathesis'], log)} requests"


def autobahn(context, _log):
    with gateway.running("autobahn") as running:
        url = f"ws://127.0.0.1:{running.public}/autobahn"
        cases = conformance.run_cases(context.found["python2.7"], context.found["autobahn"], url, context.full)
    if context.write:
        conformance.write_table(cases)
    return f"{len(cases)} cases"


def fuzz(context, log):
    """Every target for a short time, from its committed corpus. New inputs go to target/, not into the corpus."""
    fuzz_command = ["cargo", f"+{context.found['nightly']}", "fuzz"]
    targets = (try_output([*fuzz_command, "list"], cwd=ROOT) or "").split()
    if not targets:
        raise Failed("cargo fuzz lists no target")
    for target in targets:
        run([*fuzz_command, "build", "--sanitizer", "none", target], log, 1200)
    for target in targets:
        scratch, corpus = STORE / "fuzz" / target, ROOT / "fuzz" / "corpus" / target
        scratch.mkdir(parents=True, exist_ok=True)
        folders = [scratch, *([corpus] if corpus.is_dir() else [])]
        limits = [f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=1024"]
        run([*fuzz_command, "run", "--sanitizer", "none", target, *folders, "--", *limits], log, 600)
    return f"{len(targets)} targets, {FUZZ_SECONDS} s each"


MONITORING = ("prometheus", "promtool", "prometheus-nginx-exporter")
CLIENTS = ("node", "node-clients", "wscat", "python", "websocat", "chromium", "curl")

STEPS = (
    Step("fmt", fmt),
    Step("clippy", clippy),
    Step("deny", deny, requires=("cargo-deny",)),
    Step("nginx", nginx, requires=("nginx", "nginx-1.28", "mkcert", "openssl")),
    Step(
        "test",
        test,
        uses=("nginx", "nginx-1.28", "mkcert", "openssl", "netns", *MONITORING, "compose-config", *CLIENTS),
    ),
    Step("build", build),
    Step("instructions", instructions, requires=("valgrind",)),
    Step("promtool", promtool, requires=("promtool", "node", "node-clients")),
    Step("schemathesis", schemathesis, requires=("schemathesis",)),
    Step("autobahn", autobahn, requires=("python2.7", "autobahn")),
    Step("fuzz", fuzz, requires=("cargo-fuzz", "nightly")),
)


def not_run_tests():
    """What the Rust tests could not run: (test, part) pairs."""
    if not NOT_RUN_FILE.exists():
        return []
    return sorted({tuple(line.split("\t", 1)) for line in NOT_RUN_FILE.read_text().splitlines() if "\t" in line})


def log_of(step):
    return LOGS / f"{step.name}.log"
