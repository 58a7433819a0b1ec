"""Peers that are a library with a small server around it, in peers/: each echoes, broadcasts and counts alike."""

import json
import shutil
from pathlib import Path

from .building import BENCH, BUILD, build_cargo, build_go, crate_version, go_version, run
from .serving import Peer


class Gorilla(Peer):
    """gorilla/websocket in Go: what the systems to be replaced are built on."""

    def __init__(self, name, options=()):
        self.name = name
        self.options = options
        self.binary = None

    def build(self):
        self.binary = build_go("gorilla")
        return f"gorilla/websocket {go_version('gorilla', 'github.com/gorilla/websocket')}"

    def command(self, ports, deflate):
        level = "1" if deflate else "0"
        return [self.binary, "-listen", f"127.0.0.1:{ports.public}", "-compression", level, *self.options]


class Coder(Peer):
    """coder/websocket in Go."""

    name = "coder"
    binary = None

    def build(self):
        self.binary = build_go("coder")
        return f"coder/websocket {go_version('coder', 'github.com/coder/websocket')}"

    def command(self, ports, deflate):
        return [self.binary, "-listen", f"127.0.0.1:{ports.public}", *(["-compression"] if deflate else [])]


class Ws(Peer):
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


class UWebSockets(Peer):
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


class Axum(Peer):
    """axum's `ws`, which is tokio-tungstenite, on tokio's multi-thread runtime."""

    name = "axum"
    lacks = frozenset({"deflate"})
    binary = None

    def build(self):
        self.binary = build_cargo("axum")
        return ", ".join(crate_version("axum", crate) for crate in ("axum", "tokio-tungstenite", "tokio"))

    def command(self, ports, deflate):
        del deflate  # It has none.
        return [self.binary, f"127.0.0.1:{ports.public}"]


class Multithread(Peer):
    """The gateway's frame code on tokio's multi-thread runtime, with nothing around it; echo only."""

    name = "multithread"
    lacks = frozenset({"fanout", "deflate"})
    binary = None

    def build(self):
        self.binary = build_cargo("multithread")
        return f"{crate_version('multithread', 'tokio')}, multi-thread runtime"

    def command(self, ports, deflate):
        del deflate  # It has none.
        return [self.binary, f"127.0.0.1:{ports.public}"]
