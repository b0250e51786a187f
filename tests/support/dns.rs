//! A name server of a test's own (RFC 1035, over UDP) that answers what the test says, when it says.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What the server does with questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Answers from its zone; a name that it does not know does not exist.
    #[default]
    Answers,
    /// Answers SERVFAIL.
    Fails,
    /// Answers nothing.
    Silent,
}

/// A server with its zone. Clones are the same server.
#[derive(Clone, Debug)]
pub struct DnsServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct State {
    zone: BTreeMap<String, (Vec<IpAddr>, u32)>,
    mood: Mood,
    asked: Vec<String>,
}

impl DnsServer {
    /// On an address; in a namespace, port 53 of any address is free for it.
    pub fn start(address: impl Into<SocketAddr>) -> Self {
        let socket = UdpSocket::bind(address.into()).expect("the address is ours");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a timeout can be set");
        let address = socket.local_addr().expect("a bound socket has an address");
        let server = Self {
            state: Arc::default(),
            address,
        };
        let state = Arc::downgrade(&server.state);
        thread::spawn(move || {
            let mut question = [0; 1500];
            loop {
                let received = socket.recv_from(&mut question);
                let Some(state) = state.upgrade() else { return };
                let Ok((length, client)) = received else {
                    continue;
                };
                let answer = lock(&state).answer(&question[..length]);
                if let Some(answer) = answer {
                    let _: io::Result<usize> = socket.send_to(&answer, client);
                }
            }
        });
        server
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a name these addresses, for so many seconds.
    pub fn set(&self, name: &str, addresses: &[IpAddr], ttl: u32) {
        lock(&self.state)
            .zone
            .insert(name.to_owned(), (addresses.to_vec(), ttl));
    }

    /// Changes its mood.
    pub fn mood(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// How often a name was asked for, in any type.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.state)
            .asked
            .iter()
            .filter(|asked| *asked == name)
            .count()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder panicked")
}

impl State {
    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name(question)?;
        let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
        self.asked.push(name.clone());
        let entry = self.zone.get(&name);
        let code = match (self.mood, entry) {
            (Mood::Silent, _) => return None,
            (Mood::Fails, _) => SERVFAIL,
            (Mood::Answers, None) => NXDOMAIN,
            (Mood::Answers, Some(_)) => 0,
        };
        let (all, ttl) = entry.filter(|_| code == 0).cloned().unwrap_or_default();
        let fits = |ip: &IpAddr| kind == if ip.is_ipv4() { A } else { AAAA };
        let fitting: Vec<IpAddr> = all.into_iter().filter(fits).collect();

        let mut answer = question.get(..2)?.to_vec();
        answer.extend([
            0x85,
            0x80 | code,
            0,
            1,
            0,
            u8::try_from(fitting.len()).ok()?,
            0,
            0,
            0,
            0,
        ]);
        answer.extend(question.get(12..end + 4)?);
        for ip in fitting {
            let octets = match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend([0, u8::try_from(octets.len()).ok()?]);
            answer.extend(octets);
        }
        Some(answer)
    }
}

/// The name in the question, without its last dot, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// How often the server looks whether its test is over.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &DnsServer, name: &str, kind: u16) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let mut question = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend([0, 1]);
        socket.send_to(&question, server.address()).unwrap();
        let mut answer = vec![0; 500];
        let length = socket.recv(&mut answer).ok()?;
        answer.truncate(length);
        Some(answer)
    }

    #[test]
    fn it_answers_as_told() {
        let server = DnsServer::start(([127, 0, 0, 1], 0));
        server.set(
            "a.test",
            &[[1, 2, 3, 4].into(), [0, 0, 0, 0, 0, 0, 0, 1].into()],
            60,
        );
        let answer = ask(&server, "A.test", A).unwrap();
        assert_eq!(
            (answer[..2].to_vec(), answer[3], answer[7]),
            (vec![7, 9], 0x80, 1)
        );
        assert!(answer.ends_with(&[0, 0, 0, 60, 0, 4, 1, 2, 3, 4]));
        assert_eq!(ask(&server, "a.test", AAAA).unwrap().last(), Some(&1));
        assert_eq!(ask(&server, "b.test", A).unwrap()[3], 0x80 | NXDOMAIN);
        server.mood(Mood::Fails);
        assert_eq!(ask(&server, "a.test", A).unwrap()[3], 0x80 | SERVFAIL);
        server.mood(Mood::Silent);
        assert_eq!(ask(&server, "a.test", A), None);
        assert_eq!(server.asked("a.test"), 4);
    }
}
