//! Which publications are whose, and how many there were.

use super::super::super::{Kind, Payload, Publishing, Sizes};
use super::*;

/// Two publications before the window and five in it.
fn scenario() -> Scenario {
    Scenario {
        warm_up: Duration::from_millis(200),
        duration: Duration::from_millis(500),
        handshake_timeout: Duration::from_secs(1),
        close_wait: Duration::from_secs(1),
        work: Work::FanOut { publishing: Publishing::Connection { url: None }, rate: 10.0 },
        payload: Payload { kind: Kind::Text, sizes: Sizes::Range(64, 64), files: vec![] },
        ..Scenario::holding("ws://127.0.0.1/")
    }
}

fn publisher() -> Deliveries {
    Deliveries::new(&scenario(), 7, true)
}

fn receiver() -> Deliveries {
    Deliveries::new(&scenario(), 7, false)
}

fn marker(run: u32, sequence: u64, part: Part) -> Marker {
    Marker { run, sequence, due: Moment(0), part }
}

#[test]
fn each_part_of_the_run_is_counted_from_one_and_its_last_is_marked() {
    let publisher = publisher();
    let mut marks = Vec::new();
    for number in 0..7 {
        let mark = publisher.mark(number, Moment(number));
        assert_eq!(mark.due, Moment(number));
        publisher.published(&mark, true);
        marks.push((mark.part, mark.sequence));
    }
    let expected = [
        (Part::WarmUp, 1),
        (Part::WarmUp, 2),
        (Part::Measured, 1),
        (Part::Measured, 2),
        (Part::Measured, 3),
        (Part::Measured, 4),
        (Part::Last, 5),
    ];
    assert_eq!(marks, expected);
    assert_eq!((publisher.total(false), publisher.total(true)), (5, 5));
}

#[test]
fn what_was_not_sent_has_no_number() {
    let publisher = publisher();
    // The second of the warm-up, and the third and fourth of the window, could not be sent.
    for number in [0, 2, 3, 6] {
        publisher.published(&publisher.mark(number, Moment(number)), true);
    }
    assert_eq!(publisher.total(false), 3);
}

#[test]
fn publications_of_another_run_are_not_ours() {
    let receiver = receiver();
    assert!(!receiver.is_ours(&marker(8, 1, Part::WarmUp)));
    assert!(receiver.is_ours(&marker(7, 1, Part::WarmUp)));
    assert!(!receiver.is_ours(&marker(8, 2, Part::WarmUp)));
    assert!(receiver.is_ours(&marker(7, 5, Part::Last)));
    let publisher = publisher();
    let own = publisher.mark(0, Moment(0));
    assert!(publisher.is_ours(&own));
    assert!(!publisher.is_ours(&marker(!own.run, 1, Part::WarmUp)));
}

#[test]
fn a_number_that_was_never_to_come_is_nobodys() {
    let receiver = receiver();
    for (sequence, part) in [(3, Part::WarmUp), (6, Part::Measured), (1 << 47, Part::Last)] {
        assert!(!receiver.is_ours(&marker(7, sequence, part)), "{part:?} {sequence}");
    }
}

#[test]
fn a_receiver_knows_the_total_from_the_last_or_from_the_plan() {
    let receiver = receiver();
    assert_eq!((receiver.total(false), receiver.total(true)), (5, 0));
    receiver.saw(&marker(7, 2, Part::WarmUp));
    receiver.saw(&marker(7, 3, Part::Measured));
    receiver.saw(&marker(7, 2, Part::Measured));
    assert_eq!((receiver.total(false), receiver.total(true)), (5, 3));
    receiver.saw(&marker(7, 4, Part::Last));
    assert_eq!((receiver.total(false), receiver.total(true)), (4, 4));
}

#[test]
fn moments_of_files_are_remembered_for_the_newest() {
    let publisher = publisher();
    let newest = REMEMBERED as u64 + 10;
    for number in 0..newest {
        publisher.published(&publisher.mark(number, Moment(number)), false);
    }
    assert_eq!(publisher.due(newest), Some(Moment(newest - 1)));
    assert_eq!(publisher.due(11), Some(Moment(10)));
    assert_eq!((publisher.due(10), publisher.due(newest + 1)), (None, None));
}
