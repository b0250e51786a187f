//! A nameserver for tests, over UDP and TCP on one port of the loopback interface, on the test's
//! own executor.
//!
//! Its messages are put together byte by byte here, without the room `wire`, so that one does not
//! vouch for the other.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Async, LocalExecutor};

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Udp,
    Tcp,
}

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) over: Over,
    pub(super) name: String,
    /// 1 for A, 28 for AAAA.
    pub(super) kind: u16,
    pub(super) edns: bool,
    pub(super) port: u16,
    id: u16,
    /// Name, type and class as they came.
    raw: Vec<u8>,
}

/// What a test lets the server send back; any number of messages, over TCP one.
pub(super) type Reply = Vec<Vec<u8>>;

/// The server, and what it was asked so far.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) asked: Rc<RefCell<Vec<Question>>>,
}

impl Server {
    /// Starts a server on 127.0.0.1 that answers as `respond` says.
    pub(super) fn start(
        executor: &LocalExecutor<'static>,
        respond: impl FnMut(&Question) -> Reply + 'static,
    ) -> Self {
        let (udp, tcp) = sockets();
        let server = Self {
            address: udp.get_ref().local_addr().unwrap(),
            asked: Rc::default(),
        };
        let respond = Rc::new(RefCell::new(respond));
        let answer = {
            let asked = Rc::clone(&server.asked);
            move |over, message: &[u8], from: SocketAddr| {
                let question = Question::read(over, message, from.port());
                asked.borrow_mut().push(question.clone());
                (respond.borrow_mut())(&question)
            }
        };
        let over_tcp = answer.clone();
        executor
            .spawn(async move {
                let mut message = [0; 512];
                loop {
                    let (length, from) = udp.recv_from(&mut message).await.unwrap();
                    for reply in answer(Over::Udp, &message[..length], from) {
                        udp.send_to(&reply, from).await.unwrap();
                    }
                }
            })
            .detach();
        executor
            .spawn(async move {
                loop {
                    let (mut stream, from) = tcp.accept().await.unwrap();
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).await.unwrap();
                    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut message).await.unwrap();
                    for reply in over_tcp(Over::Tcp, &message, from) {
                        let length = u16::try_from(reply.len()).unwrap();
                        stream.write_all(&length.to_be_bytes()).await.unwrap();
                        stream.write_all(&reply).await.unwrap();
                    }
                }
            })
            .detach();
        server
    }

    /// How often a family was asked for.
    pub(super) fn count(&self, kind: u16) -> usize {
        let asked = self.asked.borrow();
        asked.iter().filter(|asked| asked.kind == kind).count()
    }
}

/// Both on the same port: it is tried until one is free in both.
fn sockets() -> (Async<UdpSocket>, Async<TcpListener>) {
    loop {
        let udp = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
        let address = udp.get_ref().local_addr().unwrap();
        if let Ok(tcp) = Async::<TcpListener>::bind(address) {
            return (udp, tcp);
        }
    }
}

impl Question {
    fn read(over: Over, message: &[u8], port: u16) -> Self {
        let short = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let mut at = 12;
        let mut labels = Vec::new();
        while message[at] != 0 {
            let end = at + 1 + usize::from(message[at]);
            labels.push(String::from_utf8(message[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        assert_eq!((short(2), short(4)), (0x0100, 1), "a recursive query");
        Self {
            over,
            name: labels.join("."),
            kind: short(at + 1),
            edns: short(10) == 1,
            port,
            id: short(0),
            raw: message[12..at + 5].to_vec(),
        }
    }

    /// A response with this code and these records, to this very question.
    pub(super) fn response(&self, code: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let count = u16::try_from(records.len()).unwrap();
        let header = [self.id, 0x8180 | code, 1, count, 0, 0];
        let mut message: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        message.extend(&self.raw);
        message.extend(records.concat());
        message
    }

    /// The addresses of the family that was asked for, under the name that was asked for.
    pub(super) fn addresses(&self, ttl: u32, addresses: &[&str]) -> Vec<u8> {
        let records: Vec<_> = addresses
            .iter()
            .map(|address| record(&self.name, ttl, address))
            .filter(|record| record.0 == self.kind)
            .map(|record| record.1)
            .collect();
        self.response(0, &records)
    }

    /// The answer does not fit.
    pub(super) fn truncated(&self) -> Vec<u8> {
        let mut message = self.response(0, &[]);
        message[2] |= 0x02;
        message
    }

    /// The response as somebody would forge it who guessed the id wrong.
    pub(super) fn with_another_id(&self, ttl: u32, address: &str) -> Vec<u8> {
        let mut message = self.addresses(ttl, &[address]);
        message[1] ^= 1;
        message
    }

    /// The response to another question under the same id.
    pub(super) fn with_another_name(&self, ttl: u32, address: &str) -> Vec<u8> {
        let mut message = self.addresses(ttl, &[address]);
        message[13] ^= 1;
        message
    }
}

/// An address record with its type.
pub(super) fn record(name: &str, ttl: u32, address: &str) -> (u16, Vec<u8>) {
    let (kind, data) = match address.parse().unwrap() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (28, address.octets().to_vec()),
    };
    (kind, raw_record(name, kind, ttl, &data))
}

/// A CNAME record.
pub(super) fn alias(name: &str, ttl: u32, target: &str) -> Vec<u8> {
    raw_record(name, 5, ttl, &labels(target))
}

fn raw_record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = labels(name);
    record.extend(kind.to_be_bytes());
    record.extend(1_u16.to_be_bytes());
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
