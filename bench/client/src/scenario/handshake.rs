//! Server CPU per connect, upgrade and close.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Meter, Server};
use crate::args::Args;
use crate::fleet::{Event, Fleet, PATIENCE, refuse_after};

/// Connections under way at once.
const CONCURRENCY: usize = 64;

/// Handshakes before the window.
const WARM_UP: usize = 500;

/// Waited before the window ends, so that what a server does after the last FIN is charged too.
const SETTLE: Duration = Duration::from_millis(300);

/// Opens connections, closes each as soon as it is open, and divides the server's CPU by their number.
pub fn run(server: &Server, mut args: Args) -> Result<Value, Box<dyn Error>> {
    let count = args.or("count", 10_000)?;
    args.finish()?;
    let mut fleet = Fleet::new(server.target.clone())?;
    come_and_go(&mut fleet, WARM_UP)?;
    fleet.idle_until(Instant::now() + SETTLE)?;

    let meter = Meter::start(server.process)?;
    let seconds = come_and_go(&mut fleet, count)?;
    fleet.idle_until(Instant::now() + SETTLE)?;
    Ok(json!({
        "window": meter.stop(count as u64)?,
        "handshakes_per_second": count as f64 / seconds,
        "totals": fleet.totals.to_json(),
    }))
}

/// Gives the seconds it took.
fn come_and_go(fleet: &mut Fleet, count: usize) -> Result<f64, Box<dyn Error>> {
    let (begin, mut events) = (Instant::now(), Vec::new());
    let (mut started, mut ended) = (0, 0);
    while ended < count {
        while started < count && started - ended < CONCURRENCY {
            fleet.start()?;
            started += 1;
        }
        fleet.poll(begin + PATIENCE, &mut events)?;
        refuse_after(begin + PATIENCE, "open and close connections")?;
        for event in &events {
            match event {
                Event::Opened(number) => fleet.close(*number)?,
                Event::Ended(_) => ended += 1,
                Event::Messages { .. } => {}
            }
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}
