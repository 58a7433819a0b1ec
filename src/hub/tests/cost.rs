//! What a batch costs is what it delivers: counted, not timed.

use std::cell::Cell;

use super::*;

/// More than one mailbox round and fewer than makes a mailbox congested.
const USERS: usize = 10_000;

/// Receivers that lost their sockets: each is asked, none writes.
fn crowd(hub: &TestHub, local: &Local, outbound: &Rc<Outbound>) -> Vec<(Rc<Member>, usize)> {
    let users = (0..USERS).map(|number| hub.user_key(&format!("user {number}")));
    let members = users.map(|user| Member::new(Rc::clone(outbound), A, Some(user), false, 0));
    members.map(|member| (Rc::clone(&member), local.join(&member))).collect()
}

#[test]
fn a_batch_for_10_000_users_and_a_broadcast_look_at_each_receiver_once() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let outbound = Outbound::new(narrow_pair().await.0, NOW);
        outbound.end(false, &shard.backlogs);
        let crowd = crowd(&hub, &shard.local, &outbound);
        for (member, _) in &crowd {
            hub.send_to(Target::User(member.user.unwrap()), Opcode::Text, b"mine");
        }
        hub.send_to(Target::Endpoint(A), Opcode::Text, b"everybody's");
        let batch = waiting_in(&hub.mailbox(0));
        assert_eq!(batch.len(), USERS + 1);
        // The clock is asked for each connection of a user, and for each chunk of an endpoint.
        let looks = Cell::new(0);
        let now = || {
            looks.set(looks.get() + 1);
            NOW
        };
        let fan_out = FanOut {
            recorder: &shard.recorder,
            backlogs: &shard.backlogs,
            deflater: &shard.deflater,
            deflate_min_bytes: 128,
            now: &now,
        };
        shard.local.fan_out(&batch, &fan_out).await;
        // An endpoint's slots, of which a slab doubles the number when it grows, in chunks of 256.
        let chunks = USERS.next_power_of_two() / 256;
        assert_eq!(
            looks.get(),
            USERS + chunks,
            "each once, and the endpoint's pass over all of them"
        );
        let refused = r#"gaugeway_deliveries_dropped_total{reason="closing"}"#;
        assert_eq!(shard.count(refused), 2 * USERS, "two for each: its own and everybody's");
        for (member, key) in crowd {
            shard.local.leave(&member, key);
        }
        assert!(shard.local.is_empty());
    });
}

/// Fans out a batch; how often others of the thread got a turn meanwhile, at least.
async fn turns(shard: &Shard, receivers: &[Receiver], batch: &[(Target, usize, usize)]) -> usize {
    for (to, messages, bytes) in batch {
        for number in 0..*messages {
            let payload = vec![b'a' + (number % 26) as u8; *bytes];
            shard.hub.send_to(*to, Opcode::Text, &payload);
        }
    }
    let sent_to = |receiver: &Receiver| receiver.member.outbound.totals().messages;
    let before = sent_to(&receivers[0]);
    let mut fanning_out = std::pin::pin!(shard.fan_out());
    let mut turns = 0;
    std::future::poll_fn(|cx| match fanning_out.as_mut().poll(cx) {
        std::task::Poll::Ready(()) => std::task::Poll::Ready(()),
        std::task::Poll::Pending => {
            turns += 1;
            std::task::Poll::Pending
        }
    })
    .await;
    let messages: usize = batch.iter().map(|(_, messages, _)| messages).sum();
    let all = before + messages as u64;
    assert!(receivers.iter().all(|receiver| sent_to(receiver) == all), "each is served");
    turns
}

#[test]
fn a_large_batch_leaves_turns_to_the_heartbeat_between_few_receivers() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let mut receivers = Vec::new();
        for _ in 0..64 {
            receivers.push(shard.join_as(Some("anna"), A, false).await);
        }
        let anna = Target::User(hub.user_key("anna"));
        let everybody = Target::Everyone;
        // One message for each leaves one turn to the others, at the endpoint's end.
        assert_eq!(turns(&shard, &receivers, &[(everybody, 1, 10)]).await, 1);
        // 64 receivers x 8,192 messages, in turns of 65,536 deliveries.
        assert!(turns(&shard, &receivers, &[(everybody, 8192, 10)]).await >= 8);
        assert!(turns(&shard, &receivers, &[(anna, 8192, 10)]).await >= 8);
        // 64 receivers x 4 MiB, in turns of 16 MiB.
        assert!(turns(&shard, &receivers, &[(everybody, 4, 1 << 20)]).await >= 16);
        assert!(turns(&shard, &receivers, &[(anna, 4, 1 << 20)]).await >= 16);
    });
}

#[test]
fn a_large_batch_leaves_turns_to_the_heartbeat_while_it_is_compressed() {
    run(async || {
        let hub = Arc::new(TestHub::new(1));
        let shard = Shard::new(&hub, 0, ROOMY);
        let receivers = [shard.join_as(Some("anna"), A, true).await];
        let anna = Target::User(hub.user_key("anna"));
        for to in [Target::Endpoint(A), anna] {
            // 2 MiB in turns of 256 KiB.
            assert!(turns(&shard, &receivers, &[(to, 512, 4096)]).await >= 8);
        }
    });
}
