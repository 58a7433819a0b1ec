//! Whether ports, files and processes suffice for so many connections.

use std::net::IpAddr;

use super::Draft;
use crate::load::link::Url;
use crate::load::scenario::{Publishing, Scenario, Work};

/// One core drives about so many connections without falling behind.
const CONNECTIONS_PER_PROCESS: u64 = 15_000;

/// Files of a process beside its connections: its own, and the API's connections.
const OTHER_FILES: u64 = 128;

/// As many as the key takes.
const PROCESSES_MAX: u64 = 256;

/// Everything that has a socket at a time.
fn sockets(scenario: &Scenario) -> u64 {
    let misbehaving: u64 = scenario.misbehaviour.iter().map(|one| u64::from(one.connections)).sum();
    let publisher = match &scenario.work {
        Work::FanOut { publishing: Publishing::Connection { .. }, .. } => 1,
        Work::FanOut { publishing: Publishing::Api { .. }, .. }
        | Work::Hold
        | Work::Echo { .. }
        | Work::EchoClosed { .. } => 0,
    };
    u64::from(scenario.connections) + misbehaving + publisher
}

/// One address has so many ports towards one server; what it lacks is said with the line to add.
pub(super) fn check_sources(draft: &mut Draft, scenario: &Scenario, server: &Url, ports: u32) {
    let sources = &scenario.source_addresses;
    let target = server.host.parse::<IpAddr>().ok();
    let key = "source-addresses";
    if !draft.is_sound(key) {
        return;
    }
    let is_v4 = sources.first().is_some_and(IpAddr::is_ipv4);
    if sources.iter().any(|source| source.is_ipv4() != is_v4) {
        let what = "mix IPv4 and IPv6, and a server's address is one of them";
        return draft.wrong(key, what, "write addresses of one kind");
    }
    if let Some(target) = target.filter(|_| !sources.is_empty()) {
        if target.is_ipv4() != is_v4 {
            let kind = if target.is_ipv4() { "an IPv4" } else { "an IPv6" };
            let what = format!("are not of the same kind as {target}");
            return draft.wrong(key, what, format!("write addresses that reach {kind} address"));
        }
        if sources.iter().any(IpAddr::is_loopback) && !target.is_loopback() {
            let what = format!("hold loopback addresses, which do not reach {target}");
            return draft.wrong(key, what, "write addresses of this machine's network");
        }
    }
    let sockets = sockets(scenario);
    let addresses = sources.len().max(1) as u64;
    let needed = sockets.div_ceil(u64::from(ports.max(1)));
    if needed <= addresses {
        return;
    }
    let is_local = target.is_none_or(|target| target.is_loopback());
    let value = if is_local && server.host.contains(':') {
        "ADDRESS,ADDRESS,…".to_owned()
    } else if is_local {
        format!("127.0.0.2-127.0.{}.{}", (needed + 1) >> 8, (needed + 1) & 255)
    } else {
        "ADDRESS-ADDRESS".to_owned()
    };
    let near = if draft.has(key) { key } else { "connections" };
    let advice = format!("write {} ({needed} addresses)", draft.spelled(near, key, &value));
    let what = format!(
        "{sockets} connections do not fit: an address has {ports} ports towards one server, and \
         there {}",
        if addresses == 1 { "is one address".to_owned() } else { format!("are {addresses}") }
    );
    draft.wrong(near, what, advice);
}

/// As many as asked, or as many as the connections need.
pub(super) fn processes(draft: &mut Draft, scenario: &Scenario, open_files_max: u64) -> u16 {
    let sockets = sockets(scenario);
    let per_process = open_files_max.saturating_sub(OTHER_FILES);
    if per_process == 0 {
        let what = format!("{open_files_max} open files are too few to begin with");
        draft.wrong("connections", what, "raise the hard limit: ulimit -Hn 65536");
        return 1;
    }
    let for_files = sockets.div_ceil(per_process).max(1);
    if draft.has("processes") {
        let asked = u64::from(scenario.processes).max(1);
        if asked < for_files && draft.is_sound("processes") {
            let what = format!(
                "{asked} for {sockets} connections are too few: each may open {open_files_max} files"
            );
            let advice = format!(
                "write {}, or raise the hard limit (ulimit -Hn)",
                draft.spelled("processes", "processes", &for_files.to_string())
            );
            draft.wrong("processes", what, advice);
        }
        if asked > sockets && draft.is_sound("processes") && draft.is_sound("connections") {
            let what = format!("{asked} have less than a connection each");
            draft.wrong("processes", what, format!("write at most {}", sockets.max(1)));
        }
        return scenario.processes.max(1);
    }
    let processes = for_files.max(sockets.div_ceil(CONNECTIONS_PER_PROCESS));
    if processes > PROCESSES_MAX {
        let what = format!("{sockets} need {processes} processes, more than {PROCESSES_MAX}");
        draft.wrong("connections", what, "raise the hard limit of open files (ulimit -Hn)");
    }
    processes.min(PROCESSES_MAX) as u16
}
