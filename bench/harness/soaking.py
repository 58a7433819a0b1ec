"""Whether a long run was in order: memory, ends and sums, judged from its samples and the load's reports."""

import statistics
from dataclasses import dataclass

# How much the last quarter may hold above the second.
MEMORY_GROWTH_MAX = 1.05

# What the gateway calls the end of a client that misbehaves. It may be cut short by the end of the run instead,
# which leaves FIN or RST.
CAUSES = {
    "oversize": {"message_too_big"},
    "bad-frames": {"protocol_error", "invalid_utf8"},
    "no-pong": {"pong_timeout"},
    "never-reads": {"pong_timeout", "write_timeout", "queue_overflow"},
    "vanishes": {"peer_eof"},
    "resets": {"peer_reset"},
    "slow-handshake": set(),
}
CUT_SHORT = {"peer_eof", "peer_eof_in_frame", "peer_reset"}
OURS = {"client_close"}


@dataclass(frozen=True)
class Check:
    """One thing that had to be so."""

    name: str
    is_so: bool
    words: str


def checks(samples, echo, fan_out, misbehaving):
    """All of them. `samples` begin before the load and end behind it; the reports are of `gaugeway load --json`;
    so many clients misbehaved at a time beside the fan-out.
    """
    return [
        *memory(samples), *open_connections(samples), misbehaved(echo, fan_out), *ends(samples[-1], echo, fan_out),
        *behaving("echo", echo), *behaving("fan-out", fan_out), *messages(samples[-1], echo, fan_out, misbehaving),
    ]


def memory(samples):
    """Of the samples in which all connections were open, the last quarter against the second."""
    full = max(sample["open"] for sample in samples) * 0.9
    held = [sample["rss_kib"] for sample in samples if sample["open"] >= full]
    if len(held) < 8:
        return [Check("memory is flat", False, f"only {len(held)} samples with all connections open: run longer")]
    quarter = len(held) // 4
    second, last = (statistics.median(part) for part in (held[quarter:2 * quarter], held[-quarter:]))
    words = f"{second / 1024:.1f} MiB in the second quarter, {last / 1024:.1f} in the last: × {last / second:.3f}"
    return [Check(f"memory is flat (≤ × {MEMORY_GROWTH_MAX})", last <= MEMORY_GROWTH_MAX * second, words)]


def open_connections(samples):
    differing = [sample for sample in samples
                 if sample["opened"] - sum(sample["ended"].values()) != sample["open"]]
    words = f"{len(samples)} samples, {len(differing)} differ"
    if differing:
        first = differing[0]
        words += (f"; the first at {first['seconds']} s: {first['opened']} opened, {sum(first['ended'].values())} ended, "
                  f"{first['open']} open")
    last = samples[-1]
    return [Check("opened − ended = open, in every sample", not differing, words),
            Check("nobody is left at the end", last["open"] == 0, f"{last['open']} open")]


def misbehaved(*reports):
    """Without trouble, that nothing came of it says nothing."""
    tried = {kind: sum(report["misbehaved"].get(kind, {"tried": 0})["tried"] for report in reports) for kind in CAUSES}
    words = ", ".join(f"{kind} {count:,}" for kind, count in tried.items())
    return Check("there was trouble of every kind", all(tried.values()), words)


def ends(last, *reports):
    """Every cause is one that somebody brought about, as often as he did."""
    ended = last["ended"]
    known = OURS | CUT_SHORT | set().union(*CAUSES.values())
    unknown = {cause: count for cause, count in ended.items() if cause not in known}
    found = [Check("every end has a cause that was brought about", not unknown, f"unexplained: {unknown or 'none'}")]

    closed = sum(sum(report["closes"].values()) for report in reports)
    publisher = len(reports) - 1  # The fan-out's own connection is in nobody's closes.
    found.append(between("client_close: those that behave, closed by themselves", ended.get("client_close", 0),
                         closed, closed + publisher))
    done, cut = misconduct(reports)
    for causes, kinds in (
        (CAUSES["oversize"], ("oversize",)),
        (CAUSES["bad-frames"], ("bad-frames",)),
        (CAUSES["never-reads"] | CAUSES["no-pong"], ("never-reads", "no-pong")),
    ):
        count = sum(ended.get(cause, 0) for cause in causes)
        sure, perhaps = (sum(part.get(kind, 0) for kind in kinds) for part in (done, cut))
        found.append(between(f"{', '.join(sorted(causes))}: {' and '.join(kinds)}", count, sure, sure + perhaps))
    count = sum(ended.get(cause, 0) for cause in CUT_SHORT)
    sure = done.get("vanishes", 0) + done.get("resets", 0)
    perhaps = sum(times for kind, times in cut.items() if CAUSES[kind])
    found.append(between("FIN and RST: vanishes, resets, and who was cut short at the end", count, sure, sure + perhaps))
    return found


def misconduct(reports):
    """By kind: how many came to their end, and how many the end of the run cut short."""
    done, cut = {}, {}
    for report in reports:
        for kind, result in report["misbehaved"].items():
            for how, count in result["ended"].items():
                into = cut if how == "stopped" else done
                # Who was refused, or never got that far, has opened nothing.
                if not how.startswith(("connect", "tls", "upgrade", "status")):
                    into[kind] = into.get(kind, 0) + count
    return done, cut


def behaving(name, report):
    """Those that do nothing wrong are not made to suffer for those that do."""
    connections, messages = report["connections"], report["messages"]
    wrong = {key: messages[key] for key in ("unsent", "missing", "out_of_order") if messages[key]}
    wrong |= {"lost": connections["lost"]} if connections["lost"] else {}
    wrong |= report["errors"]
    return [Check(f"{name}: nobody who behaves loses a connection or a message", not wrong, f"{wrong or 'nothing lost'}")]


def messages(last, echo, fan_out, misbehaving):
    """The gateway's counts and the client's."""
    sent, received = echo["messages"]["sent"], echo["messages"]["received"]
    came, gone = (last[direction].get("/ws-notifications", 0) for direction in ("in", "out"))
    published, delivered = fan_out["messages"]["sent"], fan_out["messages"]["received"]
    receivers = fan_out["connections"]["open_max"]
    out = last["out"].get("/ws", 0)
    return [
        between("echo: messages in, as sent", came, sent, sent),
        between("echo: messages out, as received", gone, received, received),
        between("fan-out: messages in, as published", last["in"].get("/ws", 0), published, published),
        between("fan-out: deliveries received, one for each receiver", delivered, published * (receivers - 1),
                published * receivers),
        # The publisher's own copy, and what went out to those who misbehave, are in nobody's report.
        between("fan-out: messages out, as received and what others got", out, delivered,
                delivered + published * (1 + misbehaving)),
    ]


def between(name, count, low, high):
    """A count that must lie in a range, or be one number."""
    words = f"{count:,}, expected {low:,}" + (f" to {high:,}" if high != low else "")
    return Check(name, low <= count <= high, words)
