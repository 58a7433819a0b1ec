//! What a publication says of itself, so that whoever gets it can judge it without asking anybody.
//!
//! `gl1 RUN SEQUENCE DUE PART `, all of it ASCII and of fixed width, numbers in hexadecimal.

use memchr::memmem;

use super::moment::Moment;

/// The length of a marker, in bytes. The payload of a generated publication is at least this long.
pub const MARKER_BYTES: usize = 45;

/// A marker begins within so many bytes of a payload, or is not looked for: an API or an envelope
/// may put something before it.
const SEARCHED_BYTES: usize = 256;

const START: &[u8] = b"gl1 ";

/// The highest sequence number that twelve digits can hold.
const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// What a publication says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The run that it belongs to: drawn by whoever publishes.
    pub run: u32,
    /// Which it is of its part of the run, from 1. Publications that were not sent have none.
    pub sequence: u64,
    /// When it was due. Of use on the machine of the publisher only.
    pub due: Moment,
    /// When in the run.
    pub part: Part,
}

/// The parts of a run, each with sequence numbers of its own; the last publication continues those
/// of the measured ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Before the window.
    WarmUp,
    /// In the window.
    Measured,
    /// In the window, and none comes behind it.
    Last,
}

impl Marker {
    /// Appends it: [`MARKER_BYTES`].
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(START);
        into.extend_from_slice(&hex_digits::<8>(u64::from(self.run)));
        into.push(b' ');
        into.extend_from_slice(&hex_digits::<12>(self.sequence.min(SEQUENCE_MAX)));
        into.push(b' ');
        into.extend_from_slice(&hex_digits::<16>(self.due.0));
        let part = match self.part {
            Part::WarmUp => b'W',
            Part::Measured => b'M',
            Part::Last => b'E',
        };
        into.extend_from_slice(&[b' ', part, b' ']);
    }

    /// The first one in a payload.
    pub fn find(payload: &[u8]) -> Option<Self> {
        // Nearly always it is right at the start.
        if let Some(marker) = Self::at_start(payload) {
            return Some(marker);
        }
        let searched = &payload[..payload.len().min(SEARCHED_BYTES + START.len() - 1)];
        memmem::find_iter(searched, START).find_map(|at| Self::at_start(&payload[at..]))
    }

    fn at_start(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.get(..MARKER_BYTES)?.strip_prefix(START)?;
        let (run, rest) = read_hex::<8>(rest)?;
        let (sequence, rest) = read_hex::<12>(rest)?;
        let (due, rest) = read_hex::<16>(rest)?;
        let part = match rest {
            b"W " => Part::WarmUp,
            b"M " => Part::Measured,
            b"E " => Part::Last,
            _ => return None,
        };
        (sequence > 0).then_some(Self { run: run as u32, sequence, due: Moment(due), part })
    }
}

/// The last `DIGITS` hexadecimal digits of a number, in lower case.
#[inline]
pub fn hex_digits<const DIGITS: usize>(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|at| {
        b"0123456789abcdef"[(number >> (4 * (DIGITS - 1 - at))) as usize & 0xf]
    })
}

/// A number of `DIGITS` lower-case digits and a blank, and what comes behind.
fn read_hex<const DIGITS: usize>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(DIGITS)?;
    Some((hex_number(digits)?, rest.strip_prefix(b" ")?))
}

/// The number that these lower-case digits write, at most 16 of them.
pub fn hex_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker {
        run: 0xbeef,
        sequence: 0x1234_5678_9abc,
        due: Moment(0xfedc_ba98_7654_3210),
        part: Part::Measured,
    };

    fn written(marker: Marker) -> Vec<u8> {
        let mut bytes = Vec::new();
        marker.write(&mut bytes);
        bytes
    }

    #[test]
    fn it_is_found_as_it_was_written() {
        assert_eq!(written(MARKER), b"gl1 0000beef 123456789abc fedcba9876543210 M ");
        for part in [Part::WarmUp, Part::Measured, Part::Last] {
            let marker = Marker { part, ..MARKER };
            assert_eq!(written(marker).len(), MARKER_BYTES);
            assert_eq!(Marker::find(&written(marker)), Some(marker));
        }
    }

    #[test]
    fn something_may_stand_before_it_but_not_too_much() {
        for before in [0, 1, 44, 45, 200, SEARCHED_BYTES - 1] {
            let payload = [vec![b'x'; before], written(MARKER), vec![b'y'; 300]].concat();
            assert_eq!(Marker::find(&payload), Some(MARKER), "{before}");
            assert_eq!(Marker::find(&payload[..before + MARKER_BYTES]), Some(MARKER), "{before}");
        }
        let too_far = [vec![b'x'; SEARCHED_BYTES], written(MARKER)].concat();
        assert_eq!(Marker::find(&too_far), None);
        let after_false_starts = [b"gl1 gl1 gl1 0000beef gl1 ".to_vec(), written(MARKER)].concat();
        assert_eq!(Marker::find(&after_false_starts), Some(MARKER));
    }

    #[test]
    fn what_is_no_marker_is_none() {
        let marker = written(MARKER);
        for length in 0..MARKER_BYTES {
            assert_eq!(Marker::find(&marker[..length]), None, "cut to {length}");
        }
        for at in 0..MARKER_BYTES {
            let mut broken = marker.clone();
            broken[at] = b'G';
            assert_eq!(Marker::find(&broken), None, "broken at {at}");
        }
        for text in [
            "gl1 0000BEEF 123456789abc fedcba9876543210 M ",
            "gl1 +000beef 123456789abc fedcba9876543210 M ",
            "gl1 0000beef 000000000000 fedcba9876543210 M ",
            "gl1 0000beef 123456789abc fedcba9876543210 X ",
            "gl2 0000beef 123456789abc fedcba9876543210 M ",
        ] {
            assert_eq!(Marker::find(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Marker::find(&[0xff; 1_000]), None);
        assert_eq!(Marker::find(&b"gl1 ".repeat(1_000)), None);
    }
}
