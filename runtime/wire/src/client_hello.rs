//! The first TLS flight of a connection: is a ClientHello whole yet, and which server does it ask for?
//!
//! A mesh gateway routes by SNI and forwards every byte unaltered, so this parser only looks. [`parse`] is given all
//! bytes received since the start of the connection and is called again when more have come. It holds no state, and
//! while the hello is not whole it visits nothing but the record headers, so calling it after every byte is cheap.
//!
//! It never decrypts, never judges versions or cipher suites (that is the destination's part), and never guesses: what
//! two TLS stacks could read in two ways is refused, because the destination must see the name that was routed by.
//!
//! Each check is made at the first byte that decides it, and in the order of the bytes. So a refusal is final: no later
//! byte changes it, and it is the same whether the bytes come one by one or all at once.
//!
//! Records: RFC 8446 section 5.1. ClientHello: RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2. SNI: RFC 6066 section
//! 3. ALPN: RFC 7301 section 3.1. An SSLv2 hello (RFC 5246 appendix E.2) is not TLS here.

mod alpn;
mod cursor;
mod refusal;
mod server_name;

pub use alpn::{MAX_ALPN_BYTES, Protocols};
pub use refusal::Refusal;
pub use server_name::{MAX_SERVER_NAME_BYTES, ServerName};

use cursor::Cursor;
use heapless::Vec;

/// What the bytes received so far amount to.
#[derive(Clone, Debug, Eq, PartialEq)]
// The large variant is what every good connection ends in, once, on the stack; a box would allocate for nothing.
#[expect(clippy::large_enum_variant)]
pub enum Progress {
    /// The hello is whole and well formed. Bytes after it, if any, were not looked at.
    Complete(ClientHello),

    /// Nothing is wrong so far, and the hello is not whole. Fewer than [`MAX_FLIGHT_BYTES`] have been received.
    NeedMore,
}

/// What a ClientHello says that routing needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// The server asked for, in lower case; `None` when the hello carries no host name.
    ///
    /// With Encrypted Client Hello this is the outer, public name.
    pub server_name: Option<ServerName>,

    /// The application protocols offered, most wanted first.
    pub alpn: Protocols,
}

/// Reads the first flight. `bytes` is everything received from the start of the connection.
///
/// # Errors
///
/// A [`Refusal`] is final: close the connection, more bytes will not mend it.
pub fn parse(bytes: &[u8]) -> Result<Progress, Refusal> {
    match message_length(bytes)? {
        None => Ok(Progress::NeedMore),
        Some(length) => read_message(Cursor::new(bytes, length)).map(Progress::Complete),
    }
}

/// Walks the record headers. Gives the length of the handshake message with its header once all of it is there.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut rest = bytes;
    // The first bytes of the message; its header may itself be spread over records.
    let mut head = Vec::<u8, HANDSHAKE_HEADER_BYTES>::new();
    // How much of the message the records seen so far hold, received or not.
    let mut announced = 0_usize;

    for record in 0..MAX_RECORDS {
        let Some(length) = record_length(rest, record == 0)? else {
            return Ok(None);
        };
        rest = rest.get(RECORD_HEADER_BYTES..).unwrap_or_default();
        announced = announced.saturating_add(length);

        for &byte in rest.iter().take(length) {
            if head.push(byte).is_err() {
                break;
            }
        }
        if head.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Refusal::NotClientHello);
        }

        let whole = rest.len() >= length;
        if let &[_, high, middle, low] = head.as_slice() {
            let body = u32::from_be_bytes([0, high, middle, low]);
            let message = usize::try_from(body)
                .unwrap_or(usize::MAX)
                .saturating_add(HANDSHAKE_HEADER_BYTES);
            if message > MAX_CLIENT_HELLO_BYTES {
                return Err(Refusal::TooLong);
            }
            // A client has nothing to say in the clear between its hello and the server's.
            if announced > message {
                return Err(Refusal::Malformed("bytes follow the hello in its record"));
            }
            if announced == message {
                return Ok(whole.then_some(message));
            }
        }
        if !whole {
            return Ok(None);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Err(Refusal::TooFragmented)
}

/// The length of the record that starts here, or `None` while its header is not whole.
fn record_length(bytes: &[u8], first: bool) -> Result<Option<usize>, Refusal> {
    match *bytes {
        [kind, ..] if kind != HANDSHAKE_RECORD => Err(if first {
            Refusal::NotTls
        } else {
            Refusal::Malformed("a record of another type interrupts the hello")
        }),
        // The minor version is not looked at: RFC 5246 appendix E.1 has a server accept {03,XX} here.
        [_, major, ..] if major != TLS_MAJOR => Err(if first {
            Refusal::NotTls
        } else {
            Refusal::Malformed("a record has a version that is not TLS")
        }),
        [_, _, _, high, low, ..] => match usize::from(u16::from_be_bytes([high, low])) {
            0 => Err(Refusal::Malformed("a record is empty")),
            1..=MAX_RECORD_BYTES => Ok(Some(usize::from(u16::from_be_bytes([high, low])))),
            _ => Err(Refusal::Malformed("a record is longer than 16384 bytes")),
        },
        _ => Ok(None),
    }
}

/// Reads the handshake message, which is whole.
fn read_message(mut message: Cursor<'_>) -> Result<ClientHello, Refusal> {
    message.field(HANDSHAKE_HEADER_BYTES, "the hello is too short")?;
    if message.byte("the hello is too short")? != TLS_MAJOR {
        return Err(Refusal::Malformed(
            "the hello has a version that is not TLS",
        ));
    }
    message.byte("the hello is too short")?;
    message.field(RANDOM_BYTES, "the hello is too short")?;

    let session = message.vector8("the session id runs past the hello")?;
    if session.len() > MAX_SESSION_ID_BYTES {
        return Err(Refusal::Malformed("the session id is longer than 32 bytes"));
    }
    let suites = message.vector16("the cipher suites run past the hello")?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err(Refusal::Malformed(
            "the cipher suites are not a list of pairs of bytes",
        ));
    }
    let compression = message.vector8("the compression methods run past the hello")?;
    if compression.is_empty() {
        return Err(Refusal::Malformed("there are no compression methods"));
    }

    // A hello of TLS 1.2 and before may end here.
    if message.is_empty() {
        return Ok(ClientHello::default());
    }
    let extensions = message.vector16("the extensions run past the hello")?;
    if !message.is_empty() {
        return Err(Refusal::Malformed("bytes follow the extensions"));
    }
    read_extensions(extensions)
}

fn read_extensions(mut extensions: Cursor<'_>) -> Result<ClientHello, Refusal> {
    let mut hello = ClientHello::default();
    let mut seen = Vec::<u16, MAX_EXTENSIONS>::new();

    while !extensions.is_empty() {
        let kind = extensions.short("an extension is cut off")?;
        let content = extensions.vector16("an extension runs past the others")?;
        if seen.contains(&kind) {
            return Err(Refusal::Malformed("an extension is there twice"));
        }
        seen.push(kind)
            .map_err(|_| Refusal::Malformed("there are more than 64 extensions"))?;

        match kind {
            SERVER_NAME => hello.server_name = server_name::read(content)?,
            ALPN => hello.alpn = alpn::read(content)?,
            _ => {}
        }
    }
    Ok(hello)
}

// --- Limits of our own ---

/// The longest handshake message accepted, in bytes with its 4-byte header.
///
/// Hellos seen in the field are 200 to 600 bytes, and 1,300 to 2,000 with a post-quantum key share; session tickets
/// add a few hundred. 16 KiB is what Envoy's TLS inspector reads at most, and one full record.
pub const MAX_CLIENT_HELLO_BYTES: usize = 16 * 1024;

/// The most records one hello may be spread over.
///
/// 16 KiB in the smallest fragments that a TLS peer may negotiate (512 bytes, RFC 6066 section 4) are 32 records; twice
/// that leaves room. It bounds what [`parse`] does for a hello sent in tiny records a byte at a time.
pub const MAX_RECORDS: usize = 64;

/// A buffer of this many bytes always suffices: the longest hello in the most records, with the record headers.
pub const MAX_FLIGHT_BYTES: usize = MAX_CLIENT_HELLO_BYTES + MAX_RECORDS * RECORD_HEADER_BYTES;

/// The most extensions in a hello. Browsers send about 20; the bound keeps the search for duplicates short.
const MAX_EXTENSIONS: usize = 64;

// --- Numbers from the RFCs ---

const HANDSHAKE_RECORD: u8 = 22;
const TLS_MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const RECORD_HEADER_BYTES: usize = 5;
const HANDSHAKE_HEADER_BYTES: usize = 4;
const MAX_RECORD_BYTES: usize = 1 << 14;
const RANDOM_BYTES: usize = 32;
const MAX_SESSION_ID_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_stays_small_on_the_stack() {
        assert!(size_of::<Result<Progress, Refusal>>() <= 600);
    }

    #[test]
    fn the_wrong_protocol_is_refused_at_its_first_wrong_byte() {
        assert_eq!(parse(b"G"), Err(Refusal::NotTls));
        assert_eq!(parse(b"SSH-2.0-x"), Err(Refusal::NotTls));
        assert_eq!(parse(&[22]), Ok(Progress::NeedMore));
        assert_eq!(parse(&[22, 2]), Err(Refusal::NotTls));
        assert_eq!(parse(&[22, 3, 1, 0, 4, 2]), Err(Refusal::NotClientHello));
        // SSLv2: a two-byte length with the high bit set, then CLIENT-HELLO and version 3.1.
        assert_eq!(parse(&[0x80, 0x2e, 1, 3, 1]), Err(Refusal::NotTls));
    }

    #[test]
    fn a_message_longer_than_the_limit_is_refused_at_its_header() {
        assert_eq!(
            parse(&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]),
            Ok(Progress::NeedMore)
        );
        assert_eq!(
            parse(&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfd]),
            Err(Refusal::TooLong)
        );
        assert_eq!(
            parse(&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]),
            Err(Refusal::TooLong)
        );
    }

    #[test]
    fn records_that_are_empty_or_oversize_are_refused_at_their_header() {
        let empty = Err(Refusal::Malformed("a record is empty"));
        let oversize = Err(Refusal::Malformed("a record is longer than 16384 bytes"));
        assert_eq!(parse(&[22, 3, 1, 0, 0]), empty);
        assert_eq!(parse(&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 0]), empty);
        assert_eq!(parse(&[22, 3, 1, 0x40, 0]), Ok(Progress::NeedMore));
        assert_eq!(parse(&[22, 3, 1, 0x40, 1]), oversize);
    }
}
