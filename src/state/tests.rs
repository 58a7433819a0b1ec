//! The machine's whole life in tables: inputs with their times, effects, and the ending.

use super::*;

const SECOND_US: u64 = 1_000_000;
const TIMES: Times = Times {
    ping_interval_us: 30 * SECOND_US,
    pong_wait_us: 60 * SECOND_US,
    write_wait_us: 15 * SECOND_US,
    close_wait_us: 5 * SECOND_US,
};
const TICK: Input = Input::Tick { head_since_us: None, reading_paused: false };

fn at_s(seconds: u64) -> Now {
    Now { real_us: seconds * SECOND_US, attended_us: seconds * SECOND_US }
}

fn open() -> Machine {
    Machine::open(&TIMES, 42, at_s(0))
}

/// Feeds `(second, input)` and returns the last effects with the ending.
fn run(machine: &mut Machine, inputs: &[(u64, Input)]) -> (Effects, Option<Ending>) {
    let mut effects = Effects::default();
    for (second, input) in inputs {
        effects = machine.step(*input, &TIMES, at_s(*second));
    }
    (effects, machine.ending())
}

#[track_caller]
fn check(inputs: &[(u64, Input)], then: Then, cause: Cause, code: u16) {
    let (effects, ending) = run(&mut open(), inputs);
    assert_eq!(effects.then, then);
    assert_eq!(ending, Some(Ending { cause, code }));
}

#[test]
fn each_way_out_has_its_cause_and_code() {
    use Input::{CloseReceived, CloseWritten, GiveUp, SocketEnded, TooMuchToDiscard};
    let too_big = GiveUp(Cause::MessageTooBig);
    check(
        &[(1, CloseReceived(Some(1001))), (1, CloseWritten)],
        Then::Finish,
        Cause::ClientClose,
        1001,
    );
    check(&[(1, CloseReceived(None)), (1, CloseWritten)], Then::Finish, Cause::ClientClose, 1005);
    check(
        &[(1, CloseReceived(Some(4321))), (2, SocketEnded(Cause::PeerReset))],
        Then::Finish,
        Cause::ClientClose,
        4321,
    );
    check(&[(1, CloseReceived(Some(1000))), (6, TICK)], Then::Abort, Cause::ClientClose, 1000);
    check(&[(1, SocketEnded(Cause::PeerEof))], Then::Finish, Cause::PeerEof, 1006);
    check(&[(1, SocketEnded(Cause::PeerReset))], Then::Finish, Cause::PeerReset, 1006);
    check(
        &[(1, too_big), (1, CloseWritten), (2, CloseReceived(Some(1009)))],
        Then::Finish,
        Cause::MessageTooBig,
        1009,
    );
    check(
        &[(1, too_big), (1, CloseReceived(Some(1000))), (2, CloseWritten)],
        Then::Finish,
        Cause::MessageTooBig,
        1009,
    );
    check(&[(1, too_big), (1, CloseWritten), (6, TICK)], Then::Finish, Cause::MessageTooBig, 1006);
    check(&[(1, too_big), (6, TICK)], Then::Abort, Cause::MessageTooBig, 1006);
    check(
        &[(1, too_big), (2, SocketEnded(Cause::PeerReset))],
        Then::Finish,
        Cause::MessageTooBig,
        1006,
    );
    check(
        &[(1, too_big), (1, CloseWritten), (2, TooMuchToDiscard)],
        Then::Finish,
        Cause::MessageTooBig,
        1006,
    );
    check(
        &[(20, Input::Tick { head_since_us: Some(5 * SECOND_US), reading_paused: false })],
        Then::Abort,
        Cause::WriteTimeout,
        1006,
    );
}

#[test]
fn the_first_cause_stays() {
    let mut machine = open();
    run(
        &mut machine,
        &[(1, Input::GiveUp(Cause::QueueOverflow)), (2, Input::GiveUp(Cause::ProtocolError))],
    );
    assert_eq!(
        machine.end_now(Cause::InternalError),
        Ending { cause: Cause::QueueOverflow, code: 1006 }
    );
    assert_eq!(machine.end_now(Cause::Shutdown).cause, Cause::QueueOverflow);
    let (effects, _) = run(&mut machine, &[(3, Input::CloseReceived(Some(1000)))]);
    assert_eq!(effects, Effects::default(), "nothing happens after the end");
}

#[test]
fn a_close_is_answered_with_its_own_code() {
    for code in [Some(1000), Some(3999), None] {
        let (effects, ending) = run(&mut open(), &[(1, Input::CloseReceived(code))]);
        assert_eq!(effects.close, Some(code));
        assert!(effects.drop_unstarted);
        assert_eq!(ending, None, "the answer must be written first");
    }
}

#[test]
fn only_an_overflow_throws_queued_frames_away() {
    for cause in Cause::ALL {
        let (effects, _) = run(&mut open(), &[(1, Input::GiveUp(*cause))]);
        assert_eq!(effects.drop_unstarted, *cause == Cause::QueueOverflow);
        assert_eq!(effects.close, Some(Some(cause.close_code())));
    }
}

#[test]
fn silence_kills_only_while_a_ping_is_outstanding() {
    let mut machine = open();
    let (effects, _) = run(&mut machine, &[(26, TICK)]);
    assert_eq!(effects, Effects::default(), "too early for a ping");
    let (effects, _) = run(&mut machine, &[(34, TICK)]);
    assert!(effects.ping.is_some(), "30 s + 10 % have passed");
    let (effects, _) = run(&mut machine, &[(59, TICK)]);
    assert!(effects.close.is_none());
    let (effects, ending) = run(&mut machine, &[(60, TICK)]);
    assert_eq!(effects.close, Some(Some(1011)));
    assert_eq!(ending, None, "reading goes on: a late pong is evidence");
    assert_eq!(machine.next_due_us(&TIMES, None), 65 * SECOND_US);
    let (effects, ending) = run(&mut machine, &[(61, Input::CloseWritten), (65, TICK)]);
    assert_eq!(effects.then, Then::Finish);
    assert_eq!(ending, Some(Ending { cause: Cause::PongTimeout, code: 1006 }));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut machine = open();
    for second in 1..600 {
        run(&mut machine, &[(second, TICK)]);
        if second % 50 == 0 {
            run(&mut machine, &[(second, Input::BytesReceived)]);
        }
    }
    assert!(machine.is_open());
}

#[test]
fn a_late_pong_is_told_from_a_timely_one() {
    let mut machine = open();
    let (effects, _) = run(&mut machine, &[(34, TICK)]);
    let token = effects.ping.unwrap();
    run(&mut machine, &[(70, TICK)]);
    assert_eq!(machine.pong(&token, at_s(72)), PongKind::Late { rtt_us: 38 * SECOND_US });
}

#[test]
fn a_stall_of_the_gateway_is_nobodys_silence() {
    let mut machine = open();
    run(&mut machine, &[(34, TICK)]);
    // The process stood still from second 40 to second 140: attended time did not go on.
    let after = Now { real_us: 141 * SECOND_US, attended_us: 41 * SECOND_US };
    assert_eq!(machine.step(TICK, &TIMES, after).close, None);
    assert!(machine.is_open());
}

#[test]
fn paused_reading_stops_the_pong_timer() {
    let mut machine = open();
    run(&mut machine, &[(34, TICK)]);
    let paused = Input::Tick { head_since_us: Some(58 * SECOND_US), reading_paused: true };
    run(&mut machine, &[(61, paused), (62, Input::ReadingResumed), (100, TICK)]);
    assert!(machine.is_open());
    run(&mut machine, &[(122, TICK)]);
    assert!(!machine.is_open());
}

#[test]
fn no_ping_queues_behind_data() {
    let mut machine = open();
    let blocked = Input::Tick { head_since_us: Some(33 * SECOND_US), reading_paused: false };
    let (effects, _) = run(&mut machine, &[(34, blocked)]);
    assert_eq!(effects.ping, None);
    assert!(
        machine.next_due_us(&TIMES, None) > 60 * SECOND_US,
        "the next try is an interval later"
    );
}

#[test]
fn pings_come_at_their_interval_with_jitter() {
    let mut machine = open();
    let mut last_us = 0;
    let mut waits = std::collections::HashSet::new();
    for _ in 0..50 {
        let due_us = machine.next_due_us(&TIMES, None);
        let now = Now { real_us: due_us, attended_us: due_us };
        machine.step(Input::BytesReceived, &TIMES, now);
        let ping = machine.step(TICK, &TIMES, now).ping.unwrap();
        machine.pong(&ping, now);
        let wait_us = due_us - last_us;
        assert!((27 * SECOND_US..=33 * SECOND_US).contains(&wait_us), "{wait_us}");
        waits.insert(wait_us);
        last_us = due_us;
    }
    assert!(waits.len() > 20);
}

/// A ping goes out after `quiet_s` seconds in which nothing came; its pong comes within
/// `answer_s`. Such a client lives.
#[track_caller]
fn check_answerable(times: Times, quiet_s: u64, answer_s: u64) {
    let mut machine = Machine::open(&times, 42, at_s(0));
    let behind_data = Input::Tick { head_since_us: Some(0), reading_paused: false };
    let patient = Times { write_wait_us: u64::MAX, ..times };
    for second in 0..quiet_s {
        assert_eq!(machine.step(behind_data, &patient, at_s(second)), Effects::default());
    }
    // The next that is due goes out at last: the queue is empty.
    let mut second = quiet_s;
    let token = loop {
        if let Some(token) = machine.step(TICK, &patient, at_s(second)).ping {
            break token;
        }
        second += 1;
    };
    let due_us = machine.next_due_us(&times, None);
    assert!(due_us > (second + answer_s) * SECOND_US, "looked at too early: {due_us}");
    let effects = machine.step(TICK, &patient, at_s(second + answer_s));
    assert!(machine.is_open(), "given up {answer_s} s after its only ping: {effects:?}");
    assert!(matches!(machine.pong(&token, at_s(second + answer_s)), PongKind::Matched { .. }));
}

#[test]
fn a_ping_has_time_to_be_answered_however_late_it_went_out() {
    // A queue that was never empty when a ping was due, for minutes.
    check_answerable(TIMES, 200, 19);
    // The jitter carries the ping beyond a pong time-out that is hardly longer than the interval.
    check_answerable(Times { pong_wait_us: 31 * SECOND_US, ..TIMES }, 0, 10);
    let late = Times { ping_interval_us: 60 * SECOND_US, pong_wait_us: 61 * SECOND_US, ..TIMES };
    check_answerable(late, 0, 20);
}

#[test]
fn a_shorter_interval_brings_the_next_ping_forward_and_a_longer_one_does_not_delay_it() {
    let hourly = Times { ping_interval_us: 3_600 * SECOND_US, ..TIMES };
    let mut due_us: Vec<_> = (0..20)
        .map(|seed| {
            let mut machine = Machine::open(&hourly, seed, at_s(0));
            assert!(machine.next_due_us(&hourly, None) > 3_000 * SECOND_US);
            machine.step(Input::TimesChanged, &TIMES, at_s(100));
            let due_us = machine.next_due_us(&TIMES, None);
            machine.step(Input::TimesChanged, &hourly, at_s(100));
            assert_eq!(machine.next_due_us(&hourly, None), due_us);
            due_us
        })
        .collect();
    assert!(due_us.iter().all(|due_us| (100..=130).contains(&(due_us / SECOND_US))), "{due_us:?}");
    due_us.sort_unstable();
    due_us.dedup();
    assert_eq!(due_us.len(), 20, "not all at the same moment");
}

#[test]
fn a_ping_under_way_has_time_to_be_answered_under_a_shorter_wait() {
    let patient = Times { pong_wait_us: 600 * SECOND_US, ..TIMES };
    let short = Times { pong_wait_us: 6 * SECOND_US, ..TIMES };
    let mut machine = Machine::open(&patient, 42, at_s(0));
    assert!(machine.step(TICK, &patient, at_s(40)).ping.is_some());
    machine.step(Input::TimesChanged, &short, at_s(41));
    assert_eq!(machine.step(TICK, &short, at_s(42)).close, None, "a third of the wait is left");
    assert_eq!(machine.step(TICK, &short, at_s(44)).close, Some(Some(1011)));
}

#[test]
fn other_waits_change_nothing_for_a_connection_that_is_closing() {
    let mut machine = open();
    machine.step(Input::GiveUp(Cause::Draining), &TIMES, at_s(1));
    let short = Times { close_wait_us: SECOND_US, ..TIMES };
    assert_eq!(machine.step(Input::TimesChanged, &short, at_s(1)), Effects::default());
    assert_eq!(machine.next_due_us(&short, None), 6 * SECOND_US);
}
