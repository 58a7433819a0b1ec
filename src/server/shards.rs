//! The threads that own connections, each with a runtime of its own.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::RuntimeMetrics;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use super::public::PublicListener;
use super::{Gateway, Stage};
use crate::connection::{Settings, Shard, ShardParts};

/// How often a stopping shard looks whether its last connection has gone.
const STOP_POLL: Duration = Duration::from_millis(10);

/// The shard threads of a gateway.
pub(super) struct ShardThreads {
    threads: Vec<JoinHandle<()>>,
    ended: watch::Receiver<Ended>,
    metrics: Vec<RuntimeMetrics>,
    orders: Vec<mpsc::UnboundedSender<Order>>,
}

/// What has come to its end.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    threads: usize,
    /// Connections that were open when their shard stopped serving them.
    connections_cut: u64,
}

/// Settings to be put in force; the sender learns when they are.
struct Order {
    settings: Settings,
    done: oneshot::Sender<()>,
}

impl ShardThreads {
    /// Starts a thread for each listener.
    pub(super) fn start(
        gateway: &Arc<Gateway>,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, String> {
        let (mut threads, mut metrics, mut orders) = (Vec::new(), Vec::new(), Vec::new());
        let (ending, ended) = watch::channel(Ended::default());
        for (index, listener) in listeners.into_iter().enumerate() {
            let gateway = Arc::clone(gateway);
            let ending = EndsThread(ending.clone());
            let (started, starting) = blocking::channel();
            let (order, ordered) = mpsc::unbounded_channel();
            orders.push(order);
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || {
                    run_shard(index, &gateway, listener, (&started, ordered, &ending));
                })
                .map_err(|error| format!("cannot start shard {index}: {error}"))?;
            threads.push(thread);
            metrics.push(starting.recv().map_err(|_| format!("shard {index} did not start"))??);
        }
        Ok(Self { threads, ended, metrics, orders })
    }

    /// For the scrape.
    pub(super) fn runtime_metrics(&self) -> impl Iterator<Item = RuntimeMetrics> {
        self.metrics.iter().cloned()
    }

    /// Waits until so many of the threads have ended.
    pub(super) async fn ended(&self, count: usize) {
        // An error means that every sender is gone, which they are when every thread has ended.
        let _ = self.ended.clone().wait_for(|ended| ended.threads >= count).await;
    }

    /// Puts other settings in force on every shard that has not ended, and waits until they are.
    pub(super) async fn adopt(&self, settings: Settings) {
        let mut waiting = Vec::with_capacity(self.orders.len());
        for orders in &self.orders {
            let (done, finished) = oneshot::channel();
            // An error: the shard has ended.
            if orders.send(Order { settings, done }).is_ok() {
                waiting.push(finished);
            }
        }
        for finished in waiting {
            // As above.
            let _ = finished.await;
        }
    }

    /// Connections that were open when their shard stopped serving them, of the threads that have
    /// ended.
    pub(super) fn connections_cut(&self) -> u64 {
        self.ended.borrow().connections_cut
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
struct EndsThread(watch::Sender<Ended>);

impl EndsThread {
    fn cut(&self, connections: usize) {
        self.0.send_modify(|ended| ended.connections_cut += connections as u64);
    }
}

impl Drop for EndsThread {
    fn drop(&mut self) {
        self.0.send_modify(|ended| ended.threads += 1);
    }
}

fn run_shard(
    index: usize,
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    (started, orders, ending): (
        &blocking::Sender<Result<RuntimeMetrics, String>>,
        mpsc::UnboundedReceiver<Order>,
        &EndsThread,
    ),
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
    tasks.block_on(&runtime, run_until_stopped(gateway, &shard, listener, orders));
    ending.cut(shard.connections());
    // What is left is dropped here, which closes and counts it; the shard outlives its tasks.
    drop(tasks);
    shard.close_mailbox();
    drop(shard);
}

async fn run_until_stopped(
    gateway: &Arc<Gateway>,
    shard: &Rc<Shard>,
    listener: TcpListener,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut stage = gateway.stage.subscribe();
    let mut vital = JoinSet::new();
    vital.spawn_local(Rc::clone(shard).run_wheel());
    vital.spawn_local(Rc::clone(shard).run_fan_out());
    vital.spawn_local(follow(Rc::clone(shard), orders));
    let public = Rc::new(PublicListener::new(Arc::clone(gateway), Rc::clone(shard)));
    let (taken_in, taking_in) = oneshot::channel();
    let accepting = Rc::clone(&public).run(listener);
    vital.spawn_local(async {
        accepting.await;
        // Nobody waits for it where a part has panicked.
        let _ = taken_in.send(());
        // As with the others, its end would be a defect.
        std::future::pending::<()>().await;
    });
    if let Until::PartLost = serve(&mut stage, &mut vital).await {
        return;
    }
    // The last sockets are taken in first; an error is a panic, which has been reported.
    let _ = taking_in.await;
    let emptied = async {
        while shard.connections() > 0 || public.sockets() > 0 {
            tokio::time::sleep(STOP_POLL).await;
        }
    };
    tokio::select! {
        // Where the end comes behind the first signal at once, the connections are told why before
        // they are dropped: otherwise they would look like victims of a defect.
        biased;
        () = emptied => {}
        () = tell(gateway, shard) => {}
        _ = stage.wait_for(|stage| *stage == Stage::Cut) => {}
    }
}

/// Tells the connections to go, each in its turn or all at once. Never done: it is for whoever
/// waits for their end.
async fn tell(gateway: &Gateway, shard: &Shard) {
    let stage = *gateway.stage.borrow();
    match (stage, gateway.pace.get()) {
        (Stage::Draining, Some(pace)) => shard.drain(pace).await,
        _ => shard.shut_down().await,
    }
    std::future::pending::<()>().await;
}

/// Obeys orders, which come as long as the process lives.
async fn follow(shard: Rc<Shard>, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(Order { settings, done }) = orders.recv().await {
        shard.adopt(settings).await;
        // Whoever asked may be ending.
        let _ = done.send(());
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::config::Config;

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
    /// A connection on a shard that learns only of the last stage, since the signals came together.
    fn check_cut_at_once() {
        let gateway = Gateway::new(Config::default(), 1000).unwrap_or_else(|why| panic!("{why}"));
        let gateway = Arc::new(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let shards = ShardThreads::start(&gateway, vec![listener]).unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        gateway.stage.send_replace(Stage::Cut);
        shards.join();
        let mut close = Vec::new();
        client.read_to_end(&mut close).unwrap();
        assert_eq!(close.get(..4), Some(&[0x88, close.len() as u8 - 2, 0x03, 0xe9][..]), "1001");
    }

    #[test]
    fn signals_that_come_together_end_connections_by_shutdown_and_no_defect() {
        // Which of several ready branches is taken could be drawn by lot.
        (0..20).for_each(|_| check_cut_at_once());
    }
}
