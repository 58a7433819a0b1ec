"""A release build of the gateway, started for one step on ports of the system's choice."""

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from workspace import CARGO_TARGET, LOGS, ROOT, Failed, run, tail

READY_TIMEOUT_S = 10
DRAIN_TIMEOUT_S = 10

# Autobahn sends messages of 16 MiB, and echoes must come back whole.
CONFIGURATION = """
[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{admin}"
drain_timeout = "1s"

[[endpoint]]
path = "/autobahn"
inbound = "echo"
max_message_bytes = 16777216

[[endpoint]]
path = "/ws-notifications"
inbound = "echo"
"""


@dataclass(frozen=True)
class Gateway:
    public: int  # port of the WebSocket endpoints
    admin: int  # port of /metrics and /health

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            return answer.read()


def build(log):
    """Compiles the release binary; free when nothing changed."""
    run(["cargo", "build", "--release", "--locked", "--bin", "gaugeway"], log, 1800)
    return CARGO_TARGET / "release" / "gaugeway"


def free_ports(count):
    """Ports that nothing listens on: all are held at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_ready(gateway, child, log):
    """Until /health/ready answers 200; fails at once when the process is gone."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Failed(f"the gateway exited with {child.returncode}:\n{tail(log, 20)}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/health/ready", timeout=1):
                return
        time.sleep(0.02)
    raise Failed(f"the gateway was not ready within {READY_TIMEOUT_S} s:\n{tail(log, 20)}")


@contextlib.contextmanager
def running(step, more=""):
    """Starts a gateway with CONFIGURATION and more; at the end it must leave by itself, with 0, after SIGTERM."""
    binary = build(LOGS / f"{step}.log")
    public, admin = free_ports(2)
    gateway = Gateway(public, admin)
    log = LOGS / f"{step}-gateway.log"
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        file = Path(folder) / "gaugeway.toml"
        file.write_text(CONFIGURATION.format(public=public, admin=admin) + more)
        child = subprocess.Popen([binary, "serve", "-c", file], stdout=output, stderr=output, cwd=ROOT)
        try:
            wait_ready(gateway, child, log)
            yield gateway
            if child.poll() is not None:
                raise Failed(f"the gateway ended during {step}, with {child.returncode}:\n{tail(log, 20)}")
            child.terminate()
            try:
                code = child.wait(DRAIN_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise Failed(f"the gateway ignored SIGTERM for {DRAIN_TIMEOUT_S} s") from None
            if code != 0:
                raise Failed(f"the gateway exited with {code} after SIGTERM:\n{tail(log, 20)}")
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
