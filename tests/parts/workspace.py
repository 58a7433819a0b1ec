"""Where things are, and how commands are run: shared by the steps and the installer."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / "tests" / "parts"
# Everything that is installed or written for the tests; `cargo clean` removes it.
STORE = ROOT / "target" / "parts"
LOGS = STORE / "logs"
# NAME=VALUE lines for the Rust tests: where each part is.
ENV_FILE = STORE / "env"
# Lines "TEST<TAB>PART", appended by Rust tests that could not run.
NOT_RUN_FILE = STORE / "not-run"
CARGO_TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


class Failed(Exception):
    """A step or an installation failed; the text says what, and what to do where that is known."""


def which(name):
    """Like shutil.which, and where Debian keeps servers, which an ordinary user's PATH lacks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(STORE / "cargo" / "bin")])
    return shutil.which(name, path=path)


def try_output(command, **options):
    """The command's stdout, or None if it cannot be started or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def run(command, log, timeout_s, env=None, cwd=ROOT):
    """Runs a command with its output appended to a log file. Raises Failed when it fails or takes too long."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("a") as output:
        output.write(f"$ {' '.join(words)}\n")
        output.flush()
        try:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                # Its own group, so that a time-out also ends the gateways and browsers that a test started.
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"{words[0]}: {error.strerror}") from error
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(words[:3])} took longer than {timeout_s} s") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if code != 0:
        raise Failed(f"{' '.join(words[:3])} exited with {code}")


def tail(log, lines=60):
    """The last lines of a log, where a failure usually is."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
