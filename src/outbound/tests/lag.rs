//! The lag of a delivery ends with its frame's last byte, written at once or much later.

use super::*;

/// When the publications got their number, and when their receiver reads.
const SAMPLE: LagSample = LagSample { since_us: 1_000, times: 3 };
const AT_ONCE: Now = Now { real_us: 1_250, attended_us: 1_250 };
const LATER: Now = Now { real_us: 9_000, attended_us: 9_000 };

fn lags(shard: &Backlogs) -> Vec<(Duration, u32)> {
    let mut lags = Vec::new();
    shard.take_lags(|lag, times| lags.push((lag, times)));
    lags
}

#[test]
fn a_frame_that_is_written_at_once_has_its_lag_at_once() {
    check(ROOMY, async |mut rig| {
        let frames = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        assert_eq!(rig.outbound.deliver(&frames, Some(SAMPLE), AT_ONCE, &rig.shard), 2);
        assert_eq!(lags(&rig.shard), [(Duration::from_micros(250), 3)]);
        assert_eq!(lags(&rig.shard), [], "taken once");
        assert_eq!(rig.outbound.deliver(&frames, None, AT_ONCE, &rig.shard), 2);
        assert_eq!(lags(&rig.shard), [], "not sampled");
        assert_eq!(rig.finish().await, b"onetwoonetwo");
    });
}

#[test]
fn a_frame_that_waits_has_its_lag_when_its_last_byte_is_out() {
    check(ROOMY, async |mut rig| {
        rig.fill();
        let frames = [Bytes::from(vec![b'x'; 1000]), Bytes::from_static(b"not sampled")];
        assert_eq!(rig.outbound.deliver(&frames, Some(SAMPLE), AT_ONCE, &rig.shard), 2);
        assert_eq!(lags(&rig.shard), [], "it waits");
        let Rig { outbound, shard, peer } = &mut rig;
        let mut received = vec![0; 64 << 10];
        while outbound.has_backlog() {
            let flushing = poll_fn(|cx| outbound.poll_flush(cx, LATER, shard));
            let reading = async { peer.read(&mut received).await.unwrap() };
            tokio::select! {
                () = flushing => {}
                _ = reading => {}
            }
        }
        assert_eq!(lags(shard), [(Duration::from_millis(8), 3)]);
    });
}

#[test]
fn a_frame_that_is_thrown_away_has_none() {
    check(ROOMY, async |mut rig| {
        rig.fill();
        let frame = [Bytes::from_static(b"never sent")];
        assert_eq!(rig.outbound.deliver(&frame, Some(SAMPLE), AT_ONCE, &rig.shard), 1);
        assert!(rig.close(true) > 0);
        rig.finish().await;
        assert_eq!(lags(&rig.shard), []);
    });
}
