//! Masking of payloads (RFC 6455 §5.3).

/// XORs `bytes` with the masking `key`; the first byte of `bytes` is byte number `offset` of its
/// frame's payload. Masking and unmasking are the same operation.
///
/// Works on 16 bytes at a time, so that the compiler makes vector instructions of it.
#[inline]
pub(super) fn apply(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    // The cast keeps the two bits that matter: the key repeats every four bytes.
    let mut key = key;
    key.rotate_left((offset & 3) as usize);
    let mut wide = [0; 16];
    for quarter in wide.as_chunks_mut::<4>().0 {
        *quarter = key;
    }
    let word = u128::from_ne_bytes(wide);
    let (blocks, rest) = bytes.as_chunks_mut::<16>();
    for block in blocks {
        *block = (u128::from_ne_bytes(*block) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn every_length_and_offset_agrees_with_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).collect();
                // RFC 6455 §5.3: octet i is XORed with octet (i MOD 4) of the key.
                let expected: Vec<u8> = plain
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| byte ^ key[(at + offset) % 4])
                    .collect();
                let mut masked = plain;
                apply(&mut masked, key, offset as u64);
                assert_eq!(masked, expected, "length {length}, offset {offset}");
            }
        }
    }
}
