//! One connection to Consul: a request goes out, its response is read as it comes.

use std::{cell::Cell, io};

use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use wire::http1::{self, Head, Part, Responses};
use zeroize::{Zeroize as _, Zeroizing};

use crate::Error;

/// TCP, TLS or a unix socket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Bytes of requests and of answers, heads included, TLS not.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: Cell<u64>,
    received: Cell<u64>,
}

impl Traffic {
    /// Bytes of requests.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Bytes of answers.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// Adds what another one has.
    pub(crate) fn add(&self, other: &Self) {
        self.sent.set(self.sent.get() + other.sent.get());
        self.received
            .set(self.received.get() + other.received.get());
    }
}

/// What the head of an answer says, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The status code.
    pub status: u16,
    /// `X-Consul-Index`: what to block on; `None` where the answer has none.
    pub index: Option<u64>,
    /// `X-Consul-Contenthash`: what to block on at the local agent.
    pub hash: Option<String>,
    /// `X-Consul-Default-ACL-Policy`, from 1.9: whether a source that no intention names may connect.
    pub default_allow: Option<bool>,
    /// `X-Consul-Results-Filtered-By-ACLs`, from 1.11: the token may not see everything.
    pub filtered: bool,
    /// `X-Consul-Translate-Addresses`: addresses of other datacenters are their WAN addresses already.
    pub translated: bool,
}

impl About {
    fn of(head: &Head<'_>) -> Self {
        let is_true = |name| {
            head.field(name)
                .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        Self {
            status: head.status,
            index: head
                .field("x-consul-index")
                .and_then(|value| value.trim().parse().ok()),
            hash: head.field("x-consul-contenthash").map(str::to_owned),
            default_allow: match head.field("x-consul-default-acl-policy") {
                Some("allow") => Some(true),
                Some("deny") => Some(false),
                _ => None,
            },
            filtered: is_true("x-consul-results-filtered-by-acls"),
            translated: is_true("x-consul-translate-addresses"),
        }
    }
}

/// Why an exchange came to nothing.
pub(crate) enum Failure {
    /// The connection broke. True when nothing of an answer had come.
    Broken(io::Error, bool),
    /// What came is no HTTP.
    Http(http1::Error),
    /// Whoever takes the body has had enough.
    Ours(Error),
}

/// Takes the pieces of a body.
pub(crate) type OnBody<'a> = &'a mut dyn FnMut(&About, &[u8]) -> Result<(), Error>;

pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    responses: Responses,
    /// What has come and was not taken yet. What was taken is wiped: keys come this way.
    unread: Zeroizing<Vec<u8>>,
    /// Which of the addresses it leads to.
    pub(crate) address: usize,
    /// Whether it had a request before, so that the other end may have closed it since.
    pub(crate) used: bool,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>, address: usize) -> Self {
        Self {
            stream,
            responses: Responses::new(),
            unread: Zeroizing::default(),
            address,
            used: false,
        }
    }

    /// Sends a request and reads its response. Gives whether the connection can be used again.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        traffic: &Traffic,
        on_body: OnBody<'_>,
    ) -> Result<(About, bool), Failure> {
        let broken = |error| Failure::Broken(error, true);
        self.stream.write_all(request).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)?;
        traffic.sent.set(traffic.sent.get() + request.len() as u64);
        let mut about = None;
        let mut first = true;
        loop {
            if let Some(kept) = self.take(&mut about, on_body)? {
                self.used = true;
                self.unread.shrink_to(READ_BYTES_WAITING);
                return Ok((about.unwrap_or_default(), kept && self.unread.is_empty()));
            }
            // While a query blocks there is nothing to read for minutes; little room waits with it.
            let room = if about.is_none() {
                READ_BYTES_WAITING
            } else {
                READ_BYTES
            };
            let have = self.unread.len();
            self.unread.resize(have + room, 0);
            let read = self
                .stream
                .read(self.unread.get_mut(have..).unwrap_or_default())
                .await;
            self.unread
                .truncate(have + read.as_ref().copied().unwrap_or_default());
            match read {
                Ok(0) if self.responses.closed(&self.unread).map_err(Failure::Http)? => {
                    return Ok((about.unwrap_or_default(), false));
                }
                Ok(0) => return Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into(), first)),
                Ok(length) => traffic.received.set(traffic.received.get() + length as u64),
                Err(error) => return Err(Failure::Broken(error, first)),
            }
            first = false;
        }
    }

    /// Takes what can be taken of what has come. `Some` at the end of the response.
    fn take(
        &mut self,
        about: &mut Option<About>,
        on_body: OnBody<'_>,
    ) -> Result<Option<bool>, Failure> {
        let mut taken = 0;
        let end = loop {
            let rest = self.unread.get(taken..).unwrap_or_default();
            let (length, part) = self.responses.next(rest).map_err(Failure::Http)?;
            taken += length;
            match part {
                Part::More if length == 0 => break None,
                Part::More => {}
                Part::Head(head) => *about = Some(About::of(&head)),
                Part::Body(body) => {
                    let about = about.get_or_insert_default();
                    on_body(about, body).map_err(Failure::Ours)?;
                }
                Part::End { kept } => break Some(kept),
            }
        };
        let left = self.unread.len().saturating_sub(taken);
        self.unread.copy_within(taken.., 0);
        self.unread.get_mut(left..).unwrap_or_default().zeroize();
        self.unread.truncate(left);
        Ok(end)
    }
}

/// A head with the answer of a small query fits.
const READ_BYTES_WAITING: usize = 1536;

/// What is read at a time once an answer comes.
const READ_BYTES: usize = 16 * 1024;
