//! Memory per idle connection.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Server;
use crate::args::Args;
use crate::fleet::{Event, Fleet, PATIENCE, refuse_after};
use crate::frame;
use crate::payload::notification;

/// Connections that come and go before the first reading, so that what a server sets up once (code
/// pages, thread caches, tables) is not charged to the connections. Few, because memory that they leave
/// behind would be found again by the later ones and hide their cost: at most 2 % of 10,000.
const WARM_UP: usize = 200;

/// How long a server may take to put its memory in order before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens the connections and reads the server's resident memory with none, with all of them fresh,
/// after one echo of 128 bytes on each (unless the server has none), and after all are closed again.
pub fn run(server: &Server, mut args: Args) -> Result<Value, Box<dyn Error>> {
    let count = args.or("connections", 10_000)?;
    let with_echo = args.or("echo", true)?;
    args.finish()?;
    let mut fleet = Fleet::new(server.target.clone())?;

    let warm_up = fleet.open(WARM_UP)?;
    if with_echo {
        echo_once(&mut fleet, &warm_up)?;
    }
    fleet.close_all()?;
    let without = settled_bytes(&mut fleet, server)?;

    let all = fleet.open(count)?;
    let fresh = settled_bytes(&mut fleet, server)?;
    let used = if with_echo {
        echo_once(&mut fleet, &all)?;
        Some(settled_bytes(&mut fleet, server)?)
    } else {
        None
    };
    let held = fleet.alive();
    fleet.close_all()?;
    let after = settled_bytes(&mut fleet, server)?;

    let per_connection = |bytes: u64| bytes.saturating_sub(without) as f64 / 1024.0 / count as f64;
    Ok(json!({
        "connections": count,
        "connections_at_end": held,
        "rss_without_bytes": without,
        "rss_fresh_bytes": fresh,
        "rss_used_bytes": used,
        "rss_after_bytes": after,
        "kib_per_connection": per_connection(fresh),
        "kib_per_connection_after_echo": used.map(per_connection),
        "totals": fleet.totals.to_json(),
    }))
}

fn settled_bytes(fleet: &mut Fleet, server: &Server) -> io::Result<u64> {
    fleet.idle_until(Instant::now() + SETTLE)?;
    server.process.resident_bytes()
}

/// One message on each connection, spread over time as real ones are: 500 under way at most.
fn echo_once(fleet: &mut Fleet, numbers: &[usize]) -> io::Result<()> {
    let (deadline, mut events) = (Instant::now() + PATIENCE, Vec::new());
    let frame = frame::text(&notification(128, 0));
    for group in numbers.chunks(500) {
        for number in group {
            fleet.send(*number, &frame)?;
        }
        let mut missing = group.len();
        while missing > 0 {
            fleet.poll(deadline, &mut events)?;
            refuse_after(deadline, "get one echo on every connection")?;
            missing -=
                events.iter().filter(|event| matches!(event, Event::Messages { .. })).count();
        }
    }
    Ok(())
}
