//! A client that keeps every rule until the handshake is done, and then makes records of whatever it is told: with the
//! right keys, so that nothing but their content can be wrong.

use std::io::Cursor;

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets};
use tls::{Outgoing, Session, Step};

// RFC 8446 appendix B.
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// One end of TLS 1.3.
pub(crate) struct Forger {
    tx: Key,
    rx: Key,
}

struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Forger {
    /// Shakes hands with `session`.
    pub(crate) fn meet(mut config: ClientConfig, session: &mut Session) -> Self {
        config.enable_secret_extraction = true;
        let name = "a.test".try_into().unwrap();
        let mut client = ClientConnection::new(config.into(), name).unwrap();
        let mut wire = Outgoing::new();
        while client.wants_write() || !wire.is_empty() {
            let mut bytes = Cursor::new(wire.bytes());
            while client.read_tls(&mut bytes).unwrap() > 0 {
                client.process_new_packets().unwrap();
            }
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            wire.clear();
            session.receive(&mut bytes, &mut wire, &mut |_| {}).unwrap();
        }
        assert_eq!(session.step(), Step::Established);
        let secrets = client.dangerous_extract_secrets().unwrap();
        Self {
            tx: Key::new(secrets.tx),
            rx: Key::new(secrets.rx),
        }
    }

    /// A record of this kind, with so many zeros behind the kind.
    pub(crate) fn record(&mut self, kind: u8, content: &[u8], zeros: usize) -> Vec<u8> {
        let mut inner = [content, &[kind]].concat();
        inner.resize(inner.len() + zeros, 0);
        self.sealed(inner)
    }

    /// A record with this inside.
    pub(crate) fn sealed(&mut self, mut inner: Vec<u8>) -> Vec<u8> {
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [DATA, 3, 3, length[0], length[1]];
        let (key, nonce) = self.tx.next();
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut inner)
            .unwrap();
        [&header[..], &inner].concat()
    }

    /// The kinds and contents of these records, which are whole.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut read = Vec::new();
        while let Some((&header, rest)) = bytes.split_first_chunk::<5>() {
            let (body, behind) =
                rest.split_at(usize::from(u16::from_be_bytes([header[3], header[4]])));
            let (mut body, (key, nonce)) = (body.to_vec(), self.rx.next());
            let plain = key
                .open_in_place(nonce, Aad::from(header), &mut body)
                .unwrap();
            let (kind, content) = plain.split_last().unwrap();
            read.push((*kind, content.to_vec()));
            bytes = behind;
        }
        read
    }
}

impl Key {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            _ => panic!("AES is what both prefer"),
        };
        Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap()),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    fn next(&mut self) -> (&LessSafeKey, Nonce) {
        let mut nonce = self.iv;
        for (to, from) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *to ^= from;
        }
        self.sequence += 1;
        (&self.key, Nonce::assume_unique_for_key(nonce))
    }
}
