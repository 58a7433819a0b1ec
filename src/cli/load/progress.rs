//! How far the run is, on standard error: bars on a terminal, else a line every few seconds.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::complain;
use crate::load::{Phase, Progress, Scenario, show_count, show_rate, show_time};

/// From one plain line to the next.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// Figures of a shorter time say nothing of a rate.
const RATES_OVER_MIN: Duration = Duration::from_millis(100);

/// Shows progress, and keeps what only it sees: how the opening went.
pub(super) struct Display {
    view: View,
    connections: u64,
    warm_up: Duration,
    window: Duration,
    started: Instant,
    opening: Option<(u64, Duration)>,
    /// What rates are counted from.
    before: (Instant, u64, u64),
    rates: (f64, f64),
}

enum View {
    Bar { bar: ProgressBar, phase: Option<Phase> },
    Lines { last: Instant },
    Nothing,
}

impl Display {
    /// For this scenario; `quiet` shows nothing.
    pub fn new(scenario: &Scenario, quiet: bool) -> Self {
        let now = Instant::now();
        let view = if quiet {
            View::Nothing
        } else if stderr().is_terminal() {
            View::Bar { bar: ProgressBar::new(0), phase: None }
        } else {
            View::Lines { last: now }
        };
        Self {
            view,
            connections: u64::from(scenario.connections),
            warm_up: scenario.warm_up,
            window: scenario.duration,
            started: now,
            opening: None,
            before: (now, 0, 0),
            rates: (0.0, 0.0),
        }
    }

    /// Takes the newest figures.
    pub fn show(&mut self, progress: &Progress) {
        let now = Instant::now();
        if progress.phase > Phase::Opening && self.opening.is_none() {
            self.opening = Some((progress.opened, now - self.started));
        }
        let (since, sent, received) = self.before;
        let over = (now - since).as_secs_f64();
        if now - since >= RATES_OVER_MIN {
            let rate = |count: u64, before: u64| count.saturating_sub(before) as f64 / over;
            self.rates = (rate(progress.sent, sent), rate(progress.received, received));
            self.before = (now, progress.sent, progress.received);
        }
        let figures = self.figures(progress);
        let (done, of) = self.position(progress);
        match &mut self.view {
            View::Bar { bar, phase } => {
                if *phase != Some(progress.phase) {
                    *phase = Some(progress.phase);
                    bar.set_style(style());
                    bar.set_prefix(name(progress.phase));
                }
                bar.set_length(of);
                bar.set_position(done);
                bar.set_message(figures);
            }
            View::Lines { last } if now - *last >= LINES_EVERY => {
                *last = now;
                let elapsed = (now - self.started).as_secs();
                complain(&format!("{elapsed} s, {}: {figures}", name(progress.phase)));
            }
            View::Lines { .. } | View::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        match &self.view {
            View::Bar { bar, .. } => bar.finish_and_clear(),
            View::Lines { .. } | View::Nothing => {}
        }
    }

    /// How many connections were open when each had been tried, and after which time.
    pub fn opening(&self) -> Option<(u64, Duration)> {
        self.opening
    }

    /// What matters most comes first: a narrow terminal cuts the rest.
    fn figures(&self, progress: &Progress) -> String {
        let (open, errors) = (show_count(progress.open), show_count(progress.errors));
        let mut figures = format!("{open} open, {errors} errors");
        if progress.phase >= Phase::WarmingUp {
            if let Some(p99) = progress.p99 {
                figures.extend([", p99 ", &show_time(p99)]);
            }
            let (sent, received) = self.rates;
            figures.extend([", ", &show_rate(sent), "/s sent, ", &show_rate(received)]);
            figures += "/s received";
        }
        figures
    }

    /// Connections while they are opened, then milliseconds of the work.
    fn position(&self, progress: &Progress) -> (u64, u64) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match progress.phase {
            Phase::Opening | Phase::Ready => {
                (progress.open.min(self.connections), self.connections)
            }
            Phase::WarmingUp => (ms(progress.in_phase.min(self.warm_up)), ms(self.warm_up)),
            Phase::Measuring => (ms(progress.in_phase.min(self.window)), ms(self.window)),
            Phase::Finishing => (1, 1),
        }
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening | Phase::Ready => "opening",
        Phase::WarmingUp => "warming up",
        Phase::Measuring => "measuring",
        Phase::Finishing => "finishing",
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix:<11} {bar:16} {wide_msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
