"""The servers that are measured: how each is built, started and asked for its own counts."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
BUILD = BENCH / ".build"

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10


class Unavailable(Exception):
    """The machine cannot have this peer; says what is missing."""


def run(command, cwd):
    """Runs a build step. Its output is shown only when it fails."""
    tool = str(command[0])
    if shutil.which(tool) is None:
        raise Unavailable(f"{tool} is not installed")
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{tool} failed in {Path(cwd).name}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build_client():
    """Builds the bench's own client and gives its path."""
    target = BUILD / "client"
    run(["cargo", "build", "--release", "--locked", "--target-dir", target], BENCH / "client")
    return target / "release" / "bench-client"


@dataclass(frozen=True)
class Ports:
    """Where one started server listens."""

    public: int
    admin: int


class Gorilla:
    """gorilla/websocket in Go: what the systems to be replaced are built on."""

    def __init__(self, name, options=()):
        self.name = name
        self.options = options

    def build(self):
        run(["go", "build", "-o", BUILD / "gorilla", "."], BENCH / "peers/gorilla")
        module = run(["go", "list", "-m", "github.com/gorilla/websocket"], BENCH / "peers/gorilla").split()[1]
        return f"gorilla/websocket {module}, {run(['go', 'env', 'GOVERSION'], BENCH).strip()}"

    def command(self, ports, deflate):
        level = "1" if deflate else "0"
        return [BUILD / "gorilla", "-listen", f"127.0.0.1:{ports.public}", "-compression", level, *self.options]

    def counts(self, ports):
        return fetch_stats(ports)


class Ws:
    """ws in Node."""

    name = "ws"

    def build(self):
        folder = BUILD / "ws"
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "server.js"):
            shutil.copy(BENCH / "peers/ws" / file, folder / file)
        run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], folder)
        version = json.loads((folder / "node_modules/ws/package.json").read_text())["version"]
        return f"ws {version}, Node {run(['node', '--version'], BENCH).strip()}"

    def command(self, ports, deflate):
        return ["node", BUILD / "ws/server.js", ports.public, "1" if deflate else "0"]

    def counts(self, ports):
        return fetch_stats(ports)


class UWebSockets:
    """uWebSockets in C++, from the sources that a crate carries."""

    name = "uwebsockets"

    def build(self):
        manifest = BENCH / "peers/uwebsockets"
        run(["cargo", "fetch", "--locked"], manifest)
        metadata = json.loads(run(["cargo", "metadata", "--locked", "--format-version", "1"], manifest))
        crate = next(package for package in metadata["packages"] if package["name"] == "libuwebsockets-sys")
        sources = Path(crate["manifest_path"]).parent / "uWebSockets"
        sockets = sources / "uSockets/src"
        folder = BUILD / "uwebsockets"
        folder.mkdir(parents=True, exist_ok=True)
        c_files = [*sockets.glob("*.c"), sockets / "eventing/epoll_kqueue.c"]
        run(["cc", "-O3", "-std=c11", "-DLIBUS_NO_SSL", f"-I{sockets}", "-c", *c_files], folder)
        objects = [file.with_suffix(".o").name for file in c_files]
        includes = [f"-I{sources / 'src'}", f"-I{sockets}"]
        flags = ["-O3", "-std=c++20", "-DLIBUS_NO_SSL", *includes]
        run(["c++", *flags, manifest / "server.cpp", *objects, "-lz", "-o", "server"], folder)
        compiler = run(["c++", "-dumpfullversion"], BENCH).strip()
        return f"uWebSockets as in libuwebsockets-sys {crate['version']}, GCC {compiler}"

    def command(self, ports, deflate):
        return [BUILD / "uwebsockets/server", ports.public, "1" if deflate else "0"]

    def counts(self, ports):
        return fetch_stats(ports)


class Multithread:
    """The gateway's frame code on tokio's multi-thread runtime, with nothing around it; echo only."""

    name = "multithread"

    def build(self):
        target = BUILD / "multithread"
        manifest = BENCH / "peers/multithread"
        run(["cargo", "build", "--release", "--locked", "--target-dir", target], manifest)
        tree = run(["cargo", "tree", "--locked", "--invert", "tokio", "--depth", "0", "--prefix", "none"], manifest)
        return f"{tree.strip()}, multi-thread runtime"

    def command(self, ports, deflate):
        del deflate  # It has none.
        return [BUILD / "multithread/release/multithread", f"127.0.0.1:{ports.public}"]

    def counts(self, ports):
        return fetch_stats(ports)


class Gaugeway:
    """The gateway, with all of its telemetry on; log lines go to /dev/null."""

    def __init__(self, name, binary=None, settings=()):
        self.name = name
        self.binary = binary
        self.settings = settings

    def build(self):
        if self.binary is None:
            run(["cargo", "build", "--release", "--locked", "--bin", "gaugeway"], ROOT)
            metadata = run(["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"], ROOT)
            self.binary = Path(json.loads(metadata)["target_directory"]) / "release/gaugeway"
        with contextlib.suppress(Unavailable):
            revision = run(["git", "describe", "--always", "--dirty"], ROOT).strip()
            return f"gaugeway {revision}, {run(['rustc', '--version'], ROOT).strip()}"
        return "gaugeway"

    def command(self, ports, deflate):
        del deflate  # The gateway compresses for whoever offers it; the client offers it or not.
        settings = [word for setting in self.settings for word in ("--set", setting)]
        listen = ["--listen", f"127.0.0.1:{ports.public}", "--admin-listen", f"127.0.0.1:{ports.admin}"]
        return [self.binary, "serve", *listen, *settings]

    def counts(self, ports):
        """The same three sums, from /metrics: data messages by direction, and upgrades."""
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.admin}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        sums = {"connections": 0, "received": 0, "sent": 0}
        for name, labels, value in re.findall(r"^gaugeway_(\w+_total)\{([^}]*)\} (\S+)$", text, re.M):
            if name == "connections_opened_total":
                sums["connections"] += int(float(value))
            elif name == "messages_total" and re.search(r'opcode="(text|binary)"', labels):
                sums["received" if 'direction="in"' in labels else "sent"] += int(float(value))
        return sums


def all_peers(gaugeway_binary=None):
    """Every peer by name."""
    one_shard = Gaugeway("gaugeway1", gaugeway_binary, ("server.shards=1",))
    peers = [
        Gorilla("gorilla"),
        Gorilla("gorilla-direct", ("-direct",)),
        Ws(),
        UWebSockets(),
        Multithread(),
        Gaugeway("gaugeway", gaugeway_binary),
        one_shard,
    ]
    return {peer.name: peer for peer in peers}


def fetch_stats(ports):
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.public}/stats", timeout=5) as answer:
        return json.load(answer)


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
