//! The records of an established session: sealed and opened where they lie, with keys that rustls has agreed on.
//!
//! rustls would give each record that it makes a buffer of its own and copy it twice, and hands out opened records one by
//! one. Here plaintext is read from a socket into slots, between which there is room for what TLS puts around it, and
//! records are opened into one run of bytes: see [`Traffic::seal`] and [`Traffic::open`]. The secrets that keys are made
//! of stay in rustls, and so does what is done with tickets.
//!
//! ```text
//!   slots:  ┌──────┬────────────────┬───┬──────┬────────────────┬───┬──
//!           │header│ 16 KiB         │tag│header│ 16 KiB         │tag│ …    full ones first, the last may be short
//!           └──────┴────────────────┴───┴──────┴────────────────┴───┴──
//! ```

use std::io::IoSliceMut;

use rustls::{AlertDescription, CipherSuite, ProtocolVersion};

use crate::{
    control::{Asked, Control, Fault, KEY_UPDATE},
    error::Error,
    keys::{ALERT, DATA, HANDSHAKE, HEADER_BYTES, Key, MAJOR, PLAINTEXT_BYTES},
    outgoing::Outgoing,
};

/// Slots that are offered at once.
pub(crate) const SLOTS: usize = 8;

/// The keys of both directions, and what is not data.
pub(crate) struct Traffic {
    pub(crate) opening: Key,
    pub(crate) sealing: Key,
    pub(crate) control: Control,
    /// Records that our keys may make before they are renewed.
    limit: u64,
    /// The peer has asked for new keys of ours: they come before our next data (RFC 8446 section 4.6.3).
    pub(crate) renewal_owed: bool,
    /// We have said that we will send no more.
    pub(crate) closed: bool,
}

/// What came of records: plaintext at the front, and how many bytes they were.
pub(crate) struct Opened {
    pub(crate) plain: usize,
    pub(crate) used: usize,
}

impl Traffic {
    pub(crate) fn new(opening: Key, sealing: Key, control: Control) -> Self {
        let limit = match control.suite() {
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => u64::MAX,
            _ => AES_GCM_RECORDS,
        };
        Self {
            opening,
            sealing,
            control,
            limit,
            renewal_owed: false,
            closed: false,
        }
    }

    /// Opens all records that are whole, and leaves their data at the front of `bytes`. What is to be sent to the peer at once
    /// is appended to `wire`: the alert, after an error.
    pub(crate) fn open(&mut self, bytes: &mut [u8], wire: &mut Outgoing) -> Result<Opened, Error> {
        self.open_all(bytes, wire).map_err(|Fault(alert, error)| {
            if let Some(alert) = alert
                && !self.closed
            {
                self.closed = true;
                let _ = self.append(ALERT, &[FATAL, alert.into()], wire);
            }
            error
        })
    }

    fn open_all(&mut self, bytes: &mut [u8], wire: &mut Outgoing) -> Result<Opened, Fault> {
        let mut opened = Opened { plain: 0, used: 0 };
        // What follows close_notify is not TLS any more (RFC 8446 section 6.1).
        while !self.control.peer_closed {
            let ahead = bytes.get(opened.used..).unwrap_or_default();
            let Some((&header, _)) = ahead.split_first_chunk::<HEADER_BYTES>() else {
                break;
            };
            let begin = opened.used + HEADER_BYTES;
            let end = begin + self.length(header)?;
            let Some(window) = bytes.get_mut(opened.plain..end) else {
                break;
            };
            let (kind, length) = self.opening.open(header, window, begin - opened.plain)?;
            opened.used = end;
            if self.control.is_data(kind, length) {
                opened.plain += length;
                continue;
            }
            let body = window.get(..length).unwrap_or_default();
            match self.control.take(kind, body)? {
                Asked::Nothing => {}
                Asked::NewKeys { answer } => {
                    let secrets = self.control.next_secrets(false);
                    let keys = secrets.and_then(|it| Key::new(ProtocolVersion::TLSv1_3, it));
                    self.opening = keys.map_err(|error| Fault(None, error))?;
                    self.renewal_owed |= answer;
                }
                Asked::NoRenegotiation => {
                    let no = [WARNING, AlertDescription::NoRenegotiation.into()];
                    self.append(ALERT, &no, wire)
                        .map_err(|error| Fault(None, error))?;
                }
            }
        }
        Ok(opened)
    }

    /// The length of a record by its header, which is checked.
    fn length(&self, header: [u8; HEADER_BYTES]) -> Result<usize, AlertDescription> {
        let [kind, major, _, high, low] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let is_tls13 = self.control.version() == ProtocolVersion::TLSv1_3;
        if major != MAJOR {
            Err(AlertDescription::DecodeError)
        } else if kind != DATA && (is_tls13 || (kind != ALERT && kind != HANDSHAKE)) {
            Err(AlertDescription::UnexpectedMessage)
        } else if length > self.opening.format().longest() {
            Err(AlertDescription::RecordOverflow)
        } else {
            Ok(length)
        }
    }

    /// Where plaintext may be put for [`Traffic::seal`].
    pub(crate) fn slots<'a>(&self, wire: &'a mut Outgoing) -> [IoSliceMut<'a>; SLOTS] {
        let (before, stride) = self.layout();
        let mut slots = wire.room(SLOTS * stride).chunks_mut(stride);
        std::array::from_fn(|_| {
            let slot = slots
                .next()
                .and_then(|slot| slot.get_mut(before..before + PLAINTEXT_BYTES));
            IoSliceMut::new(slot.unwrap_or_default())
        })
    }

    fn layout(&self) -> (usize, usize) {
        let format = self.sealing.format();
        let (before, behind) = (format.before(), format.behind());
        (before, before + PLAINTEXT_BYTES + behind)
    }

    /// Makes records of the first `count` bytes in the slots, and appends them to `wire`, where they lie already.
    pub(crate) fn seal(&mut self, count: usize, wire: &mut Outgoing) -> Result<(), Error> {
        let (before, stride) = self.layout();
        let around = stride - PLAINTEXT_BYTES;
        if self.is_renewal_due() {
            // Rare: new keys come first, so the plaintext moves.
            let mut plaintext = Vec::with_capacity(count);
            for slot in wire.room(SLOTS * stride).chunks(stride) {
                let most = PLAINTEXT_BYTES.min(count - plaintext.len());
                plaintext.extend_from_slice(slot.get(before..before + most).unwrap_or_default());
            }
            return self.encrypt(&plaintext, wire);
        }
        let mut left = count;
        while left > 0 {
            let length = left.min(PLAINTEXT_BYTES);
            self.seal_one(DATA, length + around, wire)?;
            left -= length;
        }
        Ok(())
    }

    /// Makes records of a copy of `plaintext`.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], wire: &mut Outgoing) -> Result<(), Error> {
        for part in plaintext.chunks(PLAINTEXT_BYTES) {
            if self.is_renewal_due() {
                self.renew(wire)?;
            }
            self.append(DATA, part, wire)?;
        }
        Ok(())
    }

    /// Says that we will send no more.
    pub(crate) fn close(&mut self, wire: &mut Outgoing) -> Result<(), Error> {
        self.closed = true;
        self.append(
            ALERT,
            &[WARNING, AlertDescription::CloseNotify.into()],
            wire,
        )
    }

    fn is_renewal_due(&self) -> bool {
        self.renewal_owed || self.sealing.sequence() >= self.limit
    }

    /// Renews our keys. In TLS 1.2 there is no way to, so the session ends.
    fn renew(&mut self, wire: &mut Outgoing) -> Result<(), Error> {
        if self.control.version() != ProtocolVersion::TLSv1_3 {
            self.close(wire)?;
            return Err(Error::Bug("the keys of a TLS 1.2 session are used up"));
        }
        // An answer asks for nothing; a peer that has sent as much as we is asked to do the same.
        let request = u8::from(!self.renewal_owed);
        self.append(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, request], wire)?;
        let secrets = self.control.next_secrets(true)?;
        self.sealing = Key::new(ProtocolVersion::TLSv1_3, secrets)?;
        self.renewal_owed = false;
        Ok(())
    }

    fn append(&mut self, kind: u8, content: &[u8], wire: &mut Outgoing) -> Result<(), Error> {
        let (before, stride) = self.layout();
        let around = stride - PLAINTEXT_BYTES;
        let room = wire.room(content.len() + around);
        if let Some(room) = room.get_mut(before..before + content.len()) {
            room.copy_from_slice(content);
        }
        self.seal_one(kind, content.len() + around, wire)
    }

    /// Makes a record of the next `bytes` bytes of room.
    fn seal_one(&mut self, kind: u8, bytes: usize, wire: &mut Outgoing) -> Result<(), Error> {
        let record = wire.room(bytes).get_mut(..bytes);
        let sealed = record.and_then(|record| self.sealing.seal(kind, record));
        wire.fill(bytes);
        sealed.ok_or(Error::Bug("a record could not be made"))
    }
}

/// How many records AES-GCM may make with one key, less those of one call (RFC 8446 section 5.5; rustls renews at 2^24 too).
const AES_GCM_RECORDS: u64 = (1 << 24) - 64;

// RFC 8446 section 6.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

#[cfg(test)]
#[path = "traffic_tests.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]
mod tests;
