//! Rare events, counted through the `metrics` facade: a handle per combination of labels, made when
//! first needed, costs too much for a message and nothing for an admin request.

use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder as _, SharedString};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::telemetry::labels::{Method, ReloadOutcome, Route, TaskKind};

const HTTP_REQUESTS: &str = "gaugeway_http_requests_total";
const HTTP_REQUEST_DURATION: &str = "gaugeway_http_request_duration_seconds";
const PANICS: &str = "gaugeway_panics_total";
const CONFIG_RELOADS: &str = "gaugeway_config_reloads_total";
const API_DENIED: &str = "gaugeway_auth_api_denied_total";
const IDEMPOTENT_REPLAYS: &str = "gaugeway_bus_idempotent_replays_total";

/// The names given here, for the test that the two halves of `/metrics` share none.
#[cfg(test)]
pub(crate) const NAMES: &[&str] =
    &[HTTP_REQUESTS, HTTP_REQUEST_DURATION, PANICS, CONFIG_RELOADS, API_DENIED, IDEMPOTENT_REPLAYS];

/// Seconds: 0.1 ms … 10 s.
const REQUEST_DURATION_BOUNDS: &[f64] =
    &[0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 10.0];

static METADATA: Metadata<'static> = Metadata::new("gaugeway", Level::INFO, None);

/// The facade's recorder, of this telemetry value alone: it is never installed for the process.
pub(crate) struct ControlPlane {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl ControlPlane {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full(HTTP_REQUEST_DURATION.to_owned()),
                REQUEST_DURATION_BOUNDS,
            )
            .expect("the list of bounds is not empty")
            .build_recorder();
        let handle = recorder.handle();
        let control_plane = Self { recorder, handle };
        control_plane.describe();
        control_plane.preset();
        control_plane
    }

    /// A request to the admin listener has been answered.
    pub(crate) fn http_request(
        &self,
        route: Route,
        method: Method,
        status: u16,
        duration: Duration,
    ) {
        self.http_requests(route, method, status).increment(1);
        self.http_durations(route).record(duration.as_secs_f64());
    }

    pub(crate) fn panicked(&self, task: TaskKind) {
        self.panics(task).increment(1);
    }

    pub(crate) fn config_reloaded(&self, outcome: ReloadOutcome) {
        self.config_reloads(outcome).increment(1);
    }

    pub(crate) fn api_request_denied(&self) {
        self.counter(API_DENIED, Vec::new()).increment(1);
    }

    pub(crate) fn publish_replayed(&self) {
        self.counter(IDEMPOTENT_REPLAYS, Vec::new()).increment(1);
    }

    /// The exposition of what was counted here.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves raw samples into their buckets. Until then each takes memory, so this must run
    /// regularly even when nobody scrapes.
    pub(crate) fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    fn describe(&self) {
        let counters = [
            (HTTP_REQUESTS, "Requests to the admin listener."),
            (PANICS, "Panics: defects of the gateway."),
            (
                CONFIG_RELOADS,
                "Reloads of the configuration by how they ended; partial: something needs a restart.",
            ),
            (
                API_DENIED,
                "Requests to the admin API that were denied: no valid key, or sent by a web page.",
            ),
            (
                IDEMPOTENT_REPLAYS,
                "Publish requests whose Idempotency-Key had been answered already: nothing was published again.",
            ),
        ];
        for (name, help) in counters {
            let name = KeyName::from_const_str(name);
            let help = SharedString::const_str(help);
            self.recorder.describe_counter(name, None, help);
        }
        self.recorder.describe_histogram(
            KeyName::from_const_str(HTTP_REQUEST_DURATION),
            None,
            SharedString::const_str("From a request to the admin listener to its answer."),
        );
    }

    /// The ordinary combinations exist from the start; an odd method or status appears with its
    /// first request.
    fn preset(&self) {
        for task in TaskKind::ALL {
            self.panics(*task).increment(0);
        }
        for outcome in ReloadOutcome::ALL {
            self.config_reloads(*outcome).increment(0);
        }
        for counter in [API_DENIED, IDEMPOTENT_REPLAYS] {
            self.counter(counter, Vec::new()).increment(0);
        }
        for route in Route::ALL {
            for (method, statuses) in ordinary_answers(*route) {
                for status in *statuses {
                    self.http_requests(*route, *method, *status).increment(0);
                }
            }
            // Registering makes the series.
            drop(self.http_durations(*route));
        }
    }

    fn http_requests(&self, route: Route, method: Method, status: u16) -> metrics::Counter {
        let labels = vec![
            Label::from_static_parts("route", route.as_str()),
            Label::from_static_parts("method", method.as_str()),
            Label::new("status", status.to_string()),
        ];
        self.counter(HTTP_REQUESTS, labels)
    }

    fn http_durations(&self, route: Route) -> metrics::Histogram {
        let labels = vec![Label::from_static_parts("route", route.as_str())];
        let key = Key::from_parts(KeyName::from_const_str(HTTP_REQUEST_DURATION), labels);
        self.recorder.register_histogram(&key, &METADATA)
    }

    fn panics(&self, task: TaskKind) -> metrics::Counter {
        self.counter(PANICS, vec![Label::from_static_parts("task", task.as_str())])
    }

    fn config_reloads(&self, outcome: ReloadOutcome) -> metrics::Counter {
        self.counter(CONFIG_RELOADS, vec![Label::from_static_parts("outcome", outcome.as_str())])
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> metrics::Counter {
        let key = Key::from_parts(KeyName::from_const_str(name), labels);
        self.recorder.register_counter(&key, &METADATA)
    }
}

/// What a route answers when nothing is odd.
const fn ordinary_answers(route: Route) -> &'static [(Method, &'static [u16])] {
    match route {
        Route::Metrics | Route::HealthLive => &[(Method::Get, &[200])],
        Route::HealthReady => &[(Method::Get, &[200, 503])],
        Route::ApiPublish => &[(Method::Post, &[200, 400, 401, 413, 415, 422, 503])],
        Route::ApiConnections => &[(Method::Get, &[200, 400, 401])],
        Route::ApiConnection => {
            &[(Method::Get, &[200, 401, 404]), (Method::Delete, &[200, 401, 404])]
        }
        Route::ApiUserConnections => &[(Method::Delete, &[200, 401])],
        Route::ApiStats | Route::ApiOpenapi => &[(Method::Get, &[200, 401])],
        Route::Unmatched => &[(Method::Get, &[404])],
    }
}
