"""Runs `gaugeway load` and reads what it reports."""

import contextlib
import json
import subprocess

from .building import BUILD

# Twenty addresses have half a million ports between them, so that those of ended connections may rest.
SOURCES = "127.0.0.2-127.0.0.21"


class Load:
    """A run of `gaugeway load` that is under way."""

    def __init__(self, binary, name, url, *words):
        self.name = name
        self.json = BUILD / f"load-{name}.json"
        self.json.unlink(missing_ok=True)
        self.log = BUILD / f"load-{name}.log"
        command = [binary, "load", url, "--source-addresses", SOURCES, "--no-progress", f"--json={self.json}", *words]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)

    def is_running(self):
        return self.process.poll() is None

    def outcome(self):
        """Waits for its end and gives its JSON. A run without one is an error that says what was printed."""
        code = self.process.wait()
        try:
            return json.loads(self.json.read_text())
        except (OSError, ValueError):
            said = self.log.read_text()[-2000:]
            raise RuntimeError(f"gaugeway load ({self.name}) ended with {code} and left no result: {said}") from None


@contextlib.contextmanager
def loading(loads):
    """Ends those of the runs that are still under way, whatever happens."""
    try:
        yield loads
    finally:
        for load in loads:
            if load.is_running():
                load.process.terminate()
        for load in loads:
            load.process.wait()


def load(binary, name, url, *words):
    """One run from its beginning to its end: its JSON."""
    with loading([Load(binary, name, url, *words)]) as (run,):
        return run.outcome()


def milliseconds(outcome, name):
    """A quantile of the latency, or None where there was none."""
    figures = outcome["figures"]["latency_seconds"]
    return figures and figures[name] * 1e3
