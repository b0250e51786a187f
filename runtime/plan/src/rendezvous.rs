//! Choosing by hash: a client keeps its endpoint for as long as that is there.
//!
//! Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by the logarithm, Schindelhauer and Schomaker, 2005): every
//! endpoint draws a number from its address and the client's, divided by its weight, and the lowest wins. It promises what
//! ring hash and Maglev promise, and exactly: an endpoint that leaves moves its own clients and no other, and they spread over all
//! that are left. Nothing is built beforehand or kept, so there is no ring whose size could be set; a choice costs a few
//! multiplications per endpoint.

use core::hash::{Hash, Hasher};

/// What the endpoint of this key and address draws, before its weight: binary logarithm, in 2⁻²⁴; at least 1.
pub(crate) fn draw(key: u64, address: &impl Hash) -> u64 {
    let mut hasher = Fnv(FNV_OFFSET ^ key);
    address.hash(&mut hasher);
    let bits = mixed(hasher.finish()) | 1;
    let zeros = bits.leading_zeros();
    // The bits as a fraction of 2⁶⁴ are m · 2^-zeros / 2, with m of 1 up to 2; m as 1.31 bits.
    let mut m = (bits << zeros) >> 32;
    let mut logarithm = 0_u64;
    for _ in 0..FRACTION_BITS {
        // Squaring doubles the logarithm: whether that passes 1 is its next bit.
        m = (m * m) >> 31;
        let bit = m >> 32;
        m >>= bit;
        logarithm = (logarithm << 1) | bit;
    }
    let whole = u64::from(zeros) + 1;
    ((whole << FRACTION_BITS) - logarithm).max(1)
}

/// What stands for a client in [`draw`]: all of its ports are one client.
#[must_use]
pub fn client(address: core::net::IpAddr) -> u64 {
    let mut hasher = Fnv(FNV_OFFSET);
    address.to_canonical().hash(&mut hasher);
    mixed(hasher.finish())
}

const FRACTION_BITS: u32 = 24;

/// FNV-1a (Fowler, Noll and Vo): small, and the same at every start of one binary. Another one may hash an address by other bytes.
struct Fnv(u64);

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads what differs in a few bits over all of them (the finalizer of splitmix64, Steele, Lea and Flood, 2014).
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    const CLIENTS: u32 = 10_000;

    fn endpoint(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 21000))
    }

    /// The endpoint of each client, out of these with these weights.
    fn winners(endpoints: &[(u8, u64)]) -> Vec<u8> {
        let winner = |client_number: u32| {
            let key = client(IpAddr::V4(Ipv4Addr::from_bits(0xac10_0000 + client_number)));
            let of = |(number, weight): &&(u8, u64)| draw(key, &endpoint(*number)) * 1000 / weight;
            endpoints.iter().min_by_key(of).expect("one").0
        };
        (0..CLIENTS).map(winner).collect()
    }

    fn share(winners: &[u8], number: u8) -> f64 {
        let count = winners.iter().filter(|winner| **winner == number).count();
        count as f64 / f64::from(CLIENTS)
    }

    #[test]
    fn shares_follow_weights() {
        let all = winners(&[(1, 1), (2, 1), (3, 2)]);
        for (number, expected) in [(1, 0.25), (2, 0.25), (3, 0.5)] {
            let share = share(&all, number);
            assert!((share - expected).abs() < 0.02, "{number}: {share}");
        }
    }

    #[test]
    fn an_endpoint_that_leaves_moves_its_own_clients_and_no_other() {
        let before = winners(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        let after = winners(&[(1, 1), (2, 1), (4, 1)]);
        let mut moved = [0_u32; 5];
        for (before, after) in before.iter().zip(&after) {
            if *before == 3 {
                moved[usize::from(*after)] += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        // They spread over all that are left.
        for number in [1, 2, 4] {
            assert!((700..970).contains(&moved[number]), "{moved:?}");
        }
    }

    #[test]
    fn a_client_is_one_by_ipv4_and_by_ipv4_in_ipv6() {
        let plain: IpAddr = "192.0.2.1".parse().expect("an address");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        assert_eq!(client(plain), client(mapped));
    }
}
