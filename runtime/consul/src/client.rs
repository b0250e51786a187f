//! The HTTP client: requests go to one of several addresses, over connections that are kept, within a budget.
//!
//! There are never more connections than the budget, idle ones included, since Consul counts them by our address
//! (<https://developer.hashicorp.com/consul/docs/agent/config/config-files#http_max_conns_per_client>). When one address
//! fails, the next request goes to the next one, and stays there while it works.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use dial::Resolver;
use smol::{Async, Timer, future, lock::Semaphore};
use sys::socket::TcpOptions;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    About, Address, Error, Settings, Traffic,
    address::{Host, Scheme},
    connection::{Connection, Failure, OnBody, Stream},
    secure::Secure,
    token::Token,
};

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `PUT` or `POST`; it must do no harm to send it twice.
    pub method: &'static str,
    /// The path and the query, encoded.
    pub path: &'a str,
    /// What is sent along.
    pub body: Option<&'a [u8]>,
    /// How long it may take in all.
    pub within: Duration,
}

/// Talks to Consul.
pub struct Client {
    addresses: Vec<Address>,
    /// Stands for an address that is not there, which cannot be.
    local: Address,
    token: Token,
    secure: Secure,
    resolver: Rc<Resolver>,
    node: Option<String>,
    budget: usize,
    slots: Semaphore,
    idle: RefCell<Vec<Connection>>,
    /// Which address is asked.
    preferred: Cell<usize>,
    traffic: Traffic,
}

impl Client {
    /// Says where Consul is. Nothing is connected yet.
    #[must_use]
    pub fn new(settings: Settings, resolver: Rc<Resolver>) -> Self {
        let budget = settings.connections.max(MIN_CONNECTIONS);
        let mut addresses = settings.addresses;
        if addresses.is_empty() {
            addresses.push(Address::default());
        }
        Self {
            addresses,
            local: Address::default(),
            token: Token::new(settings.token),
            secure: Secure::new(settings.tls),
            resolver,
            node: settings.node,
            budget,
            slots: Semaphore::new(budget),
            idle: RefCell::new(Vec::new()),
            preferred: Cell::new(0),
            traffic: Traffic::default(),
        }
    }

    /// The same, with the dates of Consul's certificates held against this clock.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_clock(mut self, clock: tls::Clock) -> Self {
        self.secure.set_clock(clock);
        self
    }

    /// The node of the catalog that stands for this machine, where no agent runs here.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The most connections at a time.
    #[must_use]
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// All traffic so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The address that is asked now.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.addresses
            .get(self.preferred.get())
            .unwrap_or(&self.local)
    }

    /// Whether requests are made with a token.
    #[must_use]
    pub fn has_token(&self) -> bool {
        matches!(self.token.now(), Ok(Some(_)))
    }

    /// The file that the token lies in.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.token.file()
    }

    /// Sends a request and gives the whole answer, up to `most` bytes.
    ///
    /// # Errors
    ///
    /// There is no answer, it is longer, or its status is not 200.
    pub async fn fetch(
        &self,
        request: Request<'_>,
        most: usize,
    ) -> Result<(About, Vec<u8>), Error> {
        let mut body = Vec::new();
        let traffic = Traffic::default();
        let about = self
            .send(request, &traffic, &mut |_, piece| {
                collect(&mut body, piece, most)
            })
            .await?;
        Ok((about, body))
    }

    /// Sends a request and hands out the body of a 200 as it comes. A body that was begun and not ended is void.
    pub(crate) async fn send(
        &self,
        request: Request<'_>,
        traffic: &Traffic,
        on_body: OnBody<'_>,
    ) -> Result<About, Error> {
        let _slot = self.slots.acquire().await;
        let own = Traffic::default();
        let asked = self.preferred.get();
        let late = async {
            Timer::after(request.within).await;
            Err(Error::Silent(self.address().to_string(), request.within))
        };
        let answer = future::or(self.attempt(request, &own, on_body), late).await;
        traffic.add(&own);
        self.traffic.add(&own);
        if answer.as_ref().is_err_and(Error::is_of_one_server) && self.preferred.get() == asked {
            self.preferred
                .set((asked + 1) % self.addresses.len().max(1));
        }
        answer
    }

    /// Whether there are other addresses than the one that is asked now.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.addresses.len() > 1
    }

    /// How many addresses there are.
    pub(crate) fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// The same as [`Client::fetch`], of the address that comes so many after the one that is asked now.
    pub(crate) async fn fetch_elsewhere(
        &self,
        nth: usize,
        request: Request<'_>,
        most: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let _slot = self.slots.acquire().await;
        let index = (self.preferred.get() + nth) % self.addresses.len().max(1);
        let address = self.addresses.get(index).unwrap_or(&self.local);
        let answer = async {
            let mut connection = Connection::new(self.connect_to(address).await?, index);
            let bytes = self.bytes(request, index)?;
            let mut body = Zeroizing::default();
            let answer = connection
                .exchange(&bytes, &self.traffic, &mut |_, piece| {
                    collect(&mut body, piece, most)
                })
                .await;
            let (about, _) = answer.map_err(|failure| self.failed(index, failure))?;
            match about.status {
                200 => Ok(body),
                status => Err(Error::of_status(status, &body)),
            }
        };
        let late = async {
            Timer::after(request.within).await;
            Err(Error::Silent(address.to_string(), request.within))
        };
        future::or(answer, late).await
    }

    fn failed(&self, address: usize, failure: Failure) -> Error {
        let address = self
            .addresses
            .get(address)
            .unwrap_or(&self.local)
            .to_string();
        match failure {
            Failure::Broken(error, _) => Error::Unreachable(address, error),
            Failure::Http(error) => Error::Http(address, error),
            Failure::Ours(error) => error,
        }
    }

    async fn attempt(
        &self,
        request: Request<'_>,
        traffic: &Traffic,
        on_body: OnBody<'_>,
    ) -> Result<About, Error> {
        let mut said = Vec::new();
        let mut body = |about: &About, piece: &[u8]| {
            if about.status == 200 {
                return on_body(about, piece);
            }
            let room = MAX_SAID_BYTES.saturating_sub(said.len());
            said.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
            Ok(())
        };
        let (about, connection) = loop {
            let mut connection = match self.idle() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let bytes = self.bytes(request, connection.address)?;
            let begun = Instant::now();
            match connection.exchange(&bytes, traffic, &mut body).await {
                Ok((about, kept)) => break (about, Some(connection).filter(|_| kept)),
                // It was closed while nobody asked. There are only so many idle ones. One that breaks later, while a query
                // blocks, is trouble: the next answer may be another server's.
                Err(Failure::Broken(_, true)) if connection.used && begun.elapsed() < AT_ONCE => {}
                Err(failure) => return Err(self.failed(connection.address, failure)),
            }
        };
        if let Some(connection) = connection.filter(|_| self.idle.borrow().len() < MAX_IDLE) {
            self.idle.borrow_mut().push(connection);
        }
        match about.status {
            200 => Ok(about),
            status => Err(Error::of_status(status, &said)),
        }
    }

    /// A connection that waits for a request, to the address that is asked now. Those to others are closed.
    fn idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|connection| connection.address == self.preferred.get());
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, Error> {
        // Within the budget: each connection in use has a slot, and there is no idle one when another is made.
        let mut last = None;
        for _ in 0..self.addresses.len() {
            let asked = self.preferred.get();
            match self.connect_to(self.address()).await {
                Ok(stream) => return Ok(Connection::new(stream, asked)),
                Err(error) => last = Some(error),
            }
            if self.preferred.get() == asked {
                self.preferred.set((asked + 1) % self.addresses.len());
            }
        }
        Err(last.unwrap_or(Error::Full))
    }

    async fn connect_to(&self, address: &Address) -> Result<Box<dyn Stream>, Error> {
        let unreachable = |error| Error::Unreachable(address.to_string(), error);
        let (host, port, scheme) = match address {
            Address::Unix(path) => {
                let stream = Async::<UnixStream>::connect(path)
                    .await
                    .map_err(unreachable)?;
                return Ok(Box::new(stream));
            }
            Address::Tcp { host, port, scheme } => (host, *port, *scheme),
        };
        let ips: Vec<IpAddr> = match host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => {
                let answer = self.resolver.resolve(name).await;
                answer.map_err(|_| Error::Name(name.to_string()))?.addresses
            }
        };
        let mut last = Error::Name(address.authority());
        for ip in ips {
            match connect(SocketAddr::new(ip, port)).await {
                Ok(stream) if scheme == Scheme::Http => return Ok(Box::new(stream)),
                Ok(stream) => return self.secure.connect(host, stream, address).await,
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }

    fn bytes(&self, request: Request<'_>, address: usize) -> Result<Vec<u8>, Error> {
        let mut bytes =
            Vec::with_capacity(request.path.len() + request.body.map_or(0, <[u8]>::len) + 160);
        let authority = self
            .addresses
            .get(address)
            .map(Address::authority)
            .unwrap_or_default();
        for part in [
            request.method,
            " ",
            request.path,
            " HTTP/1.1\r\nHost: ",
            &authority,
            "\r\n",
        ] {
            bytes.extend_from_slice(part.as_bytes());
        }
        if let Some(token) = self.token.now()? {
            for part in ["X-Consul-Token: ", &token, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        if let Some(body) = request.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(request.body.unwrap_or_default());
        Ok(bytes)
    }
}

/// Appends a piece of a body, which may have so many bytes. Where that takes more room, the old one is wiped: it may be a key.
pub(crate) fn collect(body: &mut Vec<u8>, piece: &[u8], most: usize) -> Result<(), Error> {
    let length = body.len() + piece.len();
    if length > most {
        return Err(Error::TooLong(most));
    }
    if length > body.capacity() {
        let mut larger = Vec::with_capacity(length.max(2 * body.capacity()));
        larger.extend_from_slice(body);
        body.zeroize();
        *body = larger;
    }
    body.extend_from_slice(piece);
    Ok(())
}

async fn connect(address: SocketAddr) -> io::Result<Async<TcpStream>> {
    let stream = TcpStream::from(sys::socket::connect(address, &TCP)?);
    let stream = Async::new(stream)?;
    let connected = async {
        stream.writable().await?;
        sys::socket::connected(&stream)
    };
    let late = async {
        Timer::after(CONNECT_TIMEOUT).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    future::or(connected, late).await?;
    Ok(stream)
}

/// A query may block for minutes, in which a middlebox forgets a silent connection and a dead agent goes unnoticed.
const TCP: TcpOptions = TcpOptions {
    keepalive_time: Some(Duration::from_secs(45)),
    keepalive_interval: Duration::from_secs(10),
    keepalive_probes: 3,
    user_timeout: Duration::from_secs(30),
};

/// An agent is near, and a server's round trip is below a second on any link that carries a mesh.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Some connections block; there must be one for what does not.
const MIN_CONNECTIONS: usize = 4;

/// How soon it shows that the other end has closed a connection: a round trip.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A query that follows another finds one; the rest would only take places at Consul.
const MAX_IDLE: usize = 4;

/// Of the text that comes with an error: a sentence.
const MAX_SAID_BYTES: usize = 300;
