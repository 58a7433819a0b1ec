"""schemathesis against a live gateway: is openapi.json true, whatever is sent?"""

import contextlib
import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import gateway
from workspace import PARTS, Failed, tail

SECRET = "schemathesis-0123456789"
KEYED = f'\n[api]\nkeys = ["tests:{SECRET}"]\n'
SEED = 6455
EXAMPLES_MAX = 100  # per operation and phase
TIMEOUT_S = 120
CLIENTS = 20

# A disconnect begins the end: until its client has answered, the connection is still there, as "closing".
NOT_OURS = "use_after_free"

# An Idempotency-Key that comes again with another body is refused with 422, and a value like "0" comes again often.
CONFIG = """
[[operations]]
include-path = "/api/v1/publish"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 422]
"""

UPGRADE = (
    "GET /ws-notifications?user_id={user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@contextlib.contextmanager
def clients(port):
    """Open WebSockets, so that there is something to look at and to disconnect."""
    with contextlib.ExitStack() as stack:
        for user in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            client.sendall(UPGRADE.format(user=user).encode())
            if b" 101 " not in client.recv(1024):
                raise Failed("a client was not accepted")
        yield


def run_once(program, log, more, headers):
    """All checks in all phases; returns the number of requests."""
    with gateway.running("api", more) as running, tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG)
        command = [
            program, "--config-file", config, "run", f"http://127.0.0.1:{running.admin}/api/v1/openapi.json",
            "--checks", "all", "--exclude-checks", NOT_OURS, "--seed", str(SEED), "--max-examples", str(EXAMPLES_MAX),
            "--request-timeout", "15", "--suppress-health-check", "all", "--generation-database", "none", "--no-color",
            *[argument for header in headers for argument in ("--header", header)],
        ]  # fmt: skip
        paths = [str(PARTS), os.environ.get("PYTHONPATH", "")]
        hooks = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "SCHEMATHESIS_HOOKS": "api_hooks"}
        environment = {**os.environ, **hooks, "PYTHONDONTWRITEBYTECODE": "1"}
        with clients(running.public), log.open("a") as output:
            try:
                done = subprocess.run(
                    command, stdout=output, stderr=output, cwd=folder, timeout=TIMEOUT_S, check=False, env=environment
                )
            except subprocess.TimeoutExpired:
                raise Failed(f"schemathesis did not end within {TIMEOUT_S} s") from None
        text = log.read_text()
        generated = re.findall(r"(\d+) generated", text)
        if done.returncode != 0 or not generated:
            raise Failed(f"schemathesis exited with {done.returncode}:\n{tail(log, 60)}")
        return int(generated[-1])


def run_all(program, log):
    """Without keys and with one; returns the number of requests."""
    return run_once(program, log, "", []) + run_once(program, log, KEYED, [f"Authorization: Bearer {SECRET}"])
