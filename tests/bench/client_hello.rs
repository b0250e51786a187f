//! A TLS 1.3 ClientHello as a mesh proxy sends it, with the backend's order hidden in its random.
//!
//! Gateways pass a ClientHello through unchanged, so the first byte of the 32 random ones can tell
//! the backend what to do with the connection, and no gateway can tell it from any other. The rest
//! of the handshake never happens: after the ClientHello a passthrough gateway moves bytes.
//!
//! Layout: RFC 8446 section 4.1.2, extensions 4.2; server name: RFC 6066 section 3.

/// The name that every gateway routes: service `api` in datacenter `dc1`.
pub(crate) const SNI: &str = "api.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul";

/// What the backend does after the ClientHello and its short reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Send back whatever comes.
    Echo = b'e',
    /// Send without end.
    Pour = b'p',
}

impl Order {
    /// The order that `byte` stands for.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Echo, Self::Pour]
            .into_iter()
            .find(|order| *order as u8 == byte)
    }
}

/// Where in a ClientHello the order is: record header 5, handshake header 4, version 2.
pub(crate) const ORDER_AT: usize = 11;

/// The whole record, ready to send.
pub(crate) fn client_hello(order: Order) -> Vec<u8> {
    let mut random = [0x5a; 32];
    if let Some(first) = random.first_mut() {
        *first = order as u8;
    }
    let mut body = vec![0x03, 0x03];
    body.extend(random);
    body.extend(counted::<1>(&[0xa5; 32]));
    body.extend(counted::<2>(&[
        0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 0xc0, 0x2b, 0xc0, 0x2f,
    ]));
    body.extend(counted::<1>(&[0]));
    body.extend(counted::<2>(&extensions()));

    let mut handshake = vec![0x01];
    handshake.extend(counted::<3>(&body));
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend(counted::<2>(&handshake));
    record
}

fn extensions() -> Vec<u8> {
    let mut name = vec![0];
    name.extend(counted::<2>(SNI.as_bytes()));
    let mut share = vec![0x00, 0x1d];
    share.extend(counted::<2>(&[0x42; 32]));
    let all: [(u16, Vec<u8>); 6] = [
        (0, counted::<2>(&name)),
        (43, counted::<1>(&[0x03, 0x04, 0x03, 0x03])),
        (10, counted::<2>(&[0x00, 0x1d, 0x00, 0x17])),
        (13, counted::<2>(&[0x04, 0x03, 0x08, 0x07, 0x08, 0x04])),
        (45, counted::<1>(&[1])),
        (51, counted::<2>(&share)),
    ];
    let mut bytes = Vec::new();
    for (kind, body) in all {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(counted::<2>(&body));
    }
    bytes
}

/// The bytes after their length in `WIDTH` bytes, as TLS writes vectors.
fn counted<const WIDTH: usize>(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_be_bytes();
    let skip = length.len() - WIDTH;
    length
        .into_iter()
        .skip(skip)
        .chain(bytes.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up_and_the_order_is_where_the_backend_looks() {
        let hello = client_hello(Order::Pour);
        assert_eq!(
            usize::from(hello[3]) << 8 | usize::from(hello[4]),
            hello.len() - 5
        );
        assert_eq!(
            usize::from(hello[7]) << 8 | usize::from(hello[8]),
            hello.len() - 9
        );
        assert_eq!(Order::from_byte(hello[ORDER_AT]), Some(Order::Pour));
        assert_eq!(client_hello(Order::Echo).len(), hello.len());
    }
}
