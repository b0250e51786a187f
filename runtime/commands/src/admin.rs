//! The admin endpoint: a few pages over HTTP/1.1 that answer GET and change nothing.
//!
//! `/ready` (200 while all that is to run is there), `/status` (what is known, and for how long), `/stats` (Prometheus text,
//! also at `/metrics` and `/stats/prometheus`), `/listeners`, and for `lictor explain --admin` `/explain?upstream=NAME` and
//! `/explain?sni=NAME`. Meant for loopback or a unix socket: it asks for no credentials and tells nothing secret. Requests are
//! bounded in size, time and number, and every answer closes its connection.

use std::{
    cell::Cell,
    fmt::Write as _,
    io,
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use plan::Address;
use proxy::{Cause, Proxy};
use smol::{
    Async, LocalExecutor, Timer, channel,
    future::or,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use sys::unix::SocketFile;

use crate::{
    explain,
    learning::Learning,
    memory::{Age, Memory},
    outlook,
};

/// Longer requests than any client of these pages sends.
const MAX_REQUEST_BYTES: usize = 4096;

/// For a whole request and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Who may ask by a unix socket: its user and its group; others are for the directory to keep out.
const SOCKET_MODE: u32 = 0o660;

/// Clients that wait for a unix socket, as many as std keeps for TCP.
const BACKLOG: i32 = 128;

/// Requests at a time; more wait in the listener's queue.
const MAX_REQUESTS: usize = 4;

/// What the pages tell beside the data plane's own counters.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whether everything was said to be there.
    pub(crate) ready: Cell<bool>,
    pub(crate) draining: Cell<bool>,
    pub(crate) reloads: Cell<u64>,
    pub(crate) reloads_refused: Cell<u64>,
    /// As it was at the start: asking takes system calls, and may load a module.
    pub(crate) kernel_tls: bool,
}

/// What the pages tell of.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) proxy: Rc<Proxy>,
    pub(crate) state: Rc<State>,
    pub(crate) memory: Rc<Memory>,
    pub(crate) learning: Rc<Learning>,
    pub(crate) files: Rc<[PathBuf]>,
}

/// Takes a metric: its name, its kind, what it is, its values by labels.
pub(crate) type Metric<'a> = dyn FnMut(&str, &str, &str, &[(&str, u64)]) + 'a;

/// Where requests come in.
pub(crate) enum Endpoint {
    Inet(Async<TcpListener>),
    Unix(Async<UnixListener>),
}

impl Endpoint {
    /// Binds it, and says where it is. The file of a unix socket is there for as long as what is given for it.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub(crate) fn bind(address: &Address) -> io::Result<(Self, Address, Option<SocketFile>)> {
        Ok(match address {
            Address::Inet(address) => {
                let listener = Async::<TcpListener>::bind(*address)?;
                let address = listener.get_ref().local_addr()?;
                (Self::Inet(listener), address.into(), None)
            }
            Address::Unix(path) => {
                let mode = Some(SOCKET_MODE);
                let (socket, file) = sys::unix::listen(Path::new(&**path), mode, BACKLOG)?;
                let listener = Async::new(UnixListener::from(socket))?;
                (Self::Unix(listener), address.clone(), Some(file))
            }
        })
    }

    /// The next client. Once connected, the kind of a socket makes no difference.
    async fn accept(&self) -> io::Result<Async<TcpStream>> {
        match self {
            Self::Inet(listener) => Ok(listener.accept().await?.0),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Async::new(TcpStream::from(OwnedFd::from(stream.into_inner()?)))
            }
        }
    }
}

/// Answers requests for as long as it is polled.
pub(crate) async fn serve(listener: Endpoint, executor: Rc<LocalExecutor<'static>>, told: Told) {
    let (begin, end) = channel::bounded(MAX_REQUESTS);
    // Ends with the process: it holds the other end itself.
    while begin.send(()).await.is_ok() {
        let Ok(stream) = listener.accept().await else {
            // No descriptors: the data plane says so; here it is enough to try again.
            Timer::after(Duration::from_secs(1)).await;
            let _ = end.try_recv();
            continue;
        };
        let (end, told) = (end.clone(), told.clone());
        executor
            .spawn(async move {
                let timeout = async {
                    Timer::after(TIMEOUT).await;
                    Err(io::ErrorKind::TimedOut.into())
                };
                // A client that leaves early or is slow gets no answer; nobody else needs to know.
                let _ = or(answer(stream, &told), timeout).await;
                let _ = end.try_recv();
            })
            .detach();
    }
}

async fn answer(mut stream: Async<TcpStream>, told: &Told) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await?;
        if count == 0 || request.len() > MAX_REQUEST_BYTES {
            return Ok(());
        }
        request.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let (status, body) = page(&request, told).await;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.close().await
}

async fn page(request: &[u8], told: &Told) -> (&'static str, String) {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if method != b"GET" {
        // With the field that RFC 9110 section 15.5.6 asks for.
        let status = "405 Method Not Allowed\r\nallow: GET";
        return (status, "only GET\n".to_owned());
    }
    match path.split(|byte| *byte == b'?').next().unwrap_or_default() {
        b"/ready" if told.state.draining.get() => {
            ("503 Service Unavailable", "draining\n".to_owned())
        }
        b"/ready" if !told.state.ready.get() => {
            ("503 Service Unavailable", "waiting for Consul\n".to_owned())
        }
        b"/ready" => ("200 OK", "ready\n".to_owned()),
        b"/stats" | b"/metrics" | b"/stats/prometheus" => ("200 OK", stats(told)),
        b"/status" => ("200 OK", outlook::page(told)),
        b"/explain" => {
            let query = path.splitn(2, |byte| *byte == b'?').nth(1);
            let query = String::from_utf8_lossy(query.unwrap_or_default());
            match explain::page(&query, told).await {
                Some(text) => ("200 OK", text),
                None => (
                    "400 Bad Request",
                    "ask for upstream=NAME or sni=NAME\n".to_owned(),
                ),
            }
        }
        b"/listeners" => {
            let mut body = String::new();
            for (name, address) in told.proxy.listeners() {
                let _ = writeln!(body, "{name}::{address}");
            }
            ("200 OK", body)
        }
        _ => (
            "404 Not Found",
            "pages: /ready /status /stats /listeners /explain?upstream=NAME /explain?sni=NAME\n"
                .to_owned(),
        ),
    }
}

/// The counters in Prometheus's text format. The names must not change.
fn stats(told: &Told) -> String {
    let Told {
        proxy,
        state,
        memory,
        learning,
        ..
    } = told;
    let counters = proxy.counters();
    let mut body = String::with_capacity(2048);
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        let _ = writeln!(body, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(body, "{name}{labels} {value}");
        }
    };
    metric(
        "lictor_connections_total",
        "counter",
        "Connections accepted.",
        &[("", counters.accepted.get())],
    );
    metric(
        "lictor_connections_active",
        "gauge",
        "Connections now open.",
        &[("", counters.active.get())],
    );
    metric(
        "lictor_handshaking",
        "gauge",
        "Of these, connections whose ClientHello is not whole.",
        &[("", counters.handshaking.get())],
    );
    metric(
        "lictor_bytes_total",
        "counter",
        "Bytes of connections that have ended: sent to upstreams, received from them.",
        &[
            ("{direction=\"sent\"}", counters.sent.get()),
            ("{direction=\"received\"}", counters.received.get()),
        ],
    );
    metric(
        "lictor_connect_failures_total",
        "counter",
        "Attempts to connect to an endpoint that failed.",
        &[("", counters.connect_failures.get())],
    );
    metric(
        "lictor_endpoint_ejections_total",
        "counter",
        "How often an endpoint was left out for its failures.",
        &[("", counters.ejections.get())],
    );
    metric(
        "lictor_failover_connections_total",
        "counter",
        "How often a connection went to a target of failover.",
        &[("", counters.failovers.get())],
    );
    metric(
        "lictor_accept_paused_total",
        "counter",
        "How often accepting paused for want of descriptors or memory.",
        &[("", counters.accept_pauses.get())],
    );
    metric(
        "lictor_kernel_tls_offered",
        "gauge",
        "Whether the kernel offers TLS on sockets (kTLS).",
        &[("", u64::from(state.kernel_tls))],
    );
    #[cfg(feature = "ktls")]
    metric(
        "lictor_kernel_tls_total",
        "counter",
        "Connections whose TLS was left to the kernel.",
        &[("", counters.kernel_tls.get())],
    );
    metric(
        "lictor_reloads_total",
        "counter",
        "Reloads of the configuration.",
        &[
            ("{result=\"ok\"}", state.reloads.get()),
            ("{result=\"refused\"}", state.reloads_refused.get()),
        ],
    );
    metric(
        "lictor_state_writes_total",
        "counter",
        "Writes to the state directory.",
        &[
            ("{result=\"ok\"}", memory.counts.writes.get()),
            ("{result=\"failed\"}", memory.counts.failures.get()),
        ],
    );
    metric(
        "lictor_state_bytes_total",
        "counter",
        "Bytes written to the state directory.",
        &[("", memory.counts.bytes.get())],
    );
    metric(
        "lictor_state_pending",
        "gauge",
        "1 while something waits for the write budget.",
        &[("", u64::from(memory.is_pending()))],
    );
    metric(
        "lictor_plan_generation",
        "gauge",
        "Of the plan that is remembered; 0 for none.",
        &[("", memory.counts.generation.get())],
    );
    metric(
        "lictor_clock_behind",
        "gauge",
        "1 while the clock shows a time that has passed for certain.",
        &[("", u64::from(memory.clock().is_behind()))],
    );
    let age = memory.age();
    metric(
        "lictor_plan_stale",
        "gauge",
        "1 while what runs is from memory, as its source cannot be used.",
        &[("", u64::from(age.is_some()))],
    );
    if let Some(Age(Some(age))) = age {
        metric(
            "lictor_plan_age_seconds",
            "gauge",
            "Since what runs from memory was last known to be true.",
            &[("", age.as_secs())],
        );
    }
    let labels: Vec<String> = Cause::ALL
        .iter()
        .map(|cause| format!("{{cause=\"{}\"}}", cause.name()))
        .collect();
    let refused: Vec<(&str, u64)> = labels
        .iter()
        .zip(Cause::ALL)
        .map(|(label, cause)| (label.as_str(), counters.refused(cause)))
        .collect();
    metric(
        "lictor_refused_total",
        "counter",
        "Connections refused, or cut by lictor.",
        &refused,
    );
    let now = memory.clock().seconds();
    for (service, end) in proxy.leaves() {
        let label = format!("{{service=\"{service}\"}}");
        metric(
            "lictor_leaf_seconds_left",
            "gauge",
            "For how long the leaf certificate is good, should nobody renew it.",
            &[(&label, end.saturating_sub(now))],
        );
    }
    learning.metrics(&mut metric);
    body
}
