//! Which addresses a filter takes, and in which order they go.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::InterfaceAddress;
use super::name::Pattern;

/// What `include` and `exclude` select by.
pub(super) enum Filter<'a> {
    Name(Pattern<'a>),
    Up(bool),
    Loopback,
    /// A router would forward it.
    Forwardable,
    /// Of a block for special purposes (RFC 6890), or of none.
    Private(bool),
    Within(&'static [Block]),
    V4(bool),
    Any,
}

impl<'a> Filter<'a> {
    pub(super) fn new(selector: &str, value: &'a str) -> Result<Self, String> {
        let lower = (selector.to_ascii_lowercase(), value.to_ascii_lowercase());
        Ok(match (lower.0.as_str(), lower.1.as_str()) {
            ("name", _) => Self::Name(Pattern::new(value)?),
            ("type", "ip") => Self::Any,
            ("type", "ipv4") => Self::V4(true),
            ("type", "ipv6") => Self::V4(false),
            ("flag" | "flags", "up") => Self::Up(true),
            ("flag" | "flags", "down") => Self::Up(false),
            ("flag" | "flags", "loopback") => Self::Loopback,
            ("flag" | "flags", "forwardable") => Self::Forwardable,
            ("rfc", "6890") => Self::Private(true),
            ("rfc", "1918") => Self::Within(RFC_1918),
            ("type" | "flag" | "flags" | "rfc", _) => {
                return Err(format!("'{value}' is not supported as {selector}"));
            }
            _ => {
                return Err(format!(
                    "'{selector}' is not supported; name, type, flags and RFC are"
                ));
            }
        })
    }

    pub(super) fn takes(&self, address: &InterfaceAddress) -> bool {
        let ip = address.ip;
        match self {
            Self::Name(pattern) => pattern.fits(&address.name),
            Self::Up(up) => address.up == *up,
            Self::Loopback => ip.is_loopback(),
            Self::Forwardable => !is_within(ip, NOT_FORWARDED),
            Self::Private(private) => is_within(ip, RFC_6890) == *private,
            Self::Within(blocks) => is_within(ip, blocks),
            Self::V4(v4) => ip.is_ipv4() == *v4,
            Self::Any => true,
        }
    }
}

/// What `sort` sorts by.
#[derive(Clone, Copy)]
pub(super) enum Key {
    /// The interface of the default route first.
    Default,
    /// IPv4 first.
    Type,
    /// Of one type, the largest network first.
    Size,
    Name,
    Address,
}

impl Key {
    /// A key, and whether it sorts downwards.
    pub(super) fn new(text: &str) -> Result<(Self, bool), String> {
        let text = text.trim();
        let down = text.strip_prefix('-');
        let name = down.unwrap_or(text.strip_prefix('+').unwrap_or(text));
        let key = match name {
            "default" => Self::Default,
            "type" => Self::Type,
            "size" => Self::Size,
            "name" => Self::Name,
            "address" => Self::Address,
            _ => {
                return Err(format!(
                    "'{name}' is nothing to sort by; default, type, size, name and address are"
                ));
            }
        };
        Ok((key, down.is_some()))
    }

    fn compare(self, one: &InterfaceAddress, other: &InterfaceAddress) -> Ordering {
        match self {
            Self::Default => other.default.cmp(&one.default),
            Self::Type => one.ip.is_ipv6().cmp(&other.ip.is_ipv6()),
            Self::Size if one.ip.is_ipv4() == other.ip.is_ipv4() => one.prefix.cmp(&other.prefix),
            Self::Size => Ordering::Equal,
            Self::Name => one.name.cmp(&other.name),
            Self::Address => one.ip.cmp(&other.ip),
        }
    }
}

/// Sorts by the first key that tells two apart; what none does stays in its order. Lists are short.
pub(super) fn sort(list: &mut [&InterfaceAddress], keys: &[(Key, bool)]) {
    let before = |one: &InterfaceAddress, other: &InterfaceAddress| {
        let mut order = Ordering::Equal;
        for (key, down) in keys {
            order = match down {
                false => order.then_with(|| key.compare(one, other)),
                true => order.then_with(|| key.compare(other, one)),
            };
        }
        order == Ordering::Less
    };
    for end in 1..list.len() {
        for at in (1..=end).rev() {
            match list.get(at - 1..=at) {
                Some([left, right]) if before(right, left) => list.swap(at - 1, at),
                _ => break,
            }
        }
    }
}

/// A block of addresses: one of it, as 16-bit groups (of IPv4 two), and how many of its bits all have.
pub(super) type Block = (&'static [u16], u8);

fn is_within(ip: IpAddr, blocks: &[Block]) -> bool {
    let (bits, groups) = match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 2),
        IpAddr::V6(ip) => (u128::from(ip), 8),
    };
    blocks.iter().any(|(block, prefix)| {
        let start = block
            .iter()
            .fold(0, |start: u128, group| start << 16 | u128::from(*group));
        let start = start << (128 - 16 * block.len());
        block.len() == groups && (bits ^ start) >> (128 - u32::from((*prefix).max(1))) == 0
    })
}

/// Private use.
const RFC_1918: &[Block] = &[(&[0x0a00, 0], 8), (&[0xac10, 0], 12), (&[0xc0a8, 0], 16)];

/// The registries of RFC 6890, sections 2.2.2 and 2.2.3. Of `2001::/23`, which it names, go-sockaddr makes `2001::/16`.
const RFC_6890: &[Block] = &[
    (&[0, 0], 8),
    (&[0x0a00, 0], 8),
    (&[0x6440, 0], 10),
    (&[0x7f00, 0], 8),
    (&[0xa9fe, 0], 16),
    (&[0xac10, 0], 12),
    (&[0xc000, 0], 24),
    (&[0xc000, 0x0200], 24),
    (&[0xc058, 0x6300], 24),
    (&[0xc0a8, 0], 16),
    (&[0xc612, 0], 15),
    (&[0xc633, 0x6400], 24),
    (&[0xcb00, 0x7100], 24),
    (&[0xf000, 0], 4),
    (&[0, 0, 0, 0, 0, 0, 0, 1], 128),
    (&[0, 0, 0, 0, 0, 0, 0, 0], 128),
    (&[0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    (&[0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    (&[0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    (&[0x2001, 0, 0, 0, 0, 0, 0, 0], 16),
    (&[0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    (&[0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    (&[0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
];

/// Those of them that are not forwardable.
const NOT_FORWARDED: &[Block] = &[
    (&[0, 0], 8),
    (&[0x7f00, 0], 8),
    (&[0xa9fe, 0], 16),
    (&[0xc000, 0], 24),
    (&[0xc000, 0x0200], 24),
    (&[0xc633, 0x6400], 24),
    (&[0xcb00, 0x7100], 24),
    (&[0xf000, 0], 4),
    (&[0, 0, 0, 0, 0, 0, 0, 1], 128),
    (&[0, 0, 0, 0, 0, 0, 0, 0], 128),
    (&[0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    (&[0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    (&[0x2001, 0x0010, 0, 0, 0, 0, 0, 0], 28),
    (&[0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
];
