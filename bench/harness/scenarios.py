"""What is measured, and how one run of it is done and checked."""

import json
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .peers import serving

ECHO = "/ws-notifications"
HUB = "/ws"

# A run that takes longer has hung; the client itself gives up on a phase after 60 s.
CLIENT_SECONDS_MAX = 240
# How long the server's own counts may lag behind what the client has already received.
COUNTS_SECONDS_MAX = 3


@dataclass(frozen=True)
class Figure:
    """One column of a table: where it lies in the client's JSON, and how it is shown."""

    title: str
    key: str
    unit: str


@dataclass(frozen=True)
class Scenario:
    """One run of the client against one freshly started server."""

    name: str
    title: str
    group: str
    path: str
    arguments: tuple
    figures: tuple
    has_window: bool = True
    deflate: bool = False


CPU = "window.cpu_us_per_work"
PER_SECOND = "window.work_per_second"
LATENCIES = (
    Figure("p50", "latency.p50_ms", "ms"),
    Figure("p99", "latency.p99_ms", "ms"),
    Figure("p99.9", "latency.p999_ms", "ms"),
)
PER_MESSAGE = Figure("CPU per message", CPU, "µs")
PER_DELIVERY = Figure("CPU per delivery", CPU, "µs")
FAN_OUT = "Fan-out 256 B × 2,000 connections"
DEFLATED = ("--size", "1024", "--deflate", "true")

SCENARIOS = (
    Scenario("idle", "10,000 idle connections", "idle", ECHO, ("idle", "--connections", "10000"), (
        Figure("RSS per connection", "kib_per_connection", "KiB"),
        Figure("after one echo on each", "kib_per_connection_after_echo", "KiB"),
    ), has_window=False),
    Scenario("handshake", "Handshake and close", "handshake", ECHO, ("handshake", "--count", "10000"), (
        Figure("CPU", CPU, "µs"),
    ), has_window=False),
    Scenario("echo", "Echo 128 B, 200 connections, closed loop", "echo", ECHO, ("echo",), (
        PER_MESSAGE,
        Figure("messages", PER_SECOND, "/s"),
    )),
    Scenario("echo-rate", "Echo 128 B at 20,000/s", "echo", ECHO, ("echo", "--rate", "20000"),
             (PER_MESSAGE, *LATENCIES)),
    Scenario("fanout-20", f"{FAN_OUT}, 20/s", "fanout", HUB, ("fanout", "--rate", "20"), (PER_DELIVERY, *LATENCIES)),
    Scenario("fanout-100", f"{FAN_OUT}, 100/s", "fanout", HUB, ("fanout", "--rate", "100"),
             (PER_DELIVERY, *LATENCIES)),
    Scenario("fanout-max", f"{FAN_OUT}, saturated", "fanout", HUB, ("fanout",), (
        PER_DELIVERY,
        Figure("deliveries", PER_SECOND, "/s"),
    )),
    Scenario("deflate-100", "Fan-out 1 KiB JSON × 2,000, deflate, 100/s", "deflate", HUB,
             ("fanout", "--rate", "100", *DEFLATED),
             (PER_DELIVERY, *LATENCIES, Figure("on the wire", "wire_bytes_per_delivery", "B")), deflate=True),
)

GROUPS = tuple(dict.fromkeys(scenario.group for scenario in SCENARIOS))


def measure(client, peer, scenario, seconds):
    """Runs one scenario against a fresh server and gives the client's report with the circumstances.

    A failure is a result too: `{"error": …}`.
    """
    try:
        with serving(peer, scenario.deflate) as (process, ports):
            pid = peer.measured_pid(process)
            before = Circumstances(pid)
            report = run_client(client, peer, pid, ports, scenario, seconds)
            report["circumstances"] = before.until_now()
            report["difference"] = compare(peer, ports, report["totals"])
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error).strip()}
    return report


def run_client(client, peer, pid, ports, scenario, seconds):
    """The client's JSON."""
    command = [
        str(client), *scenario.arguments, *peer.arguments(scenario),
        "--address", f"127.0.0.1:{ports.public}", "--pid", str(pid),
    ]
    if scenario.has_window:
        command += ["--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def compare(peer, ports, totals):
    """Where the server's own counts, as far as it has them, differ from the client's: empty when they agree."""
    expected = {
        "connections": totals["opened"],
        "received": totals["messages_sent"],
        "sent": totals["messages_received"],
    }
    counted = settled_counts(peer, ports, expected)
    return {
        name: {"server": counted[name], "client": count}
        for name, count in expected.items()
        if counted.get(name, count) != count
    }


def settled_counts(peer, ports, expected):
    """The server's own counts, as soon as those that it has are as expected; after 3 s, whatever they are."""
    deadline = time.monotonic() + COUNTS_SECONDS_MAX
    while True:
        counted = peer.counts(ports)
        if all(counted.get(name, count) == count for name, count in expected.items()) or time.monotonic() > deadline:
            return counted
        time.sleep(0.1)


class Circumstances:
    """How busy the machine was with others, so that a noisy run is visible."""

    def __init__(self, server_pid):
        self.server_pid = server_pid
        self.begin = time.monotonic()
        self.busy = busy_seconds()
        self.own = self.own_seconds()

    def own_seconds(self):
        fields = Path(f"/proc/{self.server_pid}/stat").read_text().rsplit(")", 1)[1].split()
        server = (int(fields[11]) + int(fields[12])) / 100
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return server + children.ru_utime + children.ru_stime

    def until_now(self):
        elapsed = time.monotonic() - self.begin
        others = busy_seconds() - self.busy - (self.own_seconds() - self.own)
        load = Path("/proc/loadavg").read_text().split()[0]
        return {"others_cores": max(0.0, others / elapsed), "loadavg": float(load)}


def busy_seconds():
    """CPU time of the whole machine that was neither idle nor waiting for a disk (steal included)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / 100
