//! SHA-1, for one purpose: the `#h` line of a leap-seconds.list.
//!
//! The format prescribes SHA-1, which protects against damage but not against an
//! attacker. Sixty lines here cost less than a dependency for every user of the
//! crate. A test compares them with the `sha1` crate.
//!
//! Read: FIPS 180-4, section 6.1.

/// The five words of the digest.
pub(super) fn sha1(message: &[u8]) -> [u32; 5] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (message.len() as u64 * 8).to_be_bytes();
    let length_at = padded.len() - bits.len();
    padded[length_at..].copy_from_slice(&bits);
    for block in padded.chunks_exact(64) {
        compress(&mut state, block);
    }
    state
}

fn compress(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    }
    for i in 16..80 {
        words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (i, word) in words.into_iter().enumerate() {
        let (mix, constant) = match i / 20 {
            0 => ((b & c) | (!b & d), 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next = a
            .rotate_left(5)
            .wrapping_add(mix)
            .wrapping_add(e)
            .wrapping_add(constant)
            .wrapping_add(word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::sha1;
    use sha1::{Digest, Sha1};

    #[test]
    fn every_length_up_to_four_blocks_agrees_with_the_sha1_crate() {
        let message: Vec<u8> = (0..=255).collect();
        for length in 0..=message.len() {
            let theirs = Sha1::digest(&message[..length]);
            let ours = sha1(&message[..length]).map(u32::to_be_bytes).concat();
            assert_eq!(ours.as_slice(), theirs.as_slice(), "{length} bytes");
        }
    }
}
