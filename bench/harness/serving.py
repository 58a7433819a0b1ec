"""Starts a server on free ports, waits for it, and ends it."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass

from .building import BUILD

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10


@dataclass(frozen=True)
class Ports:
    """Where one started server listens."""

    public: int
    admin: int


class Peer:
    """A server that is measured. A subclass has a name, `build()`, which gives its version, and `command()`."""

    # Groups of scenarios that it cannot do, for want of a feature.
    lacks = frozenset()

    def arguments(self, scenario):
        """What the client needs to know of this server."""
        return ["--path", scenario.path]

    def measured_pid(self, process):
        """The process that does the work."""
        return process.pid

    def counts(self, ports):
        """The server's own sums: connections opened, messages received and sent; those that it has."""
        return json.loads(fetch(f"http://127.0.0.1:{ports.public}/stats"))


def fetch(url):
    """The body of an answer."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def serving(peer, deflate=False, wrapper=()):
    """Starts the peer on free ports, waits until it accepts, gives (process, ports), and ends it."""
    ports = Ports(free_port(), free_port())
    command = [str(word) for word in (*wrapper, *peer.command(ports, deflate))]
    log = BUILD / f"{peer.name}.stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        wait_until_accepting(process, ports.public, log)
        yield process, ports
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_accepting(process, port, log):
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()[-1000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not listen after {START_SECONDS_MAX} s")
