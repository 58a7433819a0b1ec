//! How the process ends.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Gateway;
use super::shards::ShardThreads;
use crate::events::{ConfigWarned, GatewayStopped, GatewayStopping, TaskPanicked};
use crate::telemetry::labels::TaskKind;

/// How far the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It serves.
    Serving,
    /// Nothing is accepted any more; connections are told to go.
    Stopping,
    /// What is left is cut off.
    Cut,
}

/// Waits for SIGTERM or SIGINT, then ends the gateway: connections get Close 1001 and
/// `drain_timeout` to answer it. A second signal cuts off what is left. Fails where it ended by a
/// defect, so that a supervisor knows.
pub(super) async fn until_ended(
    gateway: &Arc<Gateway>,
    shards: &ShardThreads,
    mut signals: Signals,
) -> Result<(), String> {
    let told = tokio::select! {
        name = signals.next() => Ok(name),
        // None ends by itself: its share of the clients would be refused for ever.
        () = shards.ended(1) => Err("a shard has panicked"),
    };
    let (Ok(why) | Err(why)) = told;
    let stopping = Instant::now();
    GatewayStopping { why, connections: gateway.connections() }.emit();
    gateway.admission.close_for_shutdown();
    gateway.stage.send_replace(Stage::Stopping);
    tokio::select! {
        () = shards.ended(shards.count()) => {}
        _ = signals.next() => {}
        () = tokio::time::sleep(gateway.live().config.server.drain_timeout) => {}
    }
    let connections_left = gateway.connections();
    gateway.stage.send_replace(Stage::Cut);
    shards.ended(shards.count()).await;
    GatewayStopped { duration: stopping.elapsed(), connections_left }.emit();
    told.map(drop).map_err(str::to_owned)
}

/// SIGHUP asks for a new configuration. Without this its default would end the process and cut off
/// everybody.
pub(super) async fn answer_hangups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        ConfigWarned {
            field: "SIGHUP",
            why: "the configuration is read at start only: restart the gateway to change it",
        }
        .emit();
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

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signal that asks for a new configuration; as [`Signals::new`].
pub(super) fn hangups() -> Signal {
    listen_for(SignalKind::hangup())
}

fn listen_for(kind: SignalKind) -> Signal {
    signal(kind).expect("the runtime's signal driver is enabled")
}
