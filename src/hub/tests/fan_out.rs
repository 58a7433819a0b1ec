//! The sweep over the receivers of a shard: who gets what, in which form, and what is counted.

use super::*;
use crate::outbound::tests::Random;

#[test]
fn receivers_get_what_came_after_they_joined_on_their_endpoint_until_they_leave() {
    run(async || {
        let hub = Arc::new(TestHub::new(2));
        let shards = [0, 1].map(|index| Shard::new(&hub, index, ROOMY));
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        // Who receives, and what each must have received by now.
        let mut receivers: [Vec<(Receiver, Vec<u8>)>; 2] = Default::default();
        for step in 0..600 {
            let here = random.below(2);
            match random.below(10) {
                0 | 1 => {
                    let endpoint = EndpointIndex(random.below(2) as u16);
                    let receiver = shards[here].join(endpoint, false).await;
                    receivers[here].push((receiver, Vec::new()));
                }
                2 if !receivers[here].is_empty() => {
                    // What is still in the mailbox when it leaves is not for it any more.
                    shards[here].fan_out().await;
                    let at = random.below(receivers[here].len());
                    let (receiver, expected) = receivers[here].swap_remove(at);
                    assert!(shards[here].leave(receiver).await == expected, "step {step}");
                }
                3 => shards[here].fan_out().await,
                _ => {
                    let endpoint = EndpointIndex(random.below(2) as u16);
                    let payload = format!("message {step}");
                    let seq =
                        hub.send_to(Target::Endpoint(endpoint), Opcode::Text, payload.as_bytes());
                    assert_eq!(seq, hub.last_seq());
                    for (receiver, expected) in receivers.iter_mut().flatten() {
                        if receiver.member.endpoint == endpoint {
                            expected.extend(text(&payload));
                        }
                    }
                }
            }
        }
        for (shard, receivers) in shards.iter().zip(receivers) {
            shard.fan_out().await;
            for (receiver, expected) in receivers {
                assert!(shard.leave(receiver).await == expected);
            }
            assert_eq!((shard.backlogs.count(), shard.backlogs.bytes()), (0, 0));
        }
        assert!(hub.last_seq() > 200);
    });
}

#[test]
fn each_receiver_gets_the_variant_it_can_read_and_all_are_counted() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let plain = shard.join(A, false).await;
        let deflated = [shard.join(A, true).await, shard.join(A, true).await];
        let elsewhere = shard.join(B, true).await;
        let long = "notification ".repeat(40);
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"short");
        hub.send_to(Target::Endpoint(A), Opcode::Text, long.as_bytes());
        shard.fan_out().await;
        assert!(!plain.member.context_lost.get() && !elsewhere.member.context_lost.get());
        assert!(deflated.iter().all(|receiver| receiver.member.context_lost.get()));
        let totals = deflated[0].member.outbound.totals();
        assert_eq!((totals.messages, totals.payload_bytes), (2, 525));
        let received = shard.leave(plain).await;
        assert!(received.starts_with(&text("short")) && received.ends_with(long.as_bytes()));
        assert_eq!(received[7..11], [0x81, 126, 2, 8]);
        let plain_bytes = received.len();
        let [first, second] = deflated;
        let received = shard.leave(first).await;
        assert_eq!(received, shard.leave(second).await, "one encoding for both");
        assert_eq!(received[..7], text("short"), "not worth compressing");
        assert_eq!(received[7], 0xc1, "text, FIN, RSV1");
        assert!(received.len() < 100);
        assert_eq!(shard.leave(elsewhere).await, b"");
        let towards = r#"{direction="out"}"#;
        let wire_bytes = plain_bytes + 2 * received.len();
        assert_eq!(shard.count(&format!("gaugeway_wire_bytes_total{towards}")), wire_bytes);
        assert_eq!(shard.count(&format!("gaugeway_messages_compressed_total{towards}")), 2);
        let messages = r#"gaugeway_messages_total{endpoint="/a",direction="out",opcode="text"}"#;
        assert_eq!(shard.count(messages), 6);
    });
}

#[test]
fn a_receiver_that_overflows_harms_no_other() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, QueueLimits { bytes: 4096, messages: 4 });
        let slow = shard.join(A, false).await;
        let payload = vec![b'x'; 1000];
        let mut published = 0;
        while slow.member.outbound.take_signals() & crate::outbound::signal::OVERFLOW == 0 {
            hub.send_to(Target::Endpoint(A), Opcode::Binary, &payload);
            shard.fan_out().await;
            published += 1;
        }
        let counted = r#"gaugeway_messages_total{endpoint="/a",direction="out",opcode="binary"}"#;
        assert_eq!(shard.count(counted), published - 1, "the refused one is not sent");
        let quick = shard.join(A, false).await;
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"to whom it may concern");
        shard.fan_out().await;
        assert_eq!(shard.leave(quick).await, text("to whom it may concern"));
        assert_eq!(shard.leave(slow).await.len(), (published - 1) * 1004);
    });
}

#[test]
fn more_receivers_than_one_chunk_are_all_served() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let mut receivers = Vec::new();
        for _ in 0..600 {
            receivers.push(shard.join(A, false).await);
        }
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"all");
        shard.fan_out().await;
        for receiver in receivers {
            assert_eq!(shard.leave(receiver).await, text("all"));
        }
    });
}
