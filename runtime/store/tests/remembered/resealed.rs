//! Checksums that are right over bytes that are not.

/// The same bytes with a checksum that is right: what only a hostile or a newer writer makes.
pub(crate) fn resealed(blob: &[u8]) -> Vec<u8> {
    let mut crc = u64::MAX;
    for byte in blob[..32].iter().chain(&blob[40..]) {
        crc ^= u64::from(*byte);
        for _ in 0..8 {
            let bit = if crc & 1 == 1 {
                0xc96c_5795_d787_0f42
            } else {
                0
            };
            crc = (crc >> 1) ^ bit;
        }
    }
    let mut sealed = blob.to_vec();
    sealed[32..40].copy_from_slice(&(!crc).to_le_bytes());
    sealed
}
