//! A Consul in a time of the test's own: a real one, asked through a proxy that waits by that time.
//!
//! A blocking query is answered when the real Consul has another answer, or when its wait is over by the test's time; then all
//! others are too, which Consul may do at any time. Leaves are made here, dated by that time, and renewed as an agent
//! does, and roots that no leaf is left of are not listed; everything else is as the real Consul says it. The proxy is also the link
//! to it: it can be down, or swallow what is sent.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use support::pki::Mesh;

/// How the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// Connections are closed.
    Down,
    /// Nothing comes back.
    Silent,
}

/// The proxy. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Warp {
    shared: Arc<(Mutex<State>, Condvar)>,
    real: SocketAddr,
    address: SocketAddr,
}

struct State {
    /// The test's time, in seconds since 1970.
    now: u64,
    /// Grows with everything that may make an answer due.
    turn: u64,
    link: Link,
    /// When the wait of each blocked query is over.
    blocked: BTreeMap<u64, u64>,
    asked: u64,
    /// Answers that are being made now, and when anything happened last.
    busy: u64,
    last: Instant,
    mesh: Arc<Mesh>,
    leaves: BTreeMap<String, Leaf>,
    made: u64,
}

#[derive(Clone)]
struct Leaf {
    issued: u64,
    index: u64,
    body: String,
}

struct Answer {
    status: String,
    /// The index, or the hash, that tells it from another one.
    version: String,
    head: String,
    body: Vec<u8>,
}

/// An agent asks for another leaf of three days about then.
const RENEWED: u64 = 48 * 3600;

impl Warp {
    pub(crate) fn new(real: SocketAddr, mesh: Arc<Mesh>, now: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let state = State {
            now,
            turn: 0,
            link: Link::Up,
            blocked: BTreeMap::new(),
            asked: 0,
            busy: 0,
            last: Instant::now(),
            mesh,
            leaves: BTreeMap::new(),
            made: 0,
        };
        let warp = Self {
            shared: Arc::new((Mutex::new(state), Condvar::new())),
            real,
            address: listener.local_addr().expect("it is bound"),
        };
        let serving = warp.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let warp = serving.clone();
                thread::spawn(move || warp.serve(stream));
            }
        });
        warp
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the first blocked query's wait is over.
    pub(crate) fn next(&self) -> Option<u64> {
        self.lock().blocked.values().min().copied()
    }

    /// Changes something, and lets everything be looked at again.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        state.turn += 1;
        state.last = Instant::now();
        self.shared.1.notify_all();
        changed
    }

    /// Lets time pass up to then; all waits are over.
    pub(crate) fn pass(&self, now: u64) {
        self.change(|state| {
            state.now = now;
            state.blocked.values_mut().for_each(|until| *until = now);
        });
    }

    /// Lets a second pass; nobody has waited long enough.
    pub(crate) fn tick(&self) {
        self.change(|state| state.now += 1);
    }

    /// The real Consul has something new.
    pub(crate) fn look(&self) {
        self.change(|_| ());
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.change(|state| state.link = link);
    }

    /// Issues leaves by another authority from now on.
    pub(crate) fn rotate(&self, mesh: Arc<Mesh>) {
        self.change(|state| {
            state.mesh = mesh;
            state.leaves.clear();
        });
    }

    /// How many leaves were issued.
    pub(crate) fn leaves(&self) -> u64 {
        self.lock().made
    }

    /// Waits until nobody has asked anything for a moment.
    pub(crate) fn wait_for_calm(&self) {
        let end = Instant::now() + LONGEST;
        let is_calm = |state: &State| state.busy == 0 && state.last.elapsed() >= CALM;
        while !is_calm(&self.lock()) && Instant::now() < end {
            thread::sleep(CALM / 4);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().expect("no holder panicked")
    }

    /// Answers the requests of a connection; ends with it, or with the link.
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        let mut writer = stream;
        while let Some((line, body)) = request(&mut reader) {
            let Some(answer) = self.answer(&line, &body) else {
                return;
            };
            let Answer {
                status, head, body, ..
            } = answer;
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\n\r\n");
            let sent = writer.write_all(head.as_bytes());
            if sent.and_then(|()| writer.write_all(&body)).is_err() {
                return;
            }
        }
    }

    /// The answer to a request, once it is due; none if the link is down.
    fn answer(&self, line: &str, body: &[u8]) -> Option<Answer> {
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let version = value("index").or(value("hash")).map(str::to_owned);
        let wait = value("wait").and_then(|wait| wait.trim_end_matches('s').parse::<u64>().ok());
        let rest: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                !["index", "wait", "hash"].contains(&pair.split('=').next().unwrap_or(""))
            })
            .filter(|pair| !pair.is_empty())
            .collect();
        let target = match rest.as_slice() {
            [] => path.to_owned(),
            rest => format!("{path}?{}", rest.join("&")),
        };
        let (number, until) = {
            let mut state = self.lock();
            state.asked += 1;
            state.last = Instant::now();
            let until = state.now + wait.unwrap_or(300);
            (state.asked, until)
        };
        let blocks = version.as_deref().is_some_and(|version| version != "0");
        loop {
            let turn = self.lock().turn;
            if self.lock().link == Link::Up {
                self.lock().busy += 1;
                let answer = self.fetch(method, path, &target, body);
                {
                    let mut state = self.lock();
                    state.busy -= 1;
                    state.last = Instant::now();
                }
                let answer = answer?;
                let is_news = !blocks || version.as_ref() != Some(&answer.version);
                let mut state = self.lock();
                let until = *state.blocked.entry(number).or_insert(until);
                if is_news || state.now >= until {
                    state.blocked.remove(&number);
                    return Some(answer);
                }
            }
            let mut state = self.lock();
            while state.turn == turn {
                state = self.shared.1.wait(state).expect("no holder panicked");
            }
            if state.link != Link::Up {
                state.blocked.remove(&number);
            }
            if state.link == Link::Down {
                return None;
            }
        }
    }

    /// What is so now.
    fn fetch(&self, method: &str, path: &str, target: &str, body: &[u8]) -> Option<Answer> {
        if let Some(service) = path.strip_prefix("/v1/agent/connect/ca/leaf/") {
            let leaf = self.lock().leaf(service);
            return Some(Answer {
                status: "200 OK".to_owned(),
                version: leaf.index.to_string(),
                head: format!("X-Consul-Index: {}\r\n", leaf.index),
                body: leaf.body.into_bytes(),
            });
        }
        let mut stream = TcpStream::connect(self.real).ok()?;
        let head = format!(
            "{method} {target} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok()?;
        let end = all.windows(4).position(|end| end == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&all[..end]).into_owned();
        let mut lines = text.lines();
        let status = lines.next()?.split_once(' ')?.1.to_owned();
        let (mut head, mut index, mut hash) = (String::new(), None, None);
        for line in lines {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "x-consul-index" => index = Some(value.to_owned()),
                "x-consul-contenthash" => hash = Some(value.to_owned()),
                "content-length" | "connection" => continue,
                _ => {}
            }
            head += &format!("{name}: {value}\r\n");
        }
        let body = all.split_off(end + 4);
        Some(Answer {
            status,
            version: hash.or(index).unwrap_or_default(),
            head,
            body: match path {
                "/v1/agent/connect/ca/roots" => listed(&body),
                _ => body,
            },
        })
    }
}

impl State {
    fn leaf(&mut self, service: &str) -> Leaf {
        let now = self.now;
        if let Some(leaf) = self.leaves.get(service)
            && now < leaf.issued + RENEWED
        {
            return leaf.clone();
        }
        self.made += 1;
        let made = self.mesh.leaf_of(now, service, "dc1");
        let read = |path| std::fs::read_to_string(path).expect("a leaf can be read");
        let index = 1_000_000 + self.made;
        let body = serde_json::json!({
            "SerialNumber": format!("{:02x}", self.made),
            "CertPEM": read(made.certificate),
            "PrivateKeyPEM": read(made.key),
            "Service": service,
            "ServiceURI": self.mesh.spiffe_id(service, "dc1"),
            "ValidAfter": written(now),
            "ValidBefore": written(now + 3 * 24 * 3600),
            "CreateIndex": index,
            "ModifyIndex": index,
        });
        let leaf = Leaf {
            issued: now,
            index,
            body: body.to_string(),
        };
        self.leaves.insert(service.to_owned(), leaf.clone());
        leaf
    }
}

/// The roots without those that Consul would have dropped by the test's time: it lists one for twice the life of a leaf after another
/// took its place (`pruneCARoots` in its source), six days here, in which the mesh gets three.
fn listed(body: &[u8]) -> Vec<u8> {
    let Ok(mut roots) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.to_vec();
    };
    if let Some(list) = roots["Roots"].as_array_mut() {
        list.sort_by_key(|root| std::cmp::Reverse(root["CreateIndex"].as_u64()));
        list.truncate(LISTED_ROOTS);
    }
    roots.to_string().into_bytes()
}

/// The active root, and those of the six days before.
const LISTED_ROOTS: usize = 4;

/// A request's first line and its body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            first = line.to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

/// A time as Consul writes it.
fn written(seconds: u64) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"])
        .output();
    let output = output.expect("the system can write a date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Nobody asks for this long once all that was to happen has.
const CALM: Duration = Duration::from_millis(12);

/// Questions that are asked again and again are not waited for longer.
const LONGEST: Duration = Duration::from_millis(400);
