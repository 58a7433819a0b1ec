//! The threads that own connections, each with a runtime of its own.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::RuntimeMetrics;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::public::PublicListener;
use super::{Gateway, Stage};
use crate::connection::{Shard, ShardParts};

/// How often a stopping shard looks whether its last connection has gone.
const STOP_POLL: Duration = Duration::from_millis(10);

/// The shard threads of a gateway.
pub(super) struct ShardThreads {
    threads: Vec<JoinHandle<()>>,
    /// How many of the threads have ended.
    ended: watch::Receiver<usize>,
    metrics: Vec<RuntimeMetrics>,
}

impl ShardThreads {
    /// Starts a thread for each listener.
    pub(super) fn start(
        gateway: &Arc<Gateway>,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, String> {
        let (mut threads, mut metrics) = (Vec::new(), Vec::new());
        let (ending, ended) = watch::channel(0);
        for (index, listener) in listeners.into_iter().enumerate() {
            let gateway = Arc::clone(gateway);
            let ending = EndsThread(ending.clone());
            let (started, starting) = mpsc::channel();
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || {
                    let _ending = ending;
                    run_shard(index, &gateway, listener, &started);
                })
                .map_err(|error| format!("cannot start shard {index}: {error}"))?;
            threads.push(thread);
            metrics.push(starting.recv().map_err(|_| format!("shard {index} did not start"))??);
        }
        Ok(Self { threads, ended, metrics })
    }

    /// For the scrape.
    pub(super) fn runtime_metrics(&self) -> impl Iterator<Item = RuntimeMetrics> {
        self.metrics.iter().cloned()
    }

    /// Waits until so many of the threads have ended.
    pub(super) async fn ended(&self, count: usize) {
        // An error means that every sender is gone, which they are when every thread has ended.
        let _ = self.ended.clone().wait_for(|ended| *ended >= count).await;
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Waits for the threads.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A shard that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Counts the end of a thread, by a panic, too.
struct EndsThread(watch::Sender<usize>);

impl Drop for EndsThread {
    fn drop(&mut self) {
        self.0.send_modify(|ended| *ended += 1);
    }
}

fn run_shard(
    index: usize,
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    started: &mpsc::Sender<Result<RuntimeMetrics, String>>,
) {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(format!("cannot start the runtime of a shard: {error}")));
            return;
        }
    };
    let live = gateway.live();
    let parts = ShardParts {
        index,
        recorder: gateway.telemetry.recorder(),
        gauges: Arc::clone(&gateway.gauges[index]),
        hub: Arc::clone(&gateway.hub),
        endpoints: live.endpoints.iter().count(),
        began: gateway.began,
    };
    let shard = Shard::new(parts, &live.config);
    // The starter waits for this: it is gone only if the process is ending.
    let _ = started.send(Ok(runtime.metrics()));
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, run_until_stopped(gateway, &shard, listener));
    // What is left is dropped here, which closes and counts it; the shard outlives its tasks.
    drop(tasks);
    shard.close_mailbox();
    drop(shard);
}

async fn run_until_stopped(gateway: &Arc<Gateway>, shard: &Rc<Shard>, listener: TcpListener) {
    let mut stage = gateway.stage.subscribe();
    let mut vital = JoinSet::new();
    vital.spawn_local(Rc::clone(shard).run_wheel());
    vital.spawn_local(Rc::clone(shard).run_fan_out());
    let public = Rc::new(PublicListener::new(Arc::clone(gateway), Rc::clone(shard)));
    let accepting = vital.spawn_local(Rc::clone(&public).run(listener));
    if let Until::PartLost = serve(&mut stage, &mut vital).await {
        return;
    }
    accepting.abort();
    shard.shut_down().await;
    let emptied = async {
        while shard.connections() > 0 || public.sockets() > 0 {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::select! {
        () = emptied => {}
        _ = stage.wait_for(|stage| *stage == Stage::Cut) => {}
    }
}

/// Why a shard serves no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The process ends.
    Stopped,
    /// One of its parts has panicked.
    PartLost,
}

/// Serves until the process ends or one of the vital tasks does, which none of them does but by a
/// panic. A shard without its heartbeat, its fan-out or its accept loop would go on looking alive: it
/// ends instead, and with it the process, which a supervisor starts anew.
async fn serve(stage: &mut watch::Receiver<Stage>, vital: &mut JoinSet<()>) -> Until {
    tokio::select! {
        // An error means that the sender is gone, which is the end, too.
        _ = stage.wait_for(|stage| *stage != Stage::Serving) => Until::Stopped,
        _ = vital.join_next() => Until::PartLost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: fn(&mut JoinSet<()>), stop: bool, expected: Until) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (sender, mut stage) = watch::channel(Stage::Serving);
            let mut vital = JoinSet::new();
            vital.spawn_local(std::future::pending());
            parts(&mut vital);
            if stop {
                sender.send_replace(Stage::Stopping);
            }
            assert_eq!(serve(&mut stage, &mut vital).await, expected);
        });
    }

    #[test]
    fn a_shard_ends_with_the_process_or_with_one_of_its_parts() {
        check(|_| {}, true, Until::Stopped);
        let panics = |vital: &mut JoinSet<()>| {
            vital.spawn_local(async { panic!("a defect in the heartbeat") });
        };
        check(panics, false, Until::PartLost);
    }
}
