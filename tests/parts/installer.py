"""The real programs that the tests talk to: where they are, and how those that are missing get here."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from workspace import ENV_FILE, LOGS, PARTS, ROOT, STORE, Failed, run, try_output, which

NODE = PARTS / "node"
VENV = STORE / "venv"
TOOLS = STORE / "tools"
AUTOBAHN = STORE / "autobahn"


@dataclass(frozen=True)
class Part:
    """A program or library. `find` gives its path, or None; the rest says how it can be installed."""

    name: str
    find: Callable[[], Optional[str]]
    packages: tuple = ()  # of Debian
    install: Optional[Callable[[Path], None]] = None  # after the packages; gets the log file

    @property
    def variable(self):
        return "PART_" + self.name.upper().replace("-", "_").replace(".", "_")


def digest(*files):
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def stamped(folder, wanted):
    """Whether the folder was wholly installed from just these files."""
    stamp = folder / ".stamp"
    return stamp.exists() and stamp.read_text() == wanted


def command(name, *packages):
    return Part(name, lambda: which(name), packages)


# Node: `ws`, `wscat` and playwright-core, pinned by the lock file.


def find_node_clients():
    return str(NODE) if which("node") and stamped(NODE / "node_modules", digest(NODE / "package-lock.json")) else None


def install_node_clients(log):
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], log, 300, cwd=NODE)
    (NODE / "node_modules" / ".stamp").write_text(digest(NODE / "package-lock.json"))


def find_wscat():
    script = NODE / "node_modules" / ".bin" / "wscat"
    return str(script) if find_node_clients() and script.exists() else None


# Python: virtual environments, one for the client's `websockets`, one for programs; each pinned by its list.

REQUIREMENTS = PARTS / "python" / "requirements.txt"
TOOL_REQUIREMENTS = PARTS / "python" / "tools.txt"


def venv_program(name, program, folder, requirements):
    """A program of a virtual environment; parts of one folder share it."""

    def find():
        return str(folder / "bin" / program) if stamped(folder, digest(requirements)) else None

    def install(log):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", folder], log, 120)
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", requirements], log, 300)
        (folder / ".stamp").write_text(digest(requirements))

    return Part(name, find, venv_packages(), install)


def venv_packages():
    """Debian keeps what `python3 -m venv` needs in a package of its own."""
    return () if try_output([sys.executable, "-c", "import ensurepip, venv"]) is not None else ("python3-venv",)


# Autobahn|Testsuite: Python 2.7 with the last packages that run there.

AUTOBAHN_PACKAGES = (PARTS / "autobahn" / "packages-first.txt", PARTS / "autobahn" / "packages-second.txt")


def find_python27():
    """Tries each: pyenv puts a `python2.7` on PATH that fails unless that version is selected."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [which("python2.7"), *sorted(pyenv.glob("versions/2.7*/bin/python2.7"), reverse=True)]
    for candidate in filter(None, candidates):
        if try_output([str(candidate), "-c", "import pip, ssl"]) is not None:
            return str(candidate)
    return None


def find_autobahn():
    return str(AUTOBAHN) if find_python27() and stamped(AUTOBAHN, digest(*AUTOBAHN_PACKAGES)) else None


def install_autobahn(log):
    python = find_python27()
    if python is None:
        raise Failed("needs python2.7 with pip: on PATH, or pyenv install 2.7.18")
    shutil.rmtree(AUTOBAHN, ignore_errors=True)
    install = [python, "-m", "pip", "install", "--quiet", "--target", AUTOBAHN, "--no-deps"]
    first, second = AUTOBAHN_PACKAGES
    run([*install, "-r", first], log, 300)
    run([*install, "--no-build-isolation", "-r", second], log, 300, env={"PYTHONPATH": str(AUTOBAHN)})
    # pip --target leaves the namespace package without the file that Python 2.7 needs to import from it.
    (AUTOBAHN / "zope" / "__init__.py").touch()
    (AUTOBAHN / ".stamp").write_text(digest(*AUTOBAHN_PACKAGES))


# Cargo's tools are built once, outside of the project's own dependencies.


def cargo_tool(name, version, *packages):
    def install(log):
        source = ["cargo", "install", "--locked", "--root", STORE / "cargo", "--version", version, name]
        run(source, log, 1800)

    return Part(name, lambda: which(name), packages, install)


# nginx as in compose.yaml, newer than Debian's.

NGINX_MANIFEST = PARTS / "nginx" / "Cargo.toml"
NGINX_LOCK = PARTS / "nginx" / "Cargo.lock"
NGINX_BUILD = STORE / "nginx"
NGINX_LIBRARIES = ("libpcre2-dev", "zlib1g-dev", "libssl-dev")
NGINX_OPTIONS = (
    "--error-log-path=stderr",
    "--with-http_ssl_module",
    "--with-http_stub_status_module",
    "--with-cc-opt=-O1",
)


def find_nginx_source():
    return str(NGINX_BUILD / "objs" / "nginx") if stamped(NGINX_BUILD, digest(NGINX_LOCK)) else None


def install_nginx_source(log):
    run(["cargo", "fetch", "--locked", "--manifest-path", NGINX_MANIFEST], log, 300)
    about = ["cargo", "metadata", "--offline", "--locked", "--format-version", "1", "--manifest-path", NGINX_MANIFEST]
    packages = json.loads(try_output(about) or '{"packages": []}')["packages"]
    crates = [Path(package["manifest_path"]).parent for package in packages if package["name"] == "nginx-src"]
    if not crates:
        raise Failed("cargo does not say where it put nginx-src")
    shutil.rmtree(NGINX_BUILD, ignore_errors=True)
    shutil.copytree(crates[0] / "nginx", NGINX_BUILD)
    # Relative paths are looked up from -p, as the shipped configuration means them.
    run(["sh", "auto/configure", "--prefix=.", *NGINX_OPTIONS], log, 120, cwd=NGINX_BUILD)
    run(["make", "-j2"], log, 600, cwd=NGINX_BUILD)
    (NGINX_BUILD / ".stamp").write_text(digest(NGINX_LOCK))


# Compose's own reader of its files, as a small Go program.

COMPOSE = PARTS / "compose"
COMPOSE_CONFIG = STORE / "compose-config"
COMPOSE_SOURCES = (COMPOSE / "main.go", COMPOSE / "go.mod", COMPOSE / "go.sum")


def find_compose_config():
    return str(COMPOSE_CONFIG / "compose-config") if stamped(COMPOSE_CONFIG, digest(*COMPOSE_SOURCES)) else None


def install_compose_config(log):
    if which("go") is None:
        raise Failed("needs Go 1.24 or newer on PATH")
    COMPOSE_CONFIG.mkdir(parents=True, exist_ok=True)
    run(["go", "build", "-trimpath", "-o", COMPOSE_CONFIG / "compose-config", "."], log, 600, cwd=COMPOSE)
    (COMPOSE_CONFIG / ".stamp").write_text(digest(*COMPOSE_SOURCES))


def find_nightly():
    """Asks for what is installed: `cargo +nightly` could start a download."""
    for line in (try_output(["rustup", "toolchain", "list"], cwd=ROOT) or "").splitlines():
        if line.startswith("nightly"):
            return line.split()[0]
    return None


def find_netns():
    """The `ip` command, where it may create a network namespace."""
    ip, name = which("ip"), f"gaugeway-{os.getpid()}"
    if ip is None or try_output([ip, "netns", "add", name]) is None:
        return None
    try_output([ip, "netns", "del", name])
    return ip


CATALOGUE = (
    command("nginx", "nginx"),
    Part("nginx-1.28", find_nginx_source, NGINX_LIBRARIES, install_nginx_source),
    command("chromium", "chromium"),
    command("prometheus", "prometheus"),
    command("promtool", "prometheus"),
    command("prometheus-nginx-exporter", "prometheus-nginx-exporter"),
    command("mkcert", "mkcert", "libnss3-tools"),
    command("openssl", "openssl"),
    command("curl", "curl"),
    # valgrind asks for the symbols of the C library's loader.
    command("valgrind", "valgrind", "libc6-dbg"),
    command("node"),
    Part("node-clients", find_node_clients, (), install_node_clients),
    Part("wscat", find_wscat),
    venv_program("python", "python", VENV, REQUIREMENTS),
    venv_program("schemathesis", "schemathesis", TOOLS, TOOL_REQUIREMENTS),
    cargo_tool("cargo-deny", "0.20.2"),
    cargo_tool("websocat", "1.14.1", "libssl-dev", "pkg-config"),
    Part("python2.7", find_python27),
    Part("autobahn", find_autobahn, (), install_autobahn),
    command("cargo-fuzz"),
    Part("nightly", find_nightly),
    Part("compose-config", find_compose_config, (), install_compose_config),
    Part("netns", find_netns, () if which("ip") else ("iproute2",)),
)
NAMES = tuple(part.name for part in CATALOGUE)


def may_lack():
    """The names in may-lack.txt."""
    lines = (line.strip() for line in (PARTS / "may-lack.txt").read_text().splitlines())
    names = {line for line in lines if line and not line.startswith("#")}
    unknown = names - set(NAMES)
    if unknown:
        raise Failed(f"may-lack.txt names unknown parts: {', '.join(sorted(unknown))}")
    return names


def install_packages(packages, log):
    """Debian packages, through sudo for an ordinary user."""
    if which("apt-get") is None:
        raise Failed(f"no apt-get here; install by hand: {' '.join(packages)}")
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run([*prefix, "apt-get", "update"], log, 600, env=quiet)
    run([*prefix, "apt-get", "install", "-y", "--no-install-recommends", *packages], log, 1800, env=quiet)


def provide(names, install=True):
    """Finds the named parts, installing what is missing. Returns name -> path, and name -> why it is missing."""
    log = LOGS / "parts.log"
    parts = [part for part in CATALOGUE if part.name in names]
    missing = [part for part in parts if part.find() is None] if install else []
    reasons = {}

    packages = sorted({package for part in missing for package in part.packages})
    if packages:
        try:
            install_packages(packages, log)
        except Failed as failure:
            reasons = {part.name: str(failure) for part in missing if part.packages}
    for part in missing:
        if part.install and part.find() is None:
            try:
                part.install(log)
            except Failed as failure:
                reasons[part.name] = str(failure)

    found = {part.name: part.find() for part in parts}
    lacking = {name: reasons.get(name, "not found") for name, path in found.items() if path is None}
    return {name: path for name, path in found.items() if path is not None}, lacking


def environment(found):
    """The variables by which the Rust tests find the parts."""
    return {part.variable: found[part.name] for part in CATALOGUE if part.name in found}


def write_environment(found):
    """Merges into the file, so that a run of one step leaves the other steps' parts known."""
    lines = dict(environment(found))
    if ENV_FILE.exists():
        known = dict(line.split("=", 1) for line in ENV_FILE.read_text().splitlines() if "=" in line)
        lines = {**{name: path for name, path in known.items() if os.path.exists(path)}, **lines}
    ENV_FILE.parent.mkdir(parents=True, exist_ok=True)
    ENV_FILE.write_text("".join(f"{name}={path}\n" for name, path in sorted(lines.items())))
