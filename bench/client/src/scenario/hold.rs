//! As many connections as it is told, for a driver that measures the server meanwhile.

use std::error::Error;
use std::io::BufRead;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Server;
use crate::args::Args;
use crate::fleet::Fleet;

/// How soon an order is heard.
const TURN: Duration = Duration::from_millis(50);

/// Reads numbers from stdin, line by line: opens connections until there are as many, then answers
/// `{"held":N}` and answers pings. At the end of stdin all are closed.
pub fn run(server: &Server, args: Args) -> Result<Value, Box<dyn Error>> {
    args.finish()?;
    let mut fleet = Fleet::new(server.target.clone())?;
    let orders = orders();
    loop {
        fleet.idle_until(Instant::now() + TURN)?;
        match orders.try_recv() {
            Ok(order) => {
                let wanted: usize =
                    order.trim().parse().map_err(|_| format!("how many is '{order}'?"))?;
                fleet.open(wanted.saturating_sub(fleet.alive()))?;
                println!("{}", json!({ "held": fleet.alive() }));
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
    }
    let held = fleet.alive();
    fleet.close_all()?;
    Ok(json!({ "connections_at_end": held, "totals": fleet.totals.to_json() }))
}

/// The lines of stdin, read beside the epoll.
fn orders() -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
