//! What the tests of telemetry share.

mod counts;
mod page;
mod sums;

use std::collections::BTreeMap;

use super::labels::{Direction, RuntimeKind};
use super::*;
use crate::wire::Opcode;

const WS: EndpointIndex = EndpointIndex(0);
const IM: EndpointIndex = EndpointIndex(1);

pub(crate) fn telemetry() -> Telemetry {
    Telemetry::new(&TelemetryOptions {
        endpoints: vec!["/ws".to_owned(), "/im".to_owned()],
        timers: vec![("ping_interval", Duration::from_secs(30))],
        version: "0.1.0".to_owned(),
        revision: "abc".to_owned(),
    })
}

/// Every series of a page with its value; the key is the line up to the value.
pub(crate) fn series(telemetry: &Telemetry) -> BTreeMap<String, f64> {
    let (_, page) = telemetry.render();
    let samples = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for sample in samples {
        let (key, value) = sample.rsplit_once(' ').unwrap();
        let twice = all.insert(key.to_owned(), value.parse().unwrap());
        assert!(twice.is_none(), "{key} is there twice");
    }
    all
}

#[track_caller]
fn check(telemetry: &Telemetry, key: &str, expected: f64) {
    let all = series(telemetry);
    assert_eq!(all.get(key), Some(&expected), "{key}");
}

fn message(recorder: &Recorder, payload: u64, wire: u64, compressed: Option<u64>) {
    let bytes = MessageBytes { payload, wire, compressed };
    recorder.message(WS, Direction::In, Opcode::Text, bytes, 1);
}

fn register_everything(telemetry: &Telemetry) -> logging::Logging {
    let shards = vec![ShardGauges::new(), ShardGauges::new()];
    telemetry.register(AllShardGauges::new(shards)).unwrap();
    telemetry.register(UsersGauge::new(Arc::default())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let runtimes = Runtimes::new().with(RuntimeKind::Control, runtime.metrics());
    telemetry.register(runtimes).unwrap();
    let (_, logging) =
        logging::subscriber("info", crate::config::LogFormat::Json, std::io::sink()).unwrap();
    telemetry.register(logging.dropped_lines()).unwrap();
    logging
}
