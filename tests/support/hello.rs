//! ClientHellos made by hand (RFC 8446 section 4.1.2), also such as no TLS library would send.
//!
//! They are for reading, not for shaking hands: the key shares are noise. What a gateway must do
//! with one is to find the server name in it and pass it on byte for byte.

use std::io::Read;

/// A ClientHello under construction.
#[derive(Clone, Debug)]
pub struct Hello {
    server_name: Option<Vec<u8>>,
    key_share: (u16, usize),
    padding: usize,
    record: usize,
}

impl Hello {
    /// With this server name, as given, whatever its bytes.
    pub fn to(server_name: impl AsRef<[u8]>) -> Self {
        Self {
            server_name: Some(server_name.as_ref().to_vec()),
            ..Self::nameless()
        }
    }

    /// Without a server name.
    pub fn nameless() -> Self {
        Self {
            server_name: None,
            key_share: X25519,
            padding: 0,
            record: MAX_RECORD,
        }
    }

    /// With the key share of a post-quantum hybrid, which alone is over a packet in size.
    pub fn post_quantum(mut self) -> Self {
        self.key_share = X25519_MLKEM768;
        self
    }

    /// With so many bytes of padding before the server name (RFC 7685), so that the name comes late.
    /// The most is what TLS allows all extensions together: a little less than 64 KiB.
    pub fn padded(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Cut into records of at most so many bytes (RFC 8446 section 5.1).
    pub fn in_records_of(mut self, bytes: usize) -> Self {
        self.record = bytes;
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let message = self.message();
        let mut bytes = Vec::with_capacity(message.len() + 5);
        for fragment in message.chunks(self.record) {
            bytes.extend([0x16, 3, 1]);
            put16(&mut bytes, fragment.len());
            bytes.extend(fragment);
        }
        bytes
    }

    fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend(noise(32));
        body.push(32);
        body.extend(noise(32));
        put(&mut body, &[0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 0xc0, 0x2b]);
        body.extend([1, 0]);
        put(&mut body, &self.extensions());
        let length = u32::try_from(body.len())
            .expect("a message of a few bytes")
            .to_be_bytes();
        [&[1, length[1], length[2], length[3]], body.as_slice()].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.padding > 0 {
            extension(&mut all, PADDING, &vec![0; self.padding]);
        }
        if let Some(name) = &self.server_name {
            let mut entry = vec![0];
            put(&mut entry, name);
            let mut list = Vec::new();
            put(&mut list, &entry);
            extension(&mut all, SERVER_NAME, &list);
        }
        let (group, size) = self.key_share;
        let mut share = group.to_be_bytes().to_vec();
        put(&mut share, &noise(size));
        let mut shares = Vec::new();
        put(&mut shares, &share);
        extension(&mut all, KEY_SHARE, &shares);
        extension(&mut all, SUPPORTED_VERSIONS, &[4, 3, 4, 3, 3]);
        extension(&mut all, SIGNATURE_ALGORITHMS, &[0, 2, 4, 3]);
        extension(&mut all, SUPPORTED_GROUPS, &[0, 4, 0x11, 0xec, 0, 0x1d]);
        all
    }
}

/// Reads the ClientHello that comes first on a connection, over as many records as it takes.
///
/// # Panics
/// When something else comes.
pub fn read_hello(stream: &mut impl Read) -> Vec<u8> {
    let (mut bytes, mut message) = (Vec::new(), Vec::new());
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("the head of a record");
        assert_eq!(head[0], 0x16, "not a handshake record: {head:?}");
        let mut fragment = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut fragment).expect("the whole record");
        bytes.extend(head);
        bytes.extend(&fragment);
        message.extend(fragment);
        if let [1, a, b, c, body @ ..] = message.as_slice()
            && body.len() >= u32::from_be_bytes([0, *a, *b, *c]) as usize
        {
            return bytes;
        }
    }
}

fn extension(all: &mut Vec<u8>, kind: u16, content: &[u8]) {
    all.extend(kind.to_be_bytes());
    put(all, content);
}

fn put(bytes: &mut Vec<u8>, content: &[u8]) {
    put16(bytes, content.len());
    bytes.extend(content);
}

fn put16(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(
        u16::try_from(number)
            .expect("TLS gives this length two bytes")
            .to_be_bytes(),
    );
}

fn noise(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at * 167 + 13).to_le_bytes()[0])
        .collect()
}

/// The most that a record carries.
const MAX_RECORD: usize = 1 << 14;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const PADDING: u16 = 21;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// A named group and the size of a client's share of it.
const X25519: (u16, usize) = (0x001d, 32);
const X25519_MLKEM768: (u16, usize) = (0x11ec, 1216);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_over_many_records_reads_back_whole() {
        let hello = Hello::to("a.example")
            .post_quantum()
            .padded(3000)
            .in_records_of(100)
            .bytes();
        let mut stream = [hello.clone(), b"more".to_vec()].concat();
        let mut rest = stream.as_slice();
        assert_eq!(read_hello(&mut rest), hello);
        assert_eq!(rest, b"more");
        stream.truncate(3);
    }
}
