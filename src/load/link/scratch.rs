//! What the links of a thread share: room to read and to write, (de)compressors, random numbers.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};

use crate::wire::{Deflater, Encoded, Inflater, Opcode, Role, encode};

/// One read takes at most this many bytes.
const READ_BYTES: usize = 64 << 10;
/// The room for outgoing frames that outlives a frame.
const FRAME_BYTES_KEPT: usize = 256 << 10;
/// Fast: a load client's processor is the first limit of its load.
const LEVEL: u8 = 1;
/// Payloads below this go plain: they shrink by less than it costs.
const COMPRESS_BYTES_MIN: usize = 128;
/// zlib's windows: 9 to 15 bits.
const WINDOW_BITS_MIN: u8 = 9;
const WINDOWS: usize = 7;

/// What a turn of reading needs.
pub(in crate::load) struct Reading {
    pub buffer: Box<[u8]>,
    pub inflater: Inflater,
}

struct Writing {
    frame: Vec<u8>,
    deflaters: [Option<Deflater>; WINDOWS],
}

// Two cells, not one: a message that is read may be answered at once.
thread_local! {
    static READING: RefCell<Reading> = RefCell::new(Reading {
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
        inflater: Inflater::new(),
    });
    static WRITING: RefCell<Writing> =
        const { RefCell::new(Writing { frame: Vec::new(), deflaters: [const { None }; WINDOWS] }) };
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
}

/// Lends the room to read. Not to be called by what it calls.
pub(in crate::load) fn reading<T>(with: impl FnOnce(&mut Reading) -> T) -> T {
    READING.with_borrow_mut(with)
}

/// Makes a frame, compressed with a window of so many bits where that is agreed, and lends it.
pub(super) fn frame<T>(
    opcode: Opcode,
    payload: &[u8],
    window_bits: Option<u8>,
    with: impl FnOnce(&[u8], Encoded) -> T,
) -> T {
    WRITING.with_borrow_mut(|Writing { frame, deflaters }| {
        frame.clear();
        let deflate = window_bits.map(|bits| {
            let index = usize::from(bits.saturating_sub(WINDOW_BITS_MIN)).min(WINDOWS - 1);
            let deflater = deflaters[index].get_or_insert_with(|| Deflater::new(LEVEL, bits));
            (deflater, COMPRESS_BYTES_MIN)
        });
        let key = (random() as u32).to_ne_bytes();
        let encoded = encode(frame, Role::Client, opcode, payload, deflate, Some(key));
        let result = with(frame, encoded);
        if frame.capacity() > FRAME_BYTES_KEPT {
            *frame = Vec::new();
        }
        result
    })
}

/// The next number of the thread's `SplitMix64` (Steele, Lea, Flood 2014), seeded by the system.
///
/// Masking keys and nonces come from here. RFC 6455 §10.3 wants keys that a script in a browser cannot
/// foresee, lest it talks to a proxy in the user's name; here whoever chooses the payload owns the
/// client, so that keys need to differ, and nothing more. They cost a nanosecond this way.
pub(super) fn random() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
