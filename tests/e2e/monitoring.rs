//! A real Prometheus with the shipped configuration sees a gateway, its nginx and itself: every
//! metric has an answer, and a scrape succeeds whatever the gateway is busy with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::support::swarm::{self, Peer};
use super::support::{
    Exporter, Gateway, Opening, Prometheus, Raw, Settings, Site, masked_frame, wait_for,
};

/// A gateway behind nginx, and who watches them.
struct Watched {
    prometheus: Prometheus,
    _exporter: Exporter,
    site: Site,
}

impl Watched {
    #[track_caller]
    fn start() -> Self {
        // Room for whatever a busy test machine lets wait.
        let queue = ["limits.send_queue_bytes=67108864", "limits.send_queue_messages=100000"];
        let site = Site::start(queue.into_iter().fold(Settings::new(), Settings::set));
        let exporter = Exporter::start(site.nginx.plain);
        let prometheus = Prometheus::start(&[site.gateway.admin], exporter.address);
        Self { prometheus, _exporter: exporter, site }
    }
}

/// A little of everything: opened and closed, refused, echoed, broadcast, compressed.
#[track_caller]
fn traffic(site: &Site) {
    let mut echo = Opening::new("/ws-notifications").deflate().open(site.nginx.plain);
    echo.send_frame(1, &[b'a'; 1000]);
    assert_eq!(echo.read_frame().unwrap().opcode(), 1);
    let mut sender = Raw::open(site.nginx.plain, "/ws?id=a");
    let mut receiver = Opening::new("/ws?id=b").deflate().open(site.gateway.public);
    sender.send_frame(2, &[b'b'; 2000]);
    assert!(sender.read_frame().is_some() && receiver.read_frame().is_some());
    for mut leaving in [echo, sender] {
        leaving.send_close(1000);
        assert_eq!(leaving.read_close().unwrap().close_code(), Some(1000));
    }
    receiver.reset();
    let mut refused = Raw::connect(site.nginx.plain);
    refused.send(&Opening::new("/im").bytes(site.nginx.plain));
    assert!(refused.read_head().starts_with("HTTP/1.1 400 "));
}

/// The name of every sample on the gateway's page.
fn names(gateway: &Gateway) -> BTreeSet<String> {
    let (status, page) = gateway.admin_get("/metrics");
    assert_eq!(status, 200);
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn a_real_prometheus_answers_for_every_metric_of_the_gateway_and_for_nginx() {
    let watched = Watched::start();
    let prometheus = &watched.prometheus;
    traffic(&watched.site);
    watched.site.gateway.wait_for_metric("disconnects_total", &[], 3.0);

    let up = |job: &str| (job.to_owned(), "up".to_owned());
    let wanted = ["gaugeway", "nginx", "prometheus"].map(up);
    wait_for("three targets to be up", || (prometheus.targets() == wanted).then_some(()));
    // Now a scrape has begun after all that is behind it.
    wait_for("the last end to be scraped", || {
        let ended = prometheus.query("sum(gaugeway_disconnects_total) == 3");
        (!ended.is_empty()).then_some(())
    });

    let names = names(&watched.site.gateway);
    assert!(names.len() > 50, "{names:?}");
    let lacking: Vec<_> = names
        .iter()
        .filter(|name| prometheus.query(&format!("{name}{{job=\"gaugeway\"}}")).is_empty())
        .collect();
    assert!(lacking.is_empty(), "no answer for {lacking:?}");
    // That an answer is none is seen: there is no such metric.
    assert!(prometheus.query("gaugeway_nonsense_total{job=\"gaugeway\"}").is_empty());

    let kinds = ["accepted", "handled", "active", "reading", "writing", "waiting"];
    let nginx = kinds.map(|kind| format!("nginx_connections_{kind}"));
    for name in nginx.iter().map(String::as_str).chain(["nginx_http_requests_total", "nginx_up"]) {
        let found = prometheus.query(&format!("{name}{{job=\"nginx\",instance=\"nginx\"}}"));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
    assert_eq!(prometheus.query("nginx_up == 1").len(), 1);
    let instance = format!("up{{job=\"gaugeway\",instance=\"{}\"}}", watched.site.gateway.admin);
    assert_eq!(prometheus.query(&instance).len(), 1, "the instance is the gateway's address");
    assert_eq!(prometheus.query("prometheus_build_info{instance=\"prometheus\"}").len(), 1);
}

/// Some send as fast as the gateway takes it, all receive, until it is over. The clients do next to
/// nothing, what they send is made once and what comes is thrown away: so the gateway is what limits.
async fn storm(gateway: &Gateway, clients: usize, over: &AtomicBool) {
    const SENDERS: usize = 4;
    let burst = Arc::new(masked_frame(0x81, &[b'x'; 100]).repeat(500));
    let mut tasks = JoinSet::new();
    for index in 0..clients {
        let opening = Opening::new(&format!("/ws?id={index}"));
        let peer = Peer::open(&opening, gateway.public).await;
        let (mut read, mut write) = peer.stream.into_split();
        let burst = Arc::clone(&burst);
        tasks.spawn(async move {
            let sending = async {
                if index >= SENDERS {
                    return std::future::pending().await;
                }
                while write.write_all(&burst).await.is_ok() {}
            };
            let mut thrown_away = vec![0; 1 << 16];
            let receiving =
                async { while read.read(&mut thrown_away).await.is_ok_and(|count| count > 0) {} };
            tokio::select! { () = sending => {} () = receiving => {} }
        });
    }
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(tasks.try_join_next().is_none(), "a client was thrown out");
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_scrape_succeeds_while_a_broadcast_storm_saturates_the_gateway() {
    const CLIENTS: usize = 60;
    const SCRAPES: usize = 10;
    let watched = Watched::start();
    let (prometheus, gateway) = (&watched.prometheus, &watched.site.gateway);
    let over = AtomicBool::new(false);
    let out = "gaugeway_messages_total{endpoint=\"/ws\",direction=\"out\",opcode=\"text\"}";

    let (begin, end) = std::thread::scope(|threads| {
        let storming = threads.spawn(|| swarm::run(storm(gateway, CLIENTS, &over)));
        gateway.wait_for_metric("connections", &[("endpoint", "/ws")], CLIENTS as f64);
        gateway.wait_for_metric_above("messages_total", &[("direction", "out")], 1000.0);
        let begin = unix_seconds();
        wait_for("scrapes during the storm", || {
            let scraped = prometheus.samples(out);
            (scraped.iter().filter(|sample| sample.at > begin).count() > SCRAPES).then_some(())
        });
        let end = unix_seconds();
        over.store(true, Ordering::Relaxed);
        storming.join().unwrap();
        (begin, end)
    });

    let during = |selector: &str| {
        let mut samples = prometheus.samples(selector);
        samples.retain(|sample| sample.at > begin && sample.at < end);
        assert!(samples.len() >= SCRAPES, "{selector}: {samples:?}");
        samples
    };
    let up = during("up{job=\"gaugeway\"}");
    assert!(up.iter().all(|sample| sample.value == 1.0), "{up:?}");
    let scraped = during("scrape_samples_scraped{job=\"gaugeway\"}");
    assert!(scraped.iter().all(|sample| sample.value > 0.0), "{scraped:?}");
    // It was busy from each scrape to the next.
    let sent = during(out);
    assert!(sent.windows(2).all(|pair| pair[1].value > pair[0].value), "{sent:?}");
}
