"""Peers that are whole servers with configuration of their own, the gateway among them."""

import contextlib
import json
import re
from pathlib import Path

from .building import BUILD, ROOT, Unavailable, build_go, go_version, run
from .exposition import samples
from .serving import Peer, fetch, free_port


class Gaugeway(Peer):
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
        sums = {"connections": 0, "received": 0, "sent": 0}
        for name, labels, value in samples(fetch(f"http://127.0.0.1:{ports.admin}/metrics"), "gaugeway"):
            if name == "connections_opened_total":
                sums["connections"] += value
            elif name == "messages_total" and labels["opcode"] in ("text", "binary"):
                sums["received" if labels["direction"] == "in" else "sent"] += value
        return sums


class Nchan(Peer):
    """nginx with Debian's nchan module, one worker. It has no echo; a hub is a channel."""

    name = "nchan"
    lacks = frozenset({"echo"})
    folder = BUILD / "nchan"
    package = "libnginx-mod-nchan"
    module = folder / "package/usr/lib/nginx/modules/ngx_nchan_module.so"

    def build(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.module.exists():
            # Unpacked beside the bench and not installed: the system's nginx stays as it is.
            run(["apt-get", "download", self.package], self.folder)
            for file in self.folder.glob(f"{self.package}_*.deb"):
                run(["dpkg-deb", "-x", file, self.folder / "package"], self.folder)
        # The module must have been made for this very nginx; only nginx can tell.
        run(["nginx", *self.where(self.configure(free_port(), False)), "-t", "-q"], self.folder)
        file = next(self.folder.glob(f"{self.package}_*.deb"))
        version = run(["dpkg-deb", "-f", file, "Version"], self.folder).strip()
        system = run(["dpkg-query", "-W", "-f", "${Version}", "nginx"], self.folder).strip()
        return f"nginx {system} with {self.package} {version}, one worker"

    def where(self, configuration):
        return ["-p", self.folder, "-e", self.folder / "error.log", "-c", configuration]

    def configure(self, port, deflate):
        """Writes the configuration and gives its path."""
        paths = "".join(f"{kind}_temp_path {self.folder}/{kind};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        hub = "nchan_channel_id hub; nchan_subscriber_first_message newest;"
        compress = "nchan_deflate_message_for_websocket on;" if deflate else ""
        file = self.folder / "nginx.conf"
        file.write_text(f"""
load_module {self.module};
daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid {self.folder}/nginx.pid; error_log {self.folder}/error.log warn;
events {{ worker_connections 20000; }}
http {{
    access_log off; {paths} client_max_body_size 64k;
    nchan_permessage_deflate_compression_level 1;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        nchan_websocket_ping_interval 30s; nchan_message_buffer_length 256;
        location = /ws {{ nchan_pubsub websocket; {hub} {compress} }}
        location = /ws-notifications {{ nchan_subscriber websocket; nchan_channel_id quiet; }}
        location = /stats {{ nchan_stub_status; }}
    }}
}}
""")
        return file

    def command(self, ports, deflate):
        return ["nginx", *self.where(self.configure(ports.public, deflate))]

    def arguments(self, scenario):
        return [*super().arguments(scenario), *without_echo(scenario)]

    def measured_pid(self, process):
        """The worker: the process that was started is nginx's master, which does nothing."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return int(children[0])

    def counts(self, ports):
        """It counts what is published, and neither deliveries nor upgrades."""
        text = fetch(f"http://127.0.0.1:{ports.public}/stats")
        return {"received": int(re.search(r"^total published messages: (\d+)", text, re.M)[1])}


class Centrifugo(Peer):
    """Centrifugo, over its one-way WebSocket transport, which sends one publication per frame."""

    name = "centrifugo"
    lacks = frozenset({"echo"})
    binary = None

    def build(self):
        package = "github.com/centrifugal/centrifugo/v5"
        self.binary = build_go("centrifugo", package)
        return f"Centrifugo {go_version('centrifugo', package)}"

    def command(self, ports, deflate):
        settings = {
            "address": "127.0.0.1", "port": str(ports.public), "log_level": "error", "prometheus": True,
            "allow_anonymous_connect_without_token": True,
            "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
            "allow_publish_for_client": True, "allow_publish_for_anonymous": True,
            "uni_websocket": True, "uni_websocket_ping_interval": "30s", "uni_websocket_message_size_limit": 65536,
            "uni_websocket_compression": deflate, "uni_websocket_compression_level": 1,
            "uni_websocket_compression_min_size": 128,
            "websocket_compression": deflate,
            # Its own pings are messages; one within a run would be counted as a publication.
            "ping_interval": "600s",
        }
        file = BUILD / "centrifugo.json"
        file.write_text(json.dumps(settings))
        return [self.binary, "--config", file]

    def arguments(self, scenario):
        receive = ["--path", "/connection/uni_websocket", "--hello"]
        if scenario.group in ("idle", "handshake"):
            return [*receive, "{}", *without_echo(scenario)]
        return [
            *receive, '{"subs":{"all":{}}}',
            "--publisher-path", "/connection/websocket", "--publisher-hello", '{"id":1,"connect":{}}',
            "--publisher-frame", '{"id":2,"publish":{"channel":"all","data":{}}}',
        ]

    def counts(self, ports):
        """It counts every message that it sends, by kind. One answers each connect; the answers to the publisher
        may share a frame, so the client counts none of them.
        """
        sums = {"connections": 0, "sent": 0}
        for name, labels, value in samples(fetch(f"http://127.0.0.1:{ports.public}/metrics"), "centrifugo"):
            if name == "transport_messages_sent":
                is_connect = labels["frame_type"] in ("connect", "push_connect")
                sums["connections"] += value if is_connect else 0
                sums["sent"] += value if is_connect or labels["transport"] == "uni_websocket" else 0
        return sums


def without_echo(scenario):
    """Only this scenario echoes without measuring an echo."""
    return ["--echo", "false"] if scenario.group == "idle" else []

