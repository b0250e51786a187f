//! The tour: starts everything, sends the requests, and tells what happens on the way.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use sys::signals::{Signal, Signals};

use crate::client::Session;
use crate::failure::{Failure, while_doing};
use crate::gateway::Gateway;
use crate::pki::Pki;
use crate::screen::{Screen, Who, bytes, short};
use crate::stage::{Event, Record, Site, Stage, gone};
use crate::{TRUST_DOMAIN, app, binary, server_name};

/// What to do after the last request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Stop,
    Stay,
}

/// Everything that runs, and what watches it. Dropped from the top: the gateways end first.
struct Tour<'a> {
    gateways: Vec<Gateway>,
    stage: Stage,
    screen: &'a Screen,
    pki: Pki,
    /// Where the gateway of dc1 listens, as its log says.
    entrance: SocketAddr,
}

/// Runs the demo and gives its verdict.
pub(crate) fn run(screen: &Screen, after: After) -> Result<String, Failure> {
    let lictor = binary::lictor()?;
    let mut tour = Tour::start(screen, &lictor)?;
    tour.request()?;
    tour.transfer()?;
    tour.unknown_service()?;
    tour.impostor()?;
    if after == After::Stay {
        tour.stay(&lictor)?;
    }
    tour.stop()?;
    Ok(String::from(
        "web in dc1 reached api in dc2 through both gateways, unopened; the rest was refused.",
    ))
}

impl<'a> Tour<'a> {
    fn start(screen: &'a Screen, lictor: &Path) -> Result<Self, Failure> {
        let stage = Stage::new();
        watch_signals(&stage)?;
        let mut tour = Self {
            gateways: Vec::new(),
            stage,
            screen,
            pki: Pki::mint()?,
            entrance: ([0, 0, 0, 0], 0).into(),
        };
        screen.title("Two datacenters on this host, and the way from web to api");
        screen.text(PICTURE);
        app::start(&tour.pki, tour.stage.sender())?;
        screen.step(Who::Api, &format!("listens on {}", app::ADDRESS));
        for site in [Site::Dc2, Site::Dc1] {
            let address = tour.start_gateway(site, lictor)?;
            if site == Site::Dc1 {
                tour.entrance = address;
            }
        }
        Ok(tour)
    }

    /// Starts a gateway and gives the address it listens on, once it is ready.
    fn start_gateway(&mut self, site: Site, lictor: &Path) -> Result<SocketAddr, Failure> {
        let start = Instant::now();
        let scratch = &self.pki.directory;
        let gateway = Gateway::start(site, lictor, scratch, &self.stage.sender())?;
        self.gateways.push(gateway);
        self.stage
            .wait(&format!("gateway {site} to be ready"), |event| {
                matches!(event, Event::Ready(ready) if *ready == site).then_some(())
            })?;
        let took = millis(start);
        let address = self.stage.wait(
            &format!("gateway {site} to log where it listens"),
            |event| match event {
                Event::Logged(by, record) if *by == site && record.is("listening") => {
                    record.field("address").parse::<SocketAddr>().ok()
                }
                _ => None,
            },
        )?;
        let file = Gateway::file(site);
        self.screen.step(
            Who::Gateway(site),
            &format!("ready on {address} after {took}, from {}", file.display()),
        );
        Ok(address)
    }

    /// A request and its answer.
    fn request(&mut self) -> Result<(), Failure> {
        let name = server_name("api", "dc2");
        self.screen.title("\n1  web asks api for a greeting");
        let start = Instant::now();
        let session = self.open(&name)?;
        let greeting = session.get("/").map_err(while_doing("asking api"))?;
        let took = millis(start);
        let asked = self.asked()?;
        self.screen.step(Who::Api, &format!("is asked: {asked}"));
        let greeting = String::from_utf8_lossy(&greeting);
        self.screen.step(
            Who::Web,
            &format!(
                "gets \"{}\" {took} after it connected",
                short_ids(greeting.trim_end())
            ),
        );
        self.closed(&name)
    }

    /// A body of some size, compared.
    fn transfer(&mut self) -> Result<(), Failure> {
        let name = server_name("api", "dc2");
        self.screen.title(&format!(
            "\n2  web asks api for {}",
            bytes(as_u64(TRANSFER_BYTES))
        ));
        let session = self.open(&name)?;
        let start = Instant::now();
        let body = session
            .get(&format!("/bytes/{TRANSFER_BYTES}"))
            .map_err(while_doing("fetching from api"))?;
        let took = millis(start);
        let asked = self.asked()?;
        self.screen.step(Who::Api, &format!("is asked: {asked}"));
        if body != app::pattern(TRANSFER_BYTES) {
            return Err(Failure::new("what web got is not what api sent"));
        }
        self.screen.step(
            Who::Web,
            &format!(
                "gets {} in {took}, every byte as it was sent",
                bytes(as_u64(body.len()))
            ),
        );
        self.closed(&name)
    }

    /// The way from web to api, up to the point where both trust each other.
    fn open(&mut self, name: &str) -> Result<Session, Failure> {
        self.connects(name);
        let session = Session::open(self.entrance, name, &self.pki, &self.pki.web)
            .map_err(while_doing("web's TLS handshake with api"));
        // A handshake that fails has a reason on the way; the tour shows how far it came.
        for site in [Site::Dc1, Site::Dc2] {
            self.passes(site, name)?;
        }
        let session = session?;
        let (id, version) = self.stage.wait("api to trust web", |event| match event {
            Event::AppTrusts(id, version) => Some((id.clone(), version.clone())),
            _ => None,
        })?;
        self.screen.step(
            Who::Api,
            &format!("trusts {} ({version}, client certificate)", short(&id)),
        );
        let (server, version) = (short(&session.server), &session.version);
        self.screen.step(
            Who::Web,
            &format!("trusts {server} ({version}, as asked for)"),
        );
        Ok(session)
    }

    fn connects(&self, name: &str) {
        self.screen.aside(&format!("SNI {name}"));
        let text = format!("connects to {}, wants {}", self.entrance, short(name));
        self.screen.step(Who::Web, &text);
    }

    /// A gateway hands the connection on.
    fn passes(&mut self, site: Site, name: &str) -> Result<(), Failure> {
        let opened = self.stage.logged(site, "opened", name)?;
        self.screen.step(Who::Gateway(site), &passing(&opened));
        Ok(())
    }

    fn asked(&mut self) -> Result<String, Failure> {
        self.stage.wait("api to be asked", |event| match event {
            Event::AppAsked(line) => Some(line.clone()),
            _ => None,
        })
    }

    /// Both gateways close the connection, having carried the same.
    fn closed(&mut self, name: &str) -> Result<(), Failure> {
        let mut carried = Vec::new();
        for site in [Site::Dc2, Site::Dc1] {
            let closed = self.stage.logged(site, "closed", name)?;
            self.screen.step(Who::Gateway(site), &closing(&closed));
            carried.push((closed.field("sent"), closed.field("received")));
        }
        if carried.first() != carried.last() {
            return Err(Failure::new(
                "the gateways did not carry the same number of bytes",
            ));
        }
        Ok(())
    }

    /// A name that nobody has: dc1 knows the way to dc2, and dc2 knows no such service.
    fn unknown_service(&mut self) -> Result<(), Failure> {
        let name = server_name("billing", "dc2");
        self.screen
            .title("\n3  web asks for billing, which dc2 does not have");
        self.connects(&name);
        let session = Session::open(self.entrance, &name, &self.pki, &self.pki.web);
        self.passes(Site::Dc1, &name)?;
        let refused = self.stage.logged(Site::Dc2, "refused", &name)?;
        let (cause, detail) = (refused.field("cause"), refused.field("detail"));
        let between = if detail.is_empty() { "" } else { ": " };
        self.screen.refusal(
            Who::Gateway(Site::Dc2),
            &format!("refuses, {cause}{between}{}", short_ids(&detail)),
        );
        if cause != "unknown_server_name" {
            return Err(Failure::new("billing was refused for the wrong cause"));
        }
        self.closed_in_vain(session, &name)
    }

    /// A certificate of a CA that api does not trust: not the gateways' affair, and api's very
    /// much.
    fn impostor(&mut self) -> Result<(), Failure> {
        let name = server_name("api", "dc2");
        self.screen
            .title("\n4  somebody who claims to be web, with a certificate of another CA");
        self.connects(&name);
        // In TLS 1.3 a client learns only after its own last flight what the server says to it.
        let answer = Session::open(self.entrance, &name, &self.pki, &self.pki.impostor)
            .and_then(|session| session.get("/"));
        for site in [Site::Dc1, Site::Dc2] {
            self.passes(site, &name)?;
        }
        let reason = self
            .stage
            .wait("api to refuse the impostor", |event| match event {
                Event::AppRefuses(reason) => Some(reason.clone()),
                _ => None,
            })?;
        self.screen
            .refusal(Who::Api, &format!("refuses the client: {reason}"));
        let Err(error) = answer else {
            return Err(Failure::new(
                "api answered a client it has no reason to trust",
            ));
        };
        self.screen
            .step(Who::Web, &format!("gets no answer: {error}"));
        for site in [Site::Dc2, Site::Dc1] {
            self.stage.logged(site, "closed", &name)?;
        }
        Ok(())
    }

    fn closed_in_vain(&mut self, session: io::Result<Session>, name: &str) -> Result<(), Failure> {
        let Err(error) = session else {
            return Err(Failure::new(format!(
                "{name} answered, and nobody should have"
            )));
        };
        self.screen
            .step(Who::Web, &format!("gets no connection: {error}"));
        self.stage.logged(Site::Dc1, "closed", name)?;
        Ok(())
    }

    /// Shows what comes until Ctrl-C.
    fn stay(&mut self, lictor: &Path) -> Result<(), Failure> {
        self.screen
            .title("\nAll of it stays up until Ctrl-C. In another terminal:");
        self.screen.text(&self.suggestions(lictor));
        loop {
            match self.stage.next() {
                Event::Interrupted => return Ok(()),
                Event::Gone(site, said) => return Err(gone(site, &said)),
                Event::Logged(site, record) => self.show(site, &record),
                Event::AppTrusts(id, version) => self
                    .screen
                    .step(Who::Api, &format!("trusts {} ({version})", short(&id))),
                Event::AppAsked(line) => self.screen.step(Who::Api, &format!("is asked: {line}")),
                Event::AppRefuses(reason) => {
                    self.screen
                        .refusal(Who::Api, &format!("refuses the client: {reason}"));
                }
                Event::Ready(_) => {}
            }
        }
    }

    fn show(&self, site: Site, record: &Record) {
        let who = Who::Gateway(site);
        match record.field("event").as_str() {
            "opened" => self.screen.step(who, &passing(record)),
            "closed" => self.screen.step(who, &closing(record)),
            "listening" | "ready" => {}
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
        let (lictor, here) = (lictor.display(), self.pki.directory.display());
        let (entrance, name) = (self.entrance, server_name("api", "dc2"));
        let (dc1, dc2) = (Gateway::file(Site::Dc1), Gateway::file(Site::Dc2));
        let (dc1, dc2) = (dc1.display(), dc2.display());
        format!(
            "
   # be web: the whole way, with OpenSSL in place of the client
   printf 'GET / HTTP/1.1\\r\\n\\r\\n' | openssl s_client -quiet -connect {entrance} \\
     -servername {name} \\
     -cert {here}/web.pem -key {here}/web-key.pem -CAfile {here}/ca.pem -verify_return_error

   # the same without a certificate (leave out -cert and -key), or for a name nobody has

   # where would a name go, and why?
   {lictor} explain --sni {name} {dc1}
   {lictor} explain --sni {name} {dc2}
   {lictor} explain --sni nobody.default.dc3.internal.{TRUST_DOMAIN} {dc1}

   # what has a gateway done so far?
   curl http://127.1.0.10:19000/stats

   # change {dc2} and save it: the gateway takes it over, or says why not
"
        )
    }

    /// Ends the gateways, which must do so properly.
    fn stop(mut self) -> Result<(), Failure> {
        self.screen.text("");
        for gateway in std::mem::take(&mut self.gateways) {
            let site = gateway.site();
            gateway.drain()?;
            self.stage
                .wait(&format!("gateway {site} to end"), |event| {
                    matches!(event, Event::Gone(gone, _) if *gone == site).then_some(())
                })?;
            let status = gateway.ended()?;
            if !status.success() {
                let what = format!("gateway {site} was told to stop and ended with {status}");
                return Err(Failure::new(what));
            }
            let text = "is told to stop (SIGTERM), and ends with 0";
            self.screen.step(Who::Gateway(site), text);
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

fn millis(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1000.0)
}

fn passing(opened: &Record) -> String {
    let (cluster, upstream) = (opened.field("cluster"), opened.field("upstream"));
    format!("passes it on to {upstream} (cluster {})", short(&cluster))
}

fn closing(closed: &Record) -> String {
    let count = |name| {
        closed
            .field(name)
            .parse()
            .map_or_else(|_| closed.field(name), bytes)
    };
    format!("is done: {} up, {} down", count("sent"), count("received"))
}

/// A sentence with SPIFFE IDs and server names in it, without the trust domain.
fn short_ids(text: &str) -> String {
    text.replace(&format!("spiffe://{TRUST_DOMAIN}"), "")
        .replace(&format!(".{TRUST_DOMAIN}"), "")
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

const PICTURE: &str = "
   dc1                                      dc2
   web ── mTLS ──> gateway 127.1.0.10 ────> gateway 127.2.0.10 ────> api 127.2.0.20
   └──────────────────────── one TLS connection, end to end ───────────────┘
";

/// Enough to make the gateways move bytes in earnest.
const TRANSFER_BYTES: usize = 16_000_000;
