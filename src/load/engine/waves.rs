//! Storms: many connections that leave at once and come back within a given time.

use std::time::Duration;

use super::super::Storm;
use super::crew::Crew;
use super::member::NORMAL_CLOSURE;
use super::moment::Moment;

/// Waves that follow each other faster would leave no time for anything else.
const SHORTEST: Duration = Duration::from_millis(1);

/// Who takes part in a wave: so many of all connections, in a rotating order, so that in the long run
/// each leaves as often as the others. All processes come to the same result.
#[derive(Debug, Clone, Copy)]
struct Wave {
    /// The number of the first that leaves.
    first: u64,
    /// How many leave.
    count: u64,
    /// Of how many.
    total: u64,
}

impl Wave {
    /// The wave with this number, from 0.
    fn new(number: u64, fraction: f64, connections: u32) -> Self {
        let total = u64::from(connections);
        // Ten digits: 0.1 of 30 is 3 and not the 4 that a float's last digit makes of it.
        let exact = (fraction * f64::from(connections) * 1e10).round() / 1e10;
        let count = (exact.ceil() as u64).min(total);
        Self { first: number * count % total.max(1), count, total }
    }

    /// The place of a connection in the wave, from 0; `None` if it stays.
    fn place(self, number: u32) -> Option<u64> {
        let place = (u64::from(number) + self.total - self.first) % self.total;
        (place < self.count).then_some(place)
    }
}

/// Sends the connections of this process away, wave after wave, the first one interval after `start`,
/// until the run is over; never returns where there is no storm.
pub async fn run(crew: &Crew, start: Moment) {
    let Some(storm) = crew.scenario.storm else { return std::future::pending().await };
    let mut next = start;
    for number in 0.. {
        next = next.after(storm.every.max(SHORTEST));
        crew.pause_until(next).await;
        if crew.is_over() {
            return;
        }
        crew.send_away(storm, Wave::new(number, storm.fraction, crew.scenario.connections));
    }
}

impl Crew {
    fn send_away(&self, storm: Storm, wave: Wave) {
        let now = Moment::now();
        for seat in &self.seats {
            let Some(place) = wave.place(seat.number) else { continue };
            // One that is not open cannot leave; it comes back as it would have without the wave.
            let link = seat.link.borrow().clone();
            let Some(link) = link.filter(|_| seat.back.get().is_none()) else { continue };
            let part = place as f64 / wave.count as f64;
            seat.back.set(Some(now.after(storm.spread.mul_f64(part))));
            if storm.abrupt {
                link.drop_without_close();
            } else {
                link.close(NORMAL_CLOSURE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(number: u64, fraction: f64, connections: u32) -> Vec<u32> {
        let wave = Wave::new(number, fraction, connections);
        let mut members: Vec<_> =
            (0..connections).filter_map(|it| Some((wave.place(it)?, it))).collect();
        members.sort_unstable();
        assert!(members.iter().map(|(place, _)| *place).eq(0..members.len() as u64));
        members.into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn waves_go_round_through_all_connections() {
        assert_eq!(members(0, 0.3, 10), [0, 1, 2]);
        assert_eq!(members(1, 0.3, 10), [3, 4, 5]);
        assert_eq!(members(3, 0.3, 10), [9, 0, 1]);
        assert_eq!(members(0, 1.0, 3), [0, 1, 2]);
        assert_eq!(members(5, 1.0, 3), [0, 1, 2]);
        assert!(members(0, 0.5, 0).is_empty());
    }

    #[test]
    fn a_part_of_a_connection_is_a_whole_one() {
        for (fraction, connections, expected) in
            [(0.1, 30, 3), (0.1, 31, 4), (0.000_1, 10, 1), (0.5, 1, 1), (0.7, 10, 7), (0.999, 5, 5)]
        {
            let count = members(0, fraction, connections).len();
            assert_eq!(count, expected, "{fraction} of {connections}");
        }
    }
}
