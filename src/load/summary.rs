//! A report in plain words, aligned, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Histogram, Judged, Report};
use crate::config::printable;

/// Lines of one list of reasons; the rest is one line more.
const REASONS_MAX: usize = 20;

/// What the report itself does not know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// The connections that were asked for.
    pub wanted: Option<u64>,
    /// How many were open when the last had been tried, and after which time.
    pub opening: Option<(u64, Duration)>,
    /// Whether messages waited for answers, so that none was due at a moment of its own.
    pub is_closed_loop: bool,
}

/// The whole summary, with a line end behind each line. What a server chose is escaped.
pub fn summary(report: &Report, known: Known, judged: &[Judged]) -> String {
    let mut lines = Lines(printable(&report.url) + "\n\n");
    lines.connections(report, known);
    lines.histogram("handshake", "", &report.handshake);
    lines.messages(report);
    let since = if known.is_closed_loop {
        " (from when each was sent, a closed loop)"
    } else {
        " (from when each was due)"
    };
    lines.histogram("latency", since, &report.latency);
    lines.closes(report);
    let errors = report.errors.iter().map(|(reason, times)| (reason.clone(), *times));
    lines.reasons("errors", errors);
    for (misconduct, misbehaved) in &report.misbehaved {
        let tried = (format!("{}, tried", misconduct.as_str()), misbehaved.tried);
        let ended = misbehaved.ended.iter().map(|(how, times)| (how.clone(), *times));
        lines.reasons("misbehaved", std::iter::once(tried).chain(ended));
    }
    for one in judged {
        let result = if one.kept { "kept" } else { "NOT KEPT" };
        lines.line("threshold", &format!("{}: {}: {result}", one.asked, one.found));
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<13} {text}");
    }

    fn connections(&mut self, report: &Report, known: Known) {
        let connections = &report.connections;
        // Writing to a string cannot fail, here and below.
        let mut text = String::new();
        if let Some(wanted) = known.wanted {
            let _ = write!(text, "{} wanted, ", show_count(wanted));
        }
        let _ = write!(
            text,
            "{} opened in {} attempts, at most {} at once, {} lost",
            show_count(connections.opened),
            show_count(connections.attempted),
            show_count(connections.open_max),
            show_count(connections.lost)
        );
        self.line("connections", &text);
        if let Some((opened, took)) = known.opening.filter(|(_, took)| !took.is_zero()) {
            let rate = opened as f64 / took.as_secs_f64();
            let took = show_time(took);
            let text = format!("{} in {took}, {} per second", show_count(opened), show_rate(rate));
            self.line("opening", &text);
        }
    }

    fn messages(&mut self, report: &Report) {
        let messages = &report.messages;
        let seconds = report.window.as_secs_f64();
        if seconds == 0.0 {
            return self.line("messages", "the run ended before its window");
        }
        let per_second = |count: u64| show_rate(count as f64 / seconds);
        self.line("window", &show_time(report.window));
        let counts = [
            (messages.sent, "sent"),
            (messages.unsent, "due but not sent"),
            (messages.received, "received"),
            (messages.missing, "missing"),
            (messages.out_of_order, "out of order"),
        ];
        let counts = counts.map(|(count, what)| format!("{} {what}", show_count(count)));
        self.line("messages", &counts.join(", "));
        self.line(
            "per second",
            &format!(
                "{} sent, {} received",
                per_second(messages.sent),
                per_second(messages.received)
            ),
        );
        let mut bytes = format!(
            "{}/s sent, {}/s received as payload, {}/s as frames",
            show_bytes(messages.sent_bytes as f64 / seconds),
            show_bytes(messages.received_bytes as f64 / seconds),
            show_bytes(messages.received_wire_bytes as f64 / seconds)
        );
        if messages.received_wire_bytes < messages.received_bytes {
            let saved = 1.0 - messages.received_wire_bytes as f64 / messages.received_bytes as f64;
            let _ = write!(bytes, " ({:.0} % saved by compression)", saved * 100.0);
        }
        self.line("bytes", &bytes);
    }

    fn histogram(&mut self, name: &str, note: &str, histogram: &Histogram) {
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
        let shown = quantiles.iter().filter_map(|(name, quantile)| {
            Some(format!("{name} {}", show_time(histogram.quantile(*quantile)?)))
        });
        let mut shown: Vec<String> = shown.collect();
        if let Some(max) = histogram.max() {
            shown.push(format!("max {}", show_time(max)));
            self.line(name, &format!("{}{note}", shown.join(", ")));
        }
    }

    fn closes(&mut self, report: &Report) {
        let closes = report.closes.iter().map(|(code, times)| {
            let name = close_name(*code);
            let name = if name.is_empty() { String::new() } else { format!(" {name}") };
            (format!("{code}{name}"), *times)
        });
        self.reasons("closes", closes);
    }

    /// The most frequent first.
    fn reasons(&mut self, name: &str, reasons: impl Iterator<Item = (String, u64)>) {
        let mut reasons: Vec<(String, u64)> = reasons.collect();
        if name != "misbehaved" {
            reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        }
        // Files that are merged may hold any number.
        let rest = reasons.iter().skip(REASONS_MAX).map(|(_, times)| *times);
        let more = rest.fold(0, u64::saturating_add);
        reasons.truncate(REASONS_MAX);
        if more > 0 {
            reasons.push(("others".to_owned(), more));
        }
        for (index, (reason, times)) in reasons.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(name, &format!("{:>9}  {}", show_count(*times), printable(reason)));
        }
    }
}

/// What the registered close codes are called (RFC 6455 §7.4.1 and the registry of IANA).
fn close_name(code: u16) -> &'static str {
    match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "a Close frame without a code",
        1006 => "no Close frame came",
        1007 => "invalid payload",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        1015 => "TLS handshake failed",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        4000..=4999 => "of the application",
        _ => "",
    }
}

/// Three significant digits with a unit.
pub(crate) fn show_time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (value, unit) = match nanos {
        0.0..1e3 => (nanos, "ns"),
        1e3..1e6 => (nanos / 1e3, "µs"),
        1e6..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn show_bytes(bytes: f64) -> String {
    match bytes {
        0.0..1e3 => format!("{bytes:.0} B"),
        1e3..1e6 => format!("{} kB", three_digits(bytes / 1e3)),
        1e6..1e9 => format!("{} MB", three_digits(bytes / 1e6)),
        _ => format!("{} GB", three_digits(bytes / 1e9)),
    }
}

/// Below a hundred with a digit behind the point.
pub(crate) fn show_rate(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { show_count(rate.round() as u64) }
}

/// With commas between the thousands.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Misconduct;

    #[test]
    fn numbers_are_shown_for_people() {
        for (count, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(show_count(count), shown);
        }
        for (nanos, shown) in
            [(0, "0.00 ns"), (81_234, "81.2 µs"), (1_500_000, "1.50 ms"), (2_000_000_000, "2.00 s")]
        {
            assert_eq!(show_time(Duration::from_nanos(nanos)), shown);
        }
    }

    #[test]
    fn a_report_is_told_line_by_line() {
        let mut report = Report::new("ws://a/\u{1b}[2J");
        report.window = Duration::from_secs(10);
        report.connections.attempted = 1_001;
        report.connections.opened = 1_000;
        report.connections.open_max = 1_000;
        report.messages.sent = 20_000;
        report.messages.received = 19_999;
        report.messages.missing = 1;
        report.messages.received_bytes = 2_000_000;
        report.messages.received_wire_bytes = 500_000;
        report.latency.record(Duration::from_micros(80));
        report.closes.insert(1000, 990);
        report.closes.insert(1006, 10);
        report.count_error("upgrade: status 503\r\u{7}");
        report.misbehaved.entry(Misconduct::Vanishes).or_default().count_end("left");
        let opening = Some((1_000, Duration::from_secs(2)));
        let known = Known { wanted: Some(1_000), opening, is_closed_loop: false };
        let judged = Judged {
            asked: "--max-errors 0".to_owned(),
            found: "errors, missing and unsent are 2".to_owned(),
            kept: false,
        };
        let text = summary(&report, known, &[judged]);
        for line in [
            "connections   1,000 wanted, 1,000 opened in 1,001 attempts, at most 1,000 at once, 0 lost",
            "opening       1,000 in 2.00 s, 500 per second",
            "window        10.0 s",
            "messages      20,000 sent, 0 due but not sent, 19,999 received, 1 missing, 0 out of order",
            "per second    2,000 sent, 2,000 received",
            "bytes         0 B/s sent, 200 kB/s received as payload, 50.0 kB/s as frames (75 % saved by compression)",
            "closes              990  1000 normal closure",
            "                     10  1006 no Close frame came",
            "errors                1  upgrade: status 503\\r\\u{7}",
            "threshold     --max-errors 0: errors, missing and unsent are 2: NOT KEPT",
        ] {
            assert!(text.lines().any(|own| own == line), "{line:?} in\n{text}");
        }
        assert!(text.contains("max 80.") && text.contains("(from when each was due)"), "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn a_closed_loop_does_not_say_that_messages_were_due() {
        let mut report = Report::new("ws://a");
        report.latency.record(Duration::from_micros(80));
        let text = summary(&report, Known { is_closed_loop: true, ..Known::default() }, &[]);
        assert!(text.contains("(from when each was sent, a closed loop)"), "{text}");
        assert!(!text.contains("from when each was due"), "{text}");
    }

    #[test]
    fn a_flood_of_reasons_is_cut() {
        let mut report = Report::new("ws://a");
        (0..100).for_each(|n| report.count_error(&format!("reason {n}")));
        let text = summary(&report, Known::default(), &[]);
        assert_eq!(text.matches("reason").count(), REASONS_MAX);
        assert!(text.contains("80  others"), "{text}");
        report.errors.values_mut().for_each(|times| *times = u64::MAX);
        let text = summary(&report, Known::default(), &[]);
        assert!(text.contains("18,446,744,073,709,551,615  others"), "{text}");
    }
}
