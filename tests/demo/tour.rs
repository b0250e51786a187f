//! The tour: starts everything, has the acts played, shows what comes, and stops everything.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use sys::signals::{Signal, Signals};

use crate::failure::{Failure, while_doing};
use crate::pki::Pki;
use crate::proxy::Proxy;
use crate::screen::{Screen, Who, bytes, short};
use crate::stage::{Event, Node, Record, Stage, gone};
use crate::{TRUST_DOMAIN, app, binary, server_name};

/// What to do after the last act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Stop,
    Stay,
}

/// Everything that runs, and what watches it. Dropped from the top: the proxies end first.
pub(crate) struct Tour<'a> {
    proxies: Vec<Proxy>,
    pub(crate) stage: Stage,
    pub(crate) screen: &'a Screen,
    pub(crate) pki: Pki,
    /// Where each proxy takes what the demo sends, as its log says.
    entrances: Vec<(Node, SocketAddr)>,
}

/// Runs the demo and gives its verdict.
pub(crate) fn run(screen: &Screen, after: After) -> Result<String, Failure> {
    let lictor = binary::lictor()?;
    let mut tour = Tour::start(screen, &lictor)?;
    tour.request()?;
    tour.transfer()?;
    tour.unknown_service()?;
    tour.denied()?;
    tour.impostor()?;
    tour.change_of_mind()?;
    if after == After::Stay {
        tour.stay(&lictor)?;
    }
    tour.stop()?;
    Ok(String::from(
        "web in dc1 reached api in dc2 through two sidecars and two gateways; the rest was refused.",
    ))
}

impl<'a> Tour<'a> {
    fn start(screen: &'a Screen, lictor: &Path) -> Result<Self, Failure> {
        let stage = Stage::new();
        watch_signals(&stage)?;
        let mut tour = Self {
            proxies: Vec::new(),
            stage,
            screen,
            pki: Pki::mint()?,
            entrances: Vec::new(),
        };
        screen.title("Two datacenters on this host, and the way from web to api");
        screen.text(PICTURE);
        app::start(tour.stage.sender())?;
        screen.step(Who::Api, &format!("listens on {}", app::ADDRESS));
        for node in Node::ALL {
            tour.start_proxy(node, lictor)?;
        }
        Ok(tour)
    }

    /// Starts a proxy and learns where it listens, once it is ready.
    fn start_proxy(&mut self, node: Node, lictor: &Path) -> Result<(), Failure> {
        let start = Instant::now();
        let scratch = &self.pki.directory;
        let proxy = Proxy::start(node, lictor, scratch, &self.stage.sender())?;
        self.proxies.push(proxy);
        self.stage.wait(&format!("{node} to be ready"), |event| {
            matches!(event, Event::Ready(ready) if *ready == node).then_some(())
        })?;
        let took = millis(start);
        let (address, is_doubted) = (self.listening(node, node.listener())?, self.doubted(node));
        self.entrances.push((node, address));
        let text = format!("ready on {address} after {took}, from {}", node.original());
        self.screen.step(Who::Proxy(node), &text);
        if let Some(doubt) = is_doubted {
            self.screen.aside(&format!("{:<13} and warns: {doubt}", ""));
        }
        Ok(())
    }

    /// The address of a listener, from the log.
    fn listening(&mut self, node: Node, listener: &str) -> Result<SocketAddr, Failure> {
        let what = format!("{node} to log where it listens");
        self.stage.wait(&what, |event| match event {
            Event::Logged(by, record) if *by == node && record.is("listening") => {
                let name = record.field("name");
                let stem = name.split([':', '?']).next();
                (stem == Some(listener)).then(|| record.field("address").parse().ok())?
            }
            _ => None,
        })
    }

    /// What a proxy has said against its own certificate before it was ready.
    fn doubted(&mut self, node: Node) -> Option<String> {
        let record = self.stage.seen(|event| match event {
            Event::Logged(by, record) if *by == node && record.is("doubtful_identity") => {
                Some(record.clone())
            }
            _ => None,
        })?;
        let detail = record.field("detail");
        let (_, doubt) = detail.split_once("identity.web: ")?;
        Some(short_ids(doubt.split(" (/").next().unwrap_or(doubt)))
    }

    /// Where a proxy takes what the demo sends.
    pub(crate) fn entrance(&self, node: Node) -> SocketAddr {
        let known = self.entrances.iter().find(|(known, _)| *known == node);
        known.map_or(([0, 0, 0, 0], 0).into(), |(_, address)| *address)
    }

    /// Shows what comes until Ctrl-C.
    fn stay(&mut self, lictor: &Path) -> Result<(), Failure> {
        self.screen
            .title("\nAll of it stays up until Ctrl-C. In another terminal:");
        self.screen.text(&self.suggestions(lictor));
        loop {
            match self.stage.next() {
                Event::Interrupted => return Ok(()),
                Event::Gone(node, said) => return Err(gone(node, &said)),
                Event::Logged(node, record) => self.show(node, &record),
                Event::AppAsked(line) => self.screen.step(Who::Api, &format!("is asked: {line}")),
                Event::Ready(_) => {}
            }
        }
    }

    fn show(&self, node: Node, record: &Record) {
        let who = Who::Proxy(node);
        match record.field("event").as_str() {
            "opened" => self.screen.step(who, &passing(record)),
            "closed" => self.screen.step(who, &closing(record)),
            "listening" | "ready" | "doubtful_identity" => {}
            event => {
                let fields = record.0.as_object().into_iter().flatten();
                let text: Vec<String> = fields
                    .filter(|(name, _)| !["time", "level", "event"].contains(&name.as_str()))
                    .map(|(name, _)| format!("{name}={}", record.field(name)))
                    .collect();
                let text = format!("{event} {}", text.join(" "));
                if event.contains("refused") {
                    self.screen.refusal(who, &text);
                } else {
                    self.screen.step(who, &text);
                }
            }
        }
    }

    fn suggestions(&self, lictor: &Path) -> String {
        let lictor = lictor.display();
        let name = server_name("api", "dc2");
        let file = |node| Proxy::file(node, &self.pki.directory).display().to_string();
        let (web, api) = (file(Node::Web), file(Node::Api));
        let (dc1, dc2) = (file(Node::GatewayDc1), file(Node::GatewayDc2));
        let (as_web, as_cron) = (self.entrance(Node::Web), self.entrance(Node::Cron));
        format!(
            "
   # be web, then cron; what becomes of it is shown here
   curl http://{as_web}/
   curl http://{as_cron}/

   # which way does a call go, and why? where does a name go?
   {lictor} explain --upstream api {web}
   {lictor} explain --sni {name} {dc1}
   {lictor} explain --sni {name} {dc2}
   {lictor} explain --sni nobody.default.dc3.internal.{TRUST_DOMAIN} {dc1}

   # what would a file run, and are its certificates any good?
   {lictor} check {api}

   # what has a proxy done so far?
   curl http://127.2.0.20:19000/stats

   # let cron in: add it to the sources in {api}
   # and save; the sidecar takes it over, or says why not
"
        )
    }

    /// Ends the proxies, which must do so properly.
    fn stop(mut self) -> Result<(), Failure> {
        self.screen.text("");
        for proxy in std::mem::take(&mut self.proxies).into_iter().rev() {
            let node = proxy.node();
            proxy.drain()?;
            self.stage.wait(&format!("{node} to end"), |event| {
                matches!(event, Event::Gone(gone, _) if *gone == node).then_some(())
            })?;
            let status = proxy.ended()?;
            if !status.success() {
                let what = format!("{node} was told to stop and ended with {status}");
                return Err(Failure::new(what));
            }
            let text = "is told to stop (SIGTERM), and ends with 0";
            self.screen.step(Who::Proxy(node), text);
        }
        Ok(())
    }
}

/// Turns Ctrl-C and its like into an event. Called before there is any other thread.
fn watch_signals(stage: &Stage) -> Result<(), Failure> {
    let signals = Signals::new(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup])
        .map_err(while_doing("watching for signals"))?;
    let events = stage.sender();
    thread::spawn(move || {
        let mut readable = [PollFd::new(&signals, PollFlags::IN)];
        while poll(&mut readable, None).is_err() {}
        // Nobody listens any more when the demo is ending by itself.
        let _ = events.send(Event::Interrupted);
    });
    Ok(())
}

pub(crate) fn millis(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1000.0)
}

/// What a proxy does with a connection that it hands on.
pub(crate) fn passing(opened: &Record) -> String {
    let (identity, upstream) = (opened.field("identity"), opened.field("upstream"));
    let cluster = opened.field("cluster");
    // The cluster of an upstream is named for sidecar, upstream and server name.
    match cluster.rsplit_once('~') {
        Some(_) if !identity.is_empty() => {
            format!("lets in {}, passes it on to {upstream}", short(&identity))
        }
        Some((_, name)) => format!("makes it TLS to {}, by way of {upstream}", short(name)),
        None => format!("passes it on to {upstream} (cluster {})", short(&cluster)),
    }
}

pub(crate) fn closing(closed: &Record) -> String {
    let count = |name| {
        closed
            .field(name)
            .parse()
            .map_or_else(|_| closed.field(name), bytes)
    };
    format!("is done: {} up, {} down", count("sent"), count("received"))
}

/// A sentence with SPIFFE IDs and server names in it, without the trust domain.
pub(crate) fn short_ids(text: &str) -> String {
    text.replace(&format!("spiffe://{TRUST_DOMAIN}"), "")
        .replace(&format!(".{TRUST_DOMAIN}"), "")
}

const PICTURE: &str = "
   dc1                                             dc2
   web ──> sidecar web ══> gateway dc1 ══════════> gateway dc2 ══> sidecar api ──> api
           └───────────── one mutual TLS connection, end to end ─────────────┘
   plain TCP                                                               plain TCP
";
