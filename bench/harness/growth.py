"""What `bench/growth` measures: one class of figures per function, each against a gateway of its own."""

import contextlib
import http.client
import json
import math
import statistics
import subprocess
import time
from dataclasses import dataclass

from .peers import serving
from .scenarios import ECHO, HUB

CLIENT_SECONDS_MAX = 240
SETTLE_SECONDS = 2
SCRAPES = 40
PUBLICATIONS = 1_000
READINGS = 3
# Six times as often as by default, so that a short window holds every connection's ping, twice.
PING_SECONDS = 5
IDLE_WINDOW_SECONDS = 2 * PING_SECONDS
DELIVERIES_PER_SECOND = 40_000
CHURN_STEP = 200_000

# An exponent within so much of 0 or 1 is the noise of a shared machine.
TOLERANCE = 0.1


@dataclass
class Curve:
    """Cost over size. `each`: the cost of one of many, which in a linear whole is flat."""

    title: str
    unit: str
    of: str
    each: bool
    points: list

    def __post_init__(self):
        self.factor, self.exponent = fit(self.points)

    def verdict(self):
        if self.exponent <= TOLERANCE:
            return "flat" if self.exponent >= -TOLERANCE else "falls"
        if not self.each and self.exponent <= 1 + TOLERANCE:
            return "linear" if self.exponent >= 1 - TOLERANCE else "less than linear"
        return f"worse than linear: {self.exponent + self.each:.2f}"


def fit(points):
    """Factor and exponent of the power law nearest to the points, by least squares of the logarithms."""
    xs, ys = ([math.log(value) for value in values] for values in zip(*points))
    x_mean, y_mean = statistics.mean(xs), statistics.mean(ys)
    exponent = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys)) / sum((x - x_mean) ** 2 for x in xs)
    return math.exp(y_mean - exponent * x_mean), exponent


def connections(client, gateway, sizes):
    """What connections cost that only are there."""
    gateway.settings = (f"heartbeat.ping_interval={PING_SECONDS}s",)
    memory, cpu, scrape, page = [], [], [], []
    with serving(gateway) as (process, ports), holding(client, process, ports, ECHO) as hold:
        empty = rss_when_empty(client, process, ports)
        for size in sizes:
            hold(size)
            time.sleep(SETTLE_SECONDS)
            memory.append((size, rss_kib(process) - empty))
            before = cpu_seconds(process)
            time.sleep(IDLE_WINDOW_SECONDS)
            cpu.append((size, (cpu_seconds(process) - before) * 1e3 / IDLE_WINDOW_SECONDS))
            milliseconds, kilobytes = scraped(ports)
            scrape.append((size, milliseconds))
            page.append((size, kilobytes))
    return [
        Curve("memory, idle", "KiB in all", "connections", False, memory),
        Curve(f"CPU, idle, a ping each {PING_SECONDS} s", "ms per second", "connections", False, cpu),
        Curve("scrape: time", "ms", "connections", False, scrape),
        Curve("scrape: size", "kB", "connections", False, page),
    ]


def users(client, gateway, sizes):
    """What it costs to know whose a connection is, and to send something to one user."""
    gateway.settings = ()
    memory, cpu = [], []
    path = ECHO + "?user_id=user-{n}"
    with serving(gateway) as (process, ports), holding(client, process, ports, path) as hold:
        empty = rss_when_empty(client, process, ports)
        for size in sizes:
            hold(size)
            time.sleep(SETTLE_SECONDS)
            memory.append((size, rss_kib(process) - empty))
            cpu.append((size, least(lambda: publish_to_users(process, ports, size))))
    return [
        Curve("memory, each a user of its own", "KiB in all", "users", False, memory),
        Curve("publish to one user: CPU", "µs per request", "users", True, cpu),
    ]


def publish_to_users(process, ports, size):
    """Microseconds of CPU for a publication to one of so many users, its HTTP request included."""
    connection = http.client.HTTPConnection("127.0.0.1", ports.admin, timeout=10)
    before = cpu_seconds(process)
    for number in range(PUBLICATIONS):
        # A prime: neighbours in time are not neighbours in memory.
        user = f"user-{number * 7919 % size}"
        body = json.dumps({"to": {"user": user}, "data": {"number": number}})
        connection.request("POST", "/api/v1/publish", body, {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        if answer.get("receivers") != 1:
            raise SystemExit(f"growth: {user} was not served: {answer}")
    connection.close()
    return (cpu_seconds(process) - before) * 1e6 / PUBLICATIONS


def rates(client, gateway, sizes):
    """What a delivery costs at so many publications a second."""
    gateway.settings = ()
    points = [(rate, least(lambda: fan_out(client, gateway, 1_000, rate))) for rate in sizes]
    return [Curve("fan-out to 1,000: CPU", "µs per delivery", "publications/s", True, points)]


def members(client, gateway, sizes):
    """What a delivery costs with so many receivers of each publication."""
    gateway.settings = ()
    rate = DELIVERIES_PER_SECOND
    points = [(size, least(lambda: fan_out(client, gateway, size, rate / size))) for size in sizes]
    title = f"{DELIVERIES_PER_SECOND:,} deliveries/s: CPU"
    return [Curve(title, "µs per delivery", "receivers of each", True, points)]


def least(measure):
    """The lowest of some readings: neighbours on the machine only add."""
    return min(measure() for _ in range(READINGS))


def fan_out(client, gateway, receivers, rate):
    with serving(gateway) as (process, ports):
        arguments = ["fanout", "--connections", receivers, "--rate", rate, "--seconds", 4]
        return run_client(client, process, ports, HUB, arguments)["window"]["cpu_us_per_work"]


def churn(client, gateway, count):
    """Resident KiB before, and after each of some rounds of connections that come and go; `count` in all."""
    gateway.settings = ()
    with serving(gateway) as (process, ports):
        # What a server sets up once, and what the allocator keeps of a small crowd.
        run_client(client, process, ports, ECHO, ["handshake", "--count", 20_000])
        readings = [(0, rss_kib(process))]
        while readings[-1][0] < count:
            step = min(CHURN_STEP, count - readings[-1][0])
            run_client(client, process, ports, ECHO, ["handshake", "--count", step])
            time.sleep(SETTLE_SECONDS)
            readings.append((readings[-1][0] + step, rss_kib(process)))
    return readings


@contextlib.contextmanager
def holding(client, process, ports, path):
    """Gives a function that sees to it that so many connections are open."""
    command = client_command(client, process, ports, path, ["hold"])
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hold(count):
        child.stdin.write(f"{count}\n")
        child.stdin.flush()
        held = json.loads(child.stdout.readline() or '{"held": "the client ended"}')["held"]
        if held != count:
            raise SystemExit(f"growth: {count} connections wanted, held: {held}")

    try:
        yield hold
        child.stdin.close()
        report = json.loads(child.stdout.readline())
        lost = report["totals"]["lost_by_code"]
        if lost:
            raise SystemExit(f"growth: the gateway ended connections: {lost}")
    finally:
        child.kill()
        child.wait()


def run_client(client, process, ports, path, arguments):
    command = client_command(client, process, ports, path, arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise SystemExit(f"growth: {done.stderr}")
    report = json.loads(done.stdout)
    lost = report["totals"]["lost_by_code"]
    if lost:
        raise SystemExit(f"growth: the gateway ended connections: {lost}")
    return report


def client_command(client, process, ports, path, arguments):
    about = ["--path", path, "--address", f"127.0.0.1:{ports.public}", "--pid", process.pid]
    return [str(word) for word in (client, *arguments, *about)]


def scraped(ports):
    """The median of some scrapes in milliseconds, as a client sees them, and the page's size in kB."""
    connection = http.client.HTTPConnection("127.0.0.1", ports.admin, timeout=10)
    times = []
    for _ in range(SCRAPES):
        start = time.perf_counter()
        connection.request("GET", "/metrics")
        page = connection.getresponse().read()
        times.append((time.perf_counter() - start) * 1e3)
    connection.close()
    return statistics.median(times), len(page) / 1000


def rss_when_empty(client, process, ports):
    """Once a few have come and gone, so that what a server sets up once is not charged to the connections."""
    run_client(client, process, ports, ECHO, ["handshake", "--count", 200])
    time.sleep(SETTLE_SECONDS)
    return rss_kib(process)


def rss_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def cpu_seconds(process):
    """All threads' CPU time, from the process' CPU clock: nanoseconds, not the ticks of `/proc`."""
    return time.clock_gettime((~process.pid << 3) | 2)
