//! A Consul that says what a test wants: it blocks by index, counts its connections, and remembers what it was asked.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    time::{Duration, Instant},
};

use consul::{Client, Settings, TokenSource, Watches};
use dial::Resolver;
use smol::{
    Async, LocalExecutor, Timer, future,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

/// What is said to one path.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) index: u64,
    pub(crate) body: String,
}

#[derive(Default)]
pub(crate) struct Fake {
    said: RefCell<BTreeMap<String, Said>>,
    /// Requests in their order: path and query, and the token.
    pub(crate) asked: RefCell<Vec<(String, Option<String>)>>,
    /// Connections now, and the most there were.
    pub(crate) connections: Cell<(usize, usize)>,
    /// While true, waits are over after some milliseconds.
    pub(crate) hurried: Cell<bool>,
    /// While true, connections are closed at once.
    pub(crate) down: Cell<bool>,
}

impl Fake {
    /// Says this from now on; the index is one more than before.
    pub(crate) fn say(&self, path: &str, status: u16, body: &str) {
        let mut said = self.said.borrow_mut();
        let index = said.get(path).map_or(10, |said| said.index + 1);
        said.insert(
            path.to_owned(),
            Said {
                status,
                index,
                body: body.to_owned(),
            },
        );
    }

    pub(crate) fn set_index(&self, path: &str, index: u64) {
        self.said.borrow_mut().get_mut(path).unwrap().index = index;
    }

    /// How often a path was asked, whatever the query.
    pub(crate) fn times(&self, path: &str) -> usize {
        let asked = self.asked.borrow();
        asked
            .iter()
            .filter(|(asked, _)| split(asked).0 == path)
            .count()
    }

    fn find(&self, path: &str) -> Said {
        self.said.borrow().get(path).cloned().unwrap_or(Said {
            status: 404,
            index: 1,
            body: "nothing there".to_owned(),
        })
    }

    async fn serve(
        self: Rc<Self>,
        listener: Async<TcpListener>,
        executor: Rc<LocalExecutor<'static>>,
    ) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if self.down.get() {
                continue;
            }
            let (now, most) = self.connections.get();
            self.connections.set((now + 1, most.max(now + 1)));
            let this = Rc::clone(&self);
            executor
                .spawn(async move {
                    let _ = this.answer(stream).await;
                    let (now, most) = this.connections.get();
                    this.connections.set((now - 1, most));
                })
                .detach();
        }
    }

    async fn answer(&self, mut stream: Async<TcpStream>) -> std::io::Result<()> {
        let mut text = String::new();
        loop {
            while !text.contains("\r\n\r\n") {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).await?;
                if length == 0 {
                    return Ok(());
                }
                text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
            }
            let head = std::mem::take(&mut text);
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let token = head
                .split_once("X-Consul-Token: ")
                .map(|(_, rest)| rest.split('\r').next().unwrap().to_owned());
            self.asked.borrow_mut().push((target.clone(), token));
            let (path, query) = split(&target);
            let asked = |name: &str| {
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            };
            let wait =
                asked("wait").map_or(0, |wait| wait.strip_suffix('s').unwrap().parse().unwrap());
            let begun = Instant::now();
            let index = asked("index").map(|index| index.parse::<u64>().unwrap());
            let said = loop {
                if self.down.get() {
                    return Ok(());
                }
                let said = self.find(path);
                // A higher index than ours blocks for the whole wait, as Consul's does; here the wait is over at once.
                let wait = if self.hurried.get() {
                    Duration::from_millis(20)
                } else {
                    Duration::from_secs(wait)
                };
                if index != Some(said.index) || begun.elapsed() >= wait {
                    break said;
                }
                Timer::after(Duration::from_millis(2)).await;
            };
            let body = if asked("filter").is_some_and(|filter| filter.starts_with("Node==")) {
                "[]"
            } else {
                &said.body
            };
            let reply = format!(
                "HTTP/1.1 {} X\r\nX-Consul-Index: {}\r\nContent-Length: {}\r\n\r\n{}",
                said.status,
                if said.status == 200 { said.index } else { 1 },
                body.len(),
                body
            );
            stream.write_all(reply.as_bytes()).await?;
        }
    }
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// A fake, watches on it, and time for `test`.
pub(crate) fn with<F: Future<Output = ()>>(
    token: TokenSource,
    connections: usize,
    test: impl FnOnce(Rc<Fake>, Watches) -> F,
) {
    let executor = Rc::new(LocalExecutor::new());
    let listener = Async::<TcpListener>::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.get_ref().local_addr().unwrap();
    let fake = Rc::new(Fake::default());
    executor
        .spawn(Rc::clone(&fake).serve(listener, Rc::clone(&executor)))
        .detach();
    let settings = Settings {
        addresses: vec![consul::Address::new(&address.to_string()).unwrap()],
        token,
        connections,
        ..Settings::default()
    };
    let client = Rc::new(Client::new(settings, Rc::new(Resolver::of_system())));
    let watches = Watches::new(client, Rc::clone(&executor));
    let late = async {
        Timer::after(Duration::from_secs(30)).await;
        panic!("the test takes too long");
    };
    smol::block_on(executor.run(future::or(test(fake, watches), late)));
}

/// Waits until something is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        Timer::after(Duration::from_millis(2)).await;
    }
}
