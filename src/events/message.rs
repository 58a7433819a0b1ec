//! Messages and control frames: the hot path. Counted, never logged.

use crate::telemetry::labels::Direction;
use crate::telemetry::{EndpointIndex, MessageBytes, OFF, Recorder};
use crate::wire::Opcode;

/// A whole message or a control frame came in.
#[derive(Debug, Clone, Copy)]
pub struct MessageReceived {
    /// Whose connection.
    pub endpoint: EndpointIndex,
    /// Text or binary, or the control frame's.
    pub opcode: Opcode,
    /// The payload after decompression.
    pub payload_bytes: u64,
    /// All of its frames as they crossed, headers included.
    pub wire_bytes: u64,
    /// The payload as it crossed, if it was compressed (RFC 7692).
    pub compressed_bytes: Option<u64>,
}

impl MessageReceived {
    /// Counts it.
    #[inline]
    pub fn emit(self, recorder: &Recorder) {
        if OFF {
            return;
        }
        let Self { endpoint, opcode, payload_bytes, wire_bytes, compressed_bytes } = self;
        let bytes =
            MessageBytes { payload: payload_bytes, wire: wire_bytes, compressed: compressed_bytes };
        recorder.message(endpoint, Direction::In, opcode, bytes, 1);
    }
}

/// A message or a control frame went out, or into the send queue.
#[derive(Debug, Clone, Copy)]
pub struct MessageSent {
    /// Whose connection.
    pub endpoint: EndpointIndex,
    /// Text or binary, or the control frame's.
    pub opcode: Opcode,
    /// The payload before compression.
    pub payload_bytes: u64,
    /// The frame as it crosses, header included.
    pub wire_bytes: u64,
    /// The payload as it crosses, if it is compressed (RFC 7692).
    pub compressed_bytes: Option<u64>,
}

impl MessageSent {
    /// Counts it.
    #[inline]
    pub fn emit(self, recorder: &Recorder) {
        self.emit_times(recorder, 1);
    }

    /// Counts it once per receiver: a publication's whole fan-out on a shard costs as much as one
    /// message.
    #[inline]
    pub fn emit_times(self, recorder: &Recorder, receivers: u64) {
        if OFF {
            return;
        }
        let Self { endpoint, opcode, payload_bytes, wire_bytes, compressed_bytes } = self;
        let bytes =
            MessageBytes { payload: payload_bytes, wire: wire_bytes, compressed: compressed_bytes };
        recorder.message(endpoint, Direction::Out, opcode, bytes, receivers);
    }
}
