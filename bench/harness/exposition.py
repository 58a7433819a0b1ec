"""What a server tells of itself in Prometheus' text form, and what the kernel tells of it."""

import re
import time
from pathlib import Path

TICKS_PER_SECOND = 100


def samples(text, prefix):
    """(name without prefix, labels, value) of every sample whose name begins with `prefix_`."""
    for name, labels, value in re.findall(rf"^{prefix}_(\w+)(?:\{{([^}}]*)\}})? (\S+)$", text, re.M):
        if value not in ("NaN", "+Inf"):
            yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(float(value))


def cpu_seconds(pid):
    """User and system time of a process since it began; hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_kib(pid):
    """Resident memory of a process."""
    return int(re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def gateway_sample(pid, text, begin):
    """What a gateway says of its connections and messages in one answer of /metrics, and what it takes."""
    sample = {
        "seconds": round(time.monotonic() - begin, 1), "rss_kib": resident_kib(pid), "cpu_seconds": cpu_seconds(pid),
        "open": 0, "opened": 0, "ended": {}, "in": {}, "out": {}, "publications": 0, "deliveries": 0, "dropped": {},
    }
    for name, labels, value in samples(text, "gaugeway"):
        if name == "connections":
            sample["open"] += value
        elif name == "connections_opened_total":
            sample["opened"] += value
        elif name in ("publications_total", "deliveries_total"):
            sample[name.removesuffix("_total")] += value
        elif value and name == "disconnects_total":
            add(sample["ended"], labels["cause"], value)
        elif value and name == "deliveries_dropped_total":
            add(sample["dropped"], labels["reason"], value)
        elif value and name == "messages_total" and labels["opcode"] in ("text", "binary"):
            add(sample[labels["direction"]], labels["endpoint"], value)
    return sample


def add(counts, key, value):
    counts[key] = counts.get(key, 0) + value
