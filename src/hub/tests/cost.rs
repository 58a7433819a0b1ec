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
