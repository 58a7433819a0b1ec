//! Inflating whole messages, bounded (RFC 7692 §7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use super::violation::Violation;

/// Streams in one message. A sender that ends a stream per flush needs a handful; beginning one costs
/// so much more than its two bytes on the wire that a message of nothing else would stall the thread.
const STREAMS_MAX: usize = 256;

/// Where the output of an inflater begins to grow from, in bytes.
const OUTPUT_BYTES_MIN: usize = 4 * 1024;
/// What a thread keeps between messages at most, in bytes.
const OUTPUT_BYTES_KEPT: usize = 256 * 1024;

/// The end that the sender cut off (RFC 7692 §7.2.1) and, behind it, an empty final block: the
/// stream ends exactly there if, and only if, the message ended between two blocks.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

const CUT_OFF: &str = "the stream ends inside a block";

/// A thread's decompressor, shared by all of its connections, and the place where a message lies
/// that did not arrive in one piece while it is handed out.
///
/// Costs about 50 KiB, and the longest message of late up to 256 KiB (longer ones are let go with
/// the next). It remembers nothing of a connection: with context takeover, the [`super::Decoder`]
/// keeps the peer's window itself and lends it for each message.
pub struct Inflater {
    stream: Decompress,
    /// Initialised room for the output, of which the message takes the first `inflated`.
    output: Vec<u8>,
    inflated: usize,
    /// The last message or control frame that was put together from several reads or fragments.
    gathered: Vec<u8>,
}

impl Inflater {
    /// A new one for a thread.
    pub fn new() -> Self {
        Self {
            // Always the largest window: it inflates what any smaller one compressed.
            stream: Decompress::new(false),
            output: Vec::new(),
            inflated: 0,
            gathered: Vec::new(),
        }
    }

    /// Takes over a buffer, so that its connection keeps nothing while its user looks at it.
    pub(super) fn hold(&mut self, gathered: Vec<u8>) {
        self.gathered = gathered;
    }

    pub(super) fn gathered(&self) -> &[u8] {
        &self.gathered
    }

    pub(super) fn inflated(&self) -> &[u8] {
        &self.output[..self.inflated]
    }

    /// Inflates the compressed payload of one whole message; [`Self::inflated`] is the result.
    ///
    /// `window` is what the peer may refer to from earlier messages (empty without context
    /// takeover). Final blocks and several streams in one message are accepted (RFC 7692 §7.2.3.4).
    /// Never holds more than `max` + 1 bytes of output.
    pub(super) fn inflate(
        &mut self,
        compressed: &[u8],
        window: &[u8],
        max: usize,
    ) -> Result<(), Violation> {
        self.inflated = 0;
        if self.output.len() > OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        if compressed.is_empty() {
            // Not what RFC 7692 §7.2.3.6 prescribes, but what some senders do; nothing is nothing.
            return Ok(());
        }
        self.restart(window)?;
        if self.feed(compressed, window, max)? == Fed::Ended {
            return Ok(());
        }
        match self.feed(&TAIL, window, max)? {
            Fed::Ended => Ok(()),
            Fed::Unfinished => Err(Violation::Inflate(CUT_OFF)),
        }
    }

    /// Begins a new stream that may refer to the last 32 KiB of all that came before it.
    fn restart(&mut self, window: &[u8]) -> Result<(), Violation> {
        self.stream.reset(false);
        for before in [window, &self.output[..self.inflated]] {
            if !before.is_empty() {
                self.stream
                    .set_dictionary(before)
                    .map_err(|error| Violation::Inflate(zlib_reason(error.message())))?;
            }
        }
        Ok(())
    }

    /// Inflates `part` to its end, beginning a new stream where one ends inside it.
    fn feed(&mut self, mut part: &[u8], window: &[u8], max: usize) -> Result<Fed, Violation> {
        let mut streams = 1;
        loop {
            self.make_room(max);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let room = &mut self.output[self.inflated..];
            let status = self
                .stream
                .decompress(part, room, FlushDecompress::None)
                .map_err(|error| Violation::Inflate(zlib_reason(error.message())))?;
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            part = &part[read..];
            self.inflated += written;
            if self.inflated > max {
                return Err(Violation::InflatedTooBig { max });
            }
            match status {
                Status::StreamEnd if part.is_empty() => return Ok(Fed::Ended),
                Status::StreamEnd if streams == STREAMS_MAX => {
                    return Err(Violation::Inflate("too many final blocks in one message"));
                }
                Status::StreamEnd => {
                    streams += 1;
                    self.restart(window)?;
                }
                Status::Ok | Status::BufError => {
                    if part.is_empty() && self.inflated < self.output.len() {
                        return Ok(Fed::Unfinished);
                    }
                    if read == 0 && written == 0 {
                        // zlib has both input and room here, so this cannot be; but a loop that
                        // depends on somebody else's progress needs a way out.
                        return Err(Violation::Inflate("no progress"));
                    }
                }
            }
        }
    }

    /// Makes room for at least one more byte: doubling, to at most `max` + 1 bytes in all, so that
    /// a message of one byte too much shows itself.
    fn make_room(&mut self, max: usize) {
        let size = self.output.len();
        if self.inflated == size {
            let wanted = size.saturating_mul(2).max(OUTPUT_BYTES_MIN);
            let wanted = wanted.min(max.saturating_add(1)).max(size + 1);
            self.output.reserve_exact(wanted - size);
            self.output.resize(wanted, 0);
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// How a part of the input was used up.
#[derive(PartialEq, Eq)]
enum Fed {
    /// A final block ended with its last byte.
    Ended,
    /// More may follow.
    Unfinished,
}

/// Slides the window of context takeover: keeps the last `bytes_max` of `window` and `output`.
pub(super) fn slide(window: &mut Vec<u8>, output: &[u8], bytes_max: usize) {
    let output = &output[output.len().saturating_sub(bytes_max)..];
    let excess = (window.len() + output.len()).saturating_sub(bytes_max);
    window.drain(..excess);
    let needed = window.len() + output.len();
    if needed > window.capacity() {
        // Doubling as a Vec does, but never beyond the window's size.
        let wanted = needed.max(window.capacity() * 2).min(bytes_max);
        window.reserve_exact(wanted - window.len());
    }
    window.extend_from_slice(output);
}

/// zlib's reason as a `'static` text: it borrows it from the stream.
fn zlib_reason(message: Option<&str>) -> &'static str {
    const REASONS: [&str; 12] = [
        "invalid block type",
        "invalid stored block lengths",
        "invalid literal/length code",
        "invalid distance code",
        "invalid distance too far back",
        "too many length or distance symbols",
        "invalid code lengths set",
        "invalid bit length repeat",
        "invalid code -- missing end-of-block",
        "invalid literal/lengths set",
        "invalid distances set",
        "invalid distance code too far back",
    ];
    let message = message.unwrap_or_default().trim_end_matches('\0');
    REASONS.into_iter().find(|reason| *reason == message).unwrap_or("invalid data")
}
