//! Fan-out: what all receivers got is what the gateway delivered.

use gaugeway::load::Report;

use super::super::support::{Gateway, Metrics, Settings};
use super::{BROADCAST, load};

const RECEIVERS: u64 = 30;
const PUBLICATIONS: u64 = 50;

/// Fifty publications in a second to thirty receivers of several processes. `extra` receivers
/// are the gateway's alone: nobody counts what they get.
#[track_caller]
fn check(settings: Settings, source: &str, extra: u64, flags: impl Fn(&Gateway) -> String) {
    let gateway = settings.start();
    let flags =
        format!("-n {RECEIVERS} --fan-out --rate {PUBLICATIONS} --duration 1s {}", flags(&gateway));
    let loaded = load(&format!("ws://{}{BROADCAST}", gateway.public), &flags);
    let report: Report = loaded.smooth();
    assert_eq!(report.connections.opened, RECEIVERS, "{report:?}");
    assert_eq!(report.messages.sent, PUBLICATIONS, "{report:?}");
    assert_eq!(report.messages.received, PUBLICATIONS * RECEIVERS, "{report:?}");
    assert_eq!(report.messages.out_of_order, 0, "{report:?}");
    assert_eq!(report.latency.count(), report.messages.received, "{report:?}");
    let metrics: Metrics = gateway.wait_for_connections(0);
    let published = metrics.sum("publications_total", &[("source", source)]);
    assert_eq!(published, PUBLICATIONS as f64, "{flags}");
    let delivered = metrics.sum("deliveries_total", &[]);
    assert_eq!(delivered, (report.messages.received + PUBLICATIONS * extra) as f64, "{flags}");
    assert_eq!(metrics.sum("deliveries_dropped_total", &[]), 0.0, "{flags}");
}

#[test]
fn what_one_connection_publishes_all_processes_receive() {
    // The gateway sends it to the publisher, too.
    check(Settings::new(), "client", 1, |_| "--processes 3".to_owned());
    check(Settings::new(), "client", 1, |_| "--compression --size 1000".to_owned());
    check(Settings::new(), "client", 1, |_| "--binary".to_owned());
}

#[test]
fn a_publisher_may_use_another_address_than_the_receivers() {
    let publish_url = |gateway: &Gateway| {
        format!("--publish-url ws://{}{BROADCAST}?id=publisher --processes 2", gateway.public)
    };
    check(Settings::new(), "client", 1, publish_url);
}

#[test]
fn what_the_api_publishes_all_processes_receive() {
    for more in ["", "--processes 3", "--compression --size 1000", "--binary"] {
        let api = |gateway: &Gateway| {
            format!("--api http://{} --to endpoint:{BROADCAST} {more}", gateway.admin)
        };
        check(Settings::new(), "api", 0, api);
    }
}

#[test]
fn what_the_api_refuses_is_an_error_each_and_reaches_nobody() {
    let gateway = Settings::new().set("api.keys=one:0123456789abcdef").start();
    let url = format!("ws://{}{BROADCAST}", gateway.public);
    let flags = format!(
        "-n 2 --fan-out --rate 20 --duration 500ms --close-wait 500ms \
         --api http://{} --to everyone",
        gateway.admin
    );
    let report = load(&url, &flags).report;
    assert_eq!(report.errors.get("publish: status 401"), Some(&10), "{report:?}");
    let messages = &report.messages;
    assert_eq!((messages.sent, messages.received, messages.missing), (0, 0, 20), "{report:?}");
}
