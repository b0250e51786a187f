//! Text that repeats is written once: the rest are references to it.
//!
//! A Plan says the same names over and over: a server name as condition, route and cluster, and every one of them with
//! the same datacenter and trust domain at its end; roots and certificates once for each place that needs them. So packed
//! bytes are a row of *tokens*, each a number (LEB128) and what belongs to it: an even number `2n` is followed by `n` bytes to
//! take as they are; an odd one `2n + 1` by a number `d`, and means `n` + 4 bytes again from `d` before the end of what is unpacked
//! so far. This is the idea of LZ77. A table of strings was the other way: it needs a serializer of its own around postcard's,
//! and does not find the ends that names share, which are most of their bytes.
//!
//! Unpacking gives at most [`MAX_RATIO`] times as many bytes as it was given, so a hostile blob cannot ask for more than its
//! own size many times over; and each token gives at least one byte, so it cannot make it loop either.

/// How many times longer than the packed bytes the unpacked ones may be. Plans come to less than ten.
pub const MAX_RATIO: usize = 32;

/// Packs bytes. Takes the table of 32 KiB for the time.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len() / 4);
    let mut seen = vec![0_u32; 1 << HASH_BITS];
    let (mut literal, mut at) = (0, 0);
    while let Some(quad) = quad(bytes, at) {
        let slot = seen.get_mut(hash(quad));
        // Positions are kept plus one: zero is none.
        let before = slot.map_or(0, |slot| {
            std::mem::replace(slot, u32::try_from(at + 1).unwrap_or(0))
        });
        let before = usize::try_from(before).unwrap_or(0).checked_sub(1);
        let length = before.map_or(0, |before| common(bytes, before, at));
        match before {
            Some(before) if length >= MIN_COPY => {
                literals(&mut packed, bytes.get(literal..at));
                number(&mut packed, 2 * (length - MIN_COPY) + 1);
                number(&mut packed, at - before);
                at += length;
                literal = at;
            }
            _ => at += 1,
        }
    }
    literals(&mut packed, bytes.get(literal..));
    if packed.len().saturating_mul(MAX_RATIO) < bytes.len() {
        // Too good to be unpacked again: as it is, then.
        packed.clear();
        literals(&mut packed, Some(bytes));
    }
    packed
}

/// Unpacks bytes that are `length` long unpacked. `None` if they are not.
pub(crate) fn unpack(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > packed.len().checked_mul(MAX_RATIO)? {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    while !packed.is_empty() {
        let token = take_number(&mut packed)?;
        let room = length - bytes.len();
        if token % 2 == 0 {
            let count = token / 2;
            if count == 0 || count > room {
                return None;
            }
            bytes.extend_from_slice(packed.split_off(..count)?);
        } else {
            let count = token / 2 + MIN_COPY;
            let start = bytes.len().checked_sub(take_number(&mut packed)?)?;
            if count > room {
                return None;
            }
            if start + count <= bytes.len() {
                bytes.extend_from_within(start..start + count);
            } else {
                // It runs into what it makes itself.
                for at in start..start + count {
                    bytes.push(*bytes.get(at)?);
                }
            }
        }
    }
    (bytes.len() == length).then_some(bytes)
}

fn quad(bytes: &[u8], at: usize) -> Option<[u8; MIN_COPY]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn hash(quad: [u8; MIN_COPY]) -> usize {
    let mixed = u32::from_le_bytes(quad).wrapping_mul(HASH_FACTOR) >> (u32::BITS - HASH_BITS);
    usize::try_from(mixed).unwrap_or_default()
}

/// How many bytes are the same at both places.
fn common(bytes: &[u8], one: usize, other: usize) -> usize {
    let (one, other) = (bytes.get(one..), bytes.get(other..));
    let pairs = one
        .unwrap_or_default()
        .iter()
        .zip(other.unwrap_or_default());
    pairs.take_while(|(one, other)| one == other).count()
}

fn literals(packed: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let bytes = bytes.unwrap_or_default();
    if !bytes.is_empty() {
        number(packed, 2 * bytes.len());
        packed.extend_from_slice(bytes);
    }
}

fn number(packed: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            packed.push(low & 0x7f);
            return;
        }
        packed.push(low | 0x80);
    }
}

/// A number of at most 28 bits: more than any blob has bytes.
fn take_number(packed: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let byte = *packed.split_off_first()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A shorter repetition is hardly shorter than its token.
const MIN_COPY: usize = 4;
/// The table's size: 8,192 places of 4 bytes, enough for the names of some thousand services.
const HASH_BITS: u32 = 13;
/// Knuth's: 2^32 by the golden ratio, odd.
const HASH_FACTOR: u32 = 0x9e37_79b1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_with_one_end_are_written_once() {
        let mut text = String::new();
        for service in 0..1000 {
            text += &format!("s{service:04}.default.dc1.internal.11111111-2222-3333.consul;");
        }
        let packed = pack(text.as_bytes());
        assert!(packed.len() < 12 * 1000, "{} bytes", packed.len());
        assert_eq!(unpack(&packed, text.len()).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_would_unpack_to_too_much_is_refused_and_never_made() {
        let zeros = vec![0; 100_000];
        let packed = pack(&zeros);
        assert!(packed.len() > zeros.len());
        assert_eq!(unpack(&packed, zeros.len()), Some(zeros));
        // 1 byte, then 100 and more times itself.
        assert_eq!(unpack(&[2, 7, 201, 1, 1], 105), Some(vec![7; 105]));
        assert_eq!(unpack(&[2, 7, 0xff, 0xff, 0xff, 1, 1], 1 << 20), None);
    }

    #[test]
    fn broken_tokens_are_refused() {
        for (packed, length) in [
            (&[2_u8, 7][..], 2),
            (&[4, 7], 2),
            (&[2, 7, 9], 1),
            (&[0, 0, 2, 7], 1),
            (&[2, 7, 1, 2], 5),
            (&[2, 7, 1, 0], 5),
            (&[0xff, 0xff, 0xff, 0xff, 0xff], 3),
        ] {
            assert_eq!(unpack(packed, length), None, "{packed:?}");
        }
        assert_eq!(unpack(&[], 0), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..9),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
        ) {
            let mut bytes = Vec::new();
            for index in order.iter().filter(|_| !words.is_empty()) {
                bytes.extend_from_slice(index.get::<Vec<u8>>(&words));
            }
            let packed = pack(&bytes);
            prop_assert_eq!(unpack(&packed, bytes.len()), Some(bytes));
        }

        #[test]
        fn random_bytes_never_panic(packed in prop::collection::vec(any::<u8>(), 0..64), length in 0_usize..4096) {
            if let Some(bytes) = unpack(&packed, length) {
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }
}
