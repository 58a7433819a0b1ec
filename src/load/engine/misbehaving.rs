//! Connections that do one thing wrong, again and again until the run is over. Nothing that is measured
//! waits for them, and nothing of them is in the figures of those that behave.

use std::rc::Rc;

use tokio::task::JoinSet;

use super::super::{Misconduct, misbehave};
use super::crew::Crew;

/// Begins with those of this process' share. Each kind is spread evenly over the ramp.
pub fn spawn_all(crew: &Rc<Crew>, tasks: &mut JoinSet<()>) {
    // Numbered behind those that behave and the one that publishes.
    let mut first = crew.scenario.connections.saturating_add(1);
    for kind in &crew.scenario.misbehaviour {
        for at in crew.share.numbers(kind.connections) {
            let part = f64::from(at) / f64::from(kind.connections);
            let due = crew.begun.after(crew.scenario.ramp.mul_f64(part));
            let (crew, number) = (Rc::clone(crew), first.wrapping_add(at));
            let misconduct = kind.misconduct;
            tasks.spawn_local(async move {
                crew.pause_until(due).await;
                live(&crew, misconduct, number).await;
            });
        }
        first = first.wrapping_add(kind.connections);
    }
}

async fn live(crew: &Crew, misconduct: Misconduct, number: u32) {
    let mut round = 0;
    while !crew.is_over() {
        crew.count_misbehaviour(misconduct, |misbehaved| misbehaved.tried += 1);
        let how = misbehave(misconduct, &crew.connector, number, round, crew.over()).await;
        crew.count_misbehaviour(misconduct, |misbehaved| misbehaved.count_end(&how));
        round += 1;
    }
}
