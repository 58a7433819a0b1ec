//! What is sent: JSON as a notification looks, of an exact size.

use std::fmt::Write;

/// A JSON object of exactly `size` bytes (at least 48) that differs from one `sequence` to the next.
///
/// It holds a list of notifications with names, numbers and texts that repeat as real ones do, so that
/// permessage-deflate finds neither noise nor one single byte repeated.
pub fn notification(size: usize, sequence: u64) -> Vec<u8> {
    const EVENTS: [&str; 5] =
        ["order.shipped", "order.paid", "message.new", "invoice.due", "device.offline"];
    let mut json = format!("{{\"seq\":{sequence},\"items\":[");
    for item in 0_u64.. {
        // Knuth's multiplicative hash: ids that differ, the same in every run.
        let id = (sequence.wrapping_mul(31).wrapping_add(item)).wrapping_mul(2_654_435_761)
            % 1_000_000_007;
        let event = EVENTS[(id % EVENTS.len() as u64) as usize];
        let mut entry = String::new();
        let comma = if item == 0 { "" } else { "," };
        write!(
            entry,
            "{comma}{{\"id\":{id},\"user\":{},\"event\":\"{event}\",\"read\":false}}",
            id % 5_000
        )
        .expect("writing to a String cannot fail");
        if json.len() + entry.len() + MIN_TAIL > size {
            break;
        }
        json.push_str(&entry);
    }
    let padding = size.saturating_sub(json.len() + MIN_TAIL);
    write!(json, "],\"pad\":\"{}\"}}", ".".repeat(padding))
        .expect("writing to a String cannot fail");
    json.into_bytes()
}

/// Length of `],"pad":""}`.
const MIN_TAIL: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json_of_the_exact_size() {
        for size in [48, 128, 256, 1024] {
            for sequence in [0, 1, 99_999] {
                let payload = notification(size, sequence);
                assert_eq!(payload.len(), size);
                serde_json::from_slice::<serde_json::Value>(&payload).expect("valid JSON");
            }
        }
    }

    #[test]
    fn differs_between_publications() {
        assert_ne!(notification(256, 1), notification(256, 2));
    }
}
