//! How the process ends.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Gateway;
use super::shards::ShardThreads;
use crate::connection::Pace;
use crate::events::{GatewayDraining, GatewayStopped, GatewayStopping, TaskPanicked};
use crate::telemetry::labels::TaskKind;

/// The part of `drain_timeout` over which the Closes are spread; the rest is for the answers.
const SPREAD: f64 = 0.9;

/// Beyond `close_wait`, until the connections that nobody answered have seen that it is over.
const CLOSE_SLACK: Duration = Duration::from_secs(1);

/// How far the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It serves.
    Serving,
    /// Nothing is accepted any more; connections are told to go one after the other (1012).
    Draining,
    /// Nothing is accepted any more; all connections have been told to go (1001).
    Stopping,
    /// What is left is cut off: 1001 to whoever was told nothing yet.
    Cut,
}

/// Why it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Terminate,
    Interrupt,
    /// None ends by itself: its share of the clients would be refused for ever.
    ShardLost,
}

/// Waits for SIGTERM or SIGINT, then ends the gateway. SIGTERM drains it over `drain_timeout`;
/// SIGINT, as a shard that is lost, tells everybody at once and waits `close_wait` for the answers.
/// Another signal, or the end of the time, cuts off what is left. Fails where it ended by a defect,
/// so that a supervisor knows.
pub(super) async fn until_ended(
    gateway: &Arc<Gateway>,
    shards: &ShardThreads,
    mut signals: Signals,
) -> Result<(), String> {
    let reason = tokio::select! {
        reason = signals.next() => reason,
        () = shards.ended(1) => Reason::ShardLost,
    };
    let began = Instant::now();
    let patience = begin(gateway, reason);
    let cut_by = tokio::select! {
        () = shards.ended(shards.count()) => None,
        reason = signals.next() => Some(format!("a second signal, {reason}")),
        () = tokio::time::sleep(patience) => Some("the time is over".to_owned()),
    };
    if let Some(why) = cut_by {
        GatewayStopping { why: &why, connections: gateway.connections() }.emit();
        gateway.stage.send_replace(Stage::Cut);
        shards.ended(shards.count()).await;
    }
    let (opened, ended) = gateway.telemetry.connection_totals();
    let connections_left = shards.connections_cut();
    GatewayStopped { duration: began.elapsed(), connections_left, opened, ended }.emit();
    match reason {
        Reason::Terminate | Reason::Interrupt => Ok(()),
        Reason::ShardLost => Err(reason.to_string()),
    }
}

/// Lets nobody in any more and tells the shards; how long they have for it.
fn begin(gateway: &Gateway, reason: Reason) -> Duration {
    let why = &reason.to_string();
    let live = gateway.live();
    gateway.admission.close_for_shutdown();
    let connections = gateway.connections();
    match reason {
        Reason::Terminate => {
            let patience = live.config.server.drain_timeout;
            let over = patience.mul_f64(SPREAD);
            GatewayDraining { why, connections, over }.emit();
            gateway.pace.get_or_init(|| Pace::new(connections, over));
            gateway.stage.send_replace(Stage::Draining);
            patience
        }
        Reason::Interrupt | Reason::ShardLost => {
            GatewayStopping { why, connections }.emit();
            gateway.stage.send_replace(Stage::Stopping);
            live.config.limits.close_wait + CLOSE_SLACK
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::ShardLost => "a shard has panicked",
        })
    }
}

/// A panic becomes a log line and a count. The line of the standard hook goes to stderr as well.
pub(super) fn report_panics(gateway: &Arc<Gateway>) {
    let gateway: Weak<Gateway> = Arc::downgrade(gateway);
    let standard = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        standard(panic);
        if let Some(gateway) = gateway.upgrade() {
            let of_shard =
                std::thread::current().name().is_some_and(|name| name.starts_with("shard"));
            let task = if of_shard { TaskKind::Connection } else { TaskKind::Control };
            TaskPanicked { task, message: &panic.to_string() }.emit(&gateway.telemetry);
        }
    }));
}

/// The signals that end the process.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; to be called within the control runtime.
    pub(super) fn new() -> Self {
        Self {
            terminate: listen_for(SignalKind::terminate()),
            interrupt: listen_for(SignalKind::interrupt()),
        }
    }

    async fn next(&mut self) -> Reason {
        tokio::select! {
            _ = self.terminate.recv() => Reason::Terminate,
            _ = self.interrupt.recv() => Reason::Interrupt,
        }
    }
}

/// A signal from now on; to be called within the control runtime.
pub(super) fn listen_for(kind: SignalKind) -> Signal {
    signal(kind).expect("the runtime's signal driver is enabled")
}
