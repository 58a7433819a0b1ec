//! Storms and misbehaviour, and whether this server may be troubled with them.

use std::net::IpAddr;
use std::time::Duration;

use super::values;
use super::{DAY, Draft};
use crate::load::link::Url;
use crate::load::scenario::{Misbehaviour, Scenario, Storm};

pub(super) fn misbehaviour(draft: &mut Draft, connections: u32) -> Vec<Misbehaviour> {
    let all = draft.values("misbehave", |text| values::misbehaviour(text, connections));
    let all: Vec<Misbehaviour> = all.into_iter().flatten().collect();
    let twice = all.iter().enumerate().find(|(index, one)| {
        all[..*index].iter().any(|before| before.misconduct == one.misconduct)
    });
    if let Some((_, one)) = twice {
        let what = format!("has {} twice", one.misconduct.as_str());
        draft.wrong("misbehave", what, "write each once");
    }
    if draft.has("connections") && draft.is_sound("misbehave") && connections == 0 && all.is_empty()
    {
        draft.wrong("connections", "leaves nothing to do", "write 1 or more");
    }
    all
}

pub(super) fn storm(draft: &mut Draft) -> Option<Storm> {
    let every = draft.time("storm", Duration::from_millis(10)..=DAY);
    let fraction = draft.fraction("storm-fraction", 0.0, 1.0).unwrap_or(0.5);
    let spread = draft.time("storm-spread", Duration::ZERO..=DAY).unwrap_or_default();
    if !draft.has("storm") {
        for key in ["storm-fraction", "storm-spread", "storm-abrupt"] {
            if draft.has(key) {
                let advice = format!("add {}", draft.spelled(key, "storm", "30s"));
                draft.wrong(key, "means nothing without a storm", advice);
            }
        }
    }
    let every = every?;
    if spread >= every {
        let what = "lasts to the next storm or longer";
        draft.wrong("storm-spread", what, "write a shorter time than that of the storm");
    }
    Some(Storm { every, fraction, spread, abrupt: draft.is_on("storm-abrupt") })
}

/// Storms and misbehaviour look like an attack to whoever did not ask for them: against what is
/// neither this machine nor a private network they must be asked for by name.
pub(super) fn check_permission(
    draft: &mut Draft,
    scenario: &Scenario,
    server: &Url,
    owned: bool,
    look_up: &dyn Fn(&str, u16) -> Vec<IpAddr>,
) {
    let key = if !scenario.misbehaviour.is_empty() {
        "misbehave"
    } else if scenario.storm.is_some() {
        "storm"
    } else {
        return;
    };
    let is_ours = || {
        if let Ok(address) = server.host.parse() {
            return is_private(address);
        }
        let found = look_up(&server.host, server.port);
        !found.is_empty() && found.into_iter().all(is_private)
    };
    if !owned && !is_ours() {
        let what = format!(
            "would look like an attack on {}, which is neither on this machine nor in a private \
             network",
            server.host
        );
        draft.wrong(key, what, "if that server is yours, add --i-own-this-server");
    }
}

/// This machine, or a network that no router of the Internet leads to.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            let local = v6.is_loopback() || v6.is_unspecified();
            local || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}
