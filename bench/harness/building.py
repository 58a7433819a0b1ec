"""Build steps: where things lie, and how a tool that is not there is told from one that fails."""

import shutil
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
BUILD = BENCH / ".build"


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


def build_go(name, package="."):
    """Builds the Go program in peers/NAME and gives its path."""
    binary = BUILD / "go" / name
    run(["go", "build", "-o", binary, package], BENCH / "peers" / name)
    return binary


def go_version(name, module):
    """`v1.2.3, go1.2.3`: a module that peers/NAME uses, and the compiler."""
    version = run(["go", "list", "-m", module], BENCH / "peers" / name).split()[1]
    return f"{version}, {run(['go', 'env', 'GOVERSION'], BENCH).strip()}"


def build_cargo(name):
    """Builds the Cargo project in peers/NAME and gives its program's path."""
    target = BUILD / name
    run(["cargo", "build", "--release", "--locked", "--target-dir", target], BENCH / "peers" / name)
    return target / "release" / name


def crate_version(name, crate):
    """`crate v1.2.3`: a crate that peers/NAME uses."""
    words = ["cargo", "tree", "--locked", "--invert", crate, "--depth", "0", "--prefix", "none"]
    return run(words, BENCH / "peers" / name).strip()
