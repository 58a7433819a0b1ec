//! Close frames of the client: answered with their code and counted under it; malformed ones are
//! refused.

use super::super::support::{Ends, Frame, Gateway, Raw, Settings, masked_frame};
use super::{ECHO, hasty};

#[test]
fn a_close_of_the_client_is_answered_and_counted_with_its_code() {
    let mut ends = Ends::of(Gateway::start());
    let own = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4001];
    let own = own.into_iter().map(|code: u16| (code, code.to_string()));
    let others = [(3001, "3xxx"), (3999, "3xxx"), (4000, "4xxx"), (4999, "4xxx")];
    let others = others.into_iter().map(|(code, label)| (code, label.to_owned()));
    for (code, label) in own.chain(others) {
        let mut client = Raw::open(ends.gateway.public, ECHO);
        client.send_frame(8, &[&code.to_be_bytes()[..], b"bye \xe2\x82\xac"].concat());
        let (frames, fin) = client.read_rest();
        assert_eq!(frames.len(), 1, "{code}: the answer, nothing else");
        assert_eq!(frames[0].payload, code.to_be_bytes(), "{code}: the code alone comes back");
        assert!(fin, "{code}: FIN, not RST");
        let line = ends.expect(&label, ["client", "client_close", &label]);
        assert_eq!(line["received_code"], code, "{line}");
        assert_eq!(line["sent_code"], code, "{line}");
        assert_eq!(line["received_reason"], "bye €", "{line}");
    }
}

#[test]
fn a_close_without_code_is_1005_and_answered_with_an_empty_one() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    client.send_frame(8, b"");
    let (frames, fin) = client.read_rest();
    assert_eq!(frames.iter().map(|it| it.payload.len()).collect::<Vec<_>>(), [0]);
    assert!(fin);
    let line = ends.expect("empty Close", ["client", "client_close", "1005"]);
    assert_eq!(line["received_code"], 1005, "{line}");
    assert_eq!(line["sent_code"], 1005, "{line}");
    assert!(line["received_reason"].is_null(), "{line}");
}

#[test]
fn a_close_that_comes_byte_by_byte_with_the_longest_reason_is_one() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    let reason = "r".repeat(123);
    for byte in masked_frame(0x88, &[&1000_u16.to_be_bytes()[..], reason.as_bytes()].concat()) {
        client.send(&[byte]);
    }
    assert_eq!(client.read_close().unwrap().close_code(), Some(1000));
    let line = ends.expect("slow Close", ["client", "client_close", "1000"]);
    assert_eq!(line["received_reason"], reason, "{line}");
}

#[test]
fn what_follows_a_close_of_the_client_is_neither_read_nor_answered() {
    let mut ends = Ends::of(Gateway::start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    let mut bytes = masked_frame(0x81, b"before");
    bytes.extend(masked_frame(0x88, &1000_u16.to_be_bytes()));
    bytes.extend(masked_frame(0x81, b"after"));
    bytes.extend(masked_frame(0x89, b"after"));
    bytes.extend(masked_frame(0x88, &4001_u16.to_be_bytes()));
    client.send(&bytes);
    let (frames, fin) = client.read_rest();
    let got: Vec<_> = frames.iter().map(|it| (it.opcode(), it.payload.as_slice())).collect();
    assert_eq!(got, [(1, &b"before"[..]), (8, &[3, 232])]);
    assert!(fin);
    let line = ends.expect("a talkative end", ["client", "client_close", "1000"]);
    assert_eq!(line["messages_in"], 1, "{line}");
    assert_eq!(line["received_code"], 1000, "{line}");
}

#[test]
fn a_malformed_close_is_refused_and_is_no_close_of_the_client() {
    let mut ends = Ends::of(hasty().start());
    let mut check = |body: &[u8], cause, code: u16, detail: &str| {
        let mut client = Raw::open(ends.gateway.public, ECHO);
        client.send_frame(8, body);
        let (frames, fin) = client.read_rest();
        assert_eq!(frames.len(), 1, "{body:?}: one Close, nothing else");
        assert_eq!(frames[0].close_code(), Some(code), "{body:?}");
        assert!(fin, "{body:?}: FIN, not RST");
        let line = ends.expect(detail, ["gateway", cause, &code.to_string()]);
        assert_eq!(line["sent_code"], code, "{line}");
        assert!(line["received_code"].is_null(), "{line}");
        assert!(line["detail"].as_str().unwrap().contains(detail), "{line}");
    };
    check(&[3], "protocol_error", 1002, "close body of one byte");
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let detail = format!("close code {code} may not be sent");
        check(&u16::to_be_bytes(code), "protocol_error", 1002, &detail);
    }
    check(b"\x03\xe8bye \xe2\x82", "invalid_utf8", 1007, "not UTF-8 at byte 4");
    check(b"\x03\xe8\xff", "invalid_utf8", 1007, "not UTF-8 at byte 0");
}

#[test]
fn a_close_that_is_too_long_is_the_clients_last_word_all_the_same() {
    // Who waits for another Close would wait for ever.
    let mut ends = Ends::of(Settings::new().set("limits.close_wait=1h").start());
    let mut client = Raw::open(ends.gateway.public, ECHO);
    client.send_frame(8, &[3; 126]);
    let (frames, fin) = client.read_rest();
    assert_eq!(frames.iter().map(Frame::close_code).collect::<Vec<_>>(), [Some(1002)]);
    assert!(fin, "FIN, not RST");
    let line = ends.expect("too long", ["gateway", "protocol_error", "1002"]);
    assert!(line["detail"].as_str().unwrap().contains("more than 125 bytes"), "{line}");
}
