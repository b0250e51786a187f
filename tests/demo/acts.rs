//! The acts: what is sent through the two datacenters, and what must become of it.

use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use crate::app;
use crate::client::Session;
use crate::failure::{Failure, while_doing};
use crate::proxy::Proxy;
use crate::screen::{Who, bytes};
use crate::server_name;
use crate::stage::{Event, Node, Record};
use crate::tour::{Tour, closing, millis, passing, short_ids};

const WEB: Who = Who::Client("web");

/// The way from web to api, in order.
const WAY: [Node; 4] = [Node::Web, Node::GatewayDc1, Node::GatewayDc2, Node::Api];

impl Tour<'_> {
    /// A request and its answer.
    pub(crate) fn request(&mut self) -> Result<(), Failure> {
        self.screen.title("\n1  web asks api for a greeting");
        let sni = server_name("api", "dc2");
        self.screen.aside(&format!("SNI {sni}"));
        let start = Instant::now();
        let session = self.connect(WEB, self.entrance(Node::Web))?;
        let greeting = session.get("/").map_err(while_doing("asking api"))?;
        let took = millis(start);
        self.passes(&WAY)?;
        self.asked()?;
        let greeting = String::from_utf8_lossy(&greeting);
        let text = format!("gets \"{}\" {took} after it connected", greeting.trim_end());
        self.screen.step(WEB, &text);
        self.closed()
    }

    /// A body of some size, compared.
    pub(crate) fn transfer(&mut self) -> Result<(), Failure> {
        let size = bytes(as_u64(TRANSFER_BYTES));
        self.screen.title(&format!("\n2  web asks api for {size}"));
        let start = Instant::now();
        let session = self.connect(WEB, self.entrance(Node::Web))?;
        let body = session
            .get(&format!("/bytes/{TRANSFER_BYTES}"))
            .map_err(while_doing("fetching from api"))?;
        let took = millis(start);
        self.passes(&WAY)?;
        self.asked()?;
        if body != app::pattern(TRANSFER_BYTES) {
            return Err(Failure::new("what web got is not what api sent"));
        }
        let size = bytes(as_u64(body.len()));
        let text = format!("gets {size} in {took}, every byte as it was sent");
        self.screen.step(WEB, &text);
        self.closed()
    }

    /// A name that nobody has: dc1 knows the way to dc2, and dc2 knows no such service.
    pub(crate) fn unknown_service(&mut self) -> Result<(), Failure> {
        self.screen
            .title("\n3  web asks for billing, which dc2 does not have");
        let mut billing = self.entrance(Node::Web);
        billing.set_port(billing.port() + 1);
        let answer = self.connect(WEB, billing)?.get("/");
        self.passes(&[Node::GatewayDc1])?;
        self.refuses(Node::GatewayDc2, "unknown_server_name")?;
        self.refuses(Node::Web, "upstream_tls")?;
        self.in_vain(WEB, answer)?;
        self.stage.logged(Node::GatewayDc1, "closed").map(drop)
    }

    /// A service of the mesh that no intention lets in.
    pub(crate) fn denied(&mut self) -> Result<(), Failure> {
        self.screen
            .title("\n4  cron asks api, and no intention lets it in");
        let cron = Who::Client("cron");
        let answer = self.connect(cron, self.entrance(Node::Cron))?.get("/");
        self.passes(&[Node::Cron, Node::GatewayDc1, Node::GatewayDc2])?;
        self.refuses(Node::Api, "intention_denied")?;
        self.refuses(Node::Cron, "upstream_tls")?;
        self.in_vain(cron, answer)?;
        self.over(&[Node::Cron, Node::GatewayDc1, Node::GatewayDc2])
    }

    /// A certificate of a CA that nobody trusts: not the gateways' affair, and very much that of api's
    /// sidecar.
    pub(crate) fn impostor(&mut self) -> Result<(), Failure> {
        self.screen
            .title("\n5  somebody who claims to be web, with a certificate of another CA");
        let impostor = Who::Client("\"web\"");
        let answer = self
            .connect(impostor, self.entrance(Node::Impostor))?
            .get("/");
        self.passes(&[Node::Impostor, Node::GatewayDc1, Node::GatewayDc2])?;
        self.refuses(Node::Api, "tls_handshake")?;
        self.refuses(Node::Impostor, "upstream_tls")?;
        self.in_vain(impostor, answer)?;
        self.over(&[Node::Impostor, Node::GatewayDc1, Node::GatewayDc2])
    }

    /// An intention that changes while a connection is open.
    pub(crate) fn change_of_mind(&mut self) -> Result<(), Failure> {
        self.screen
            .title("\n6  web has a connection open when its intention becomes \"deny\"");
        let mut session = self.connect(WEB, self.entrance(Node::Web))?;
        session
            .begin("/wait")
            .map_err(while_doing("asking api to wait"))?;
        self.passes(&WAY)?;
        self.asked()?;
        self.edit_api(ALLOW, DENY)?;
        self.screen
            .step(Who::Proxy(Node::Api), "takes over its changed file");
        let closed = self.stage.logged(Node::Api, "closed")?;
        let how = closed.field("how");
        self.screen.refusal(
            Who::Proxy(Node::Api),
            &format!("cuts the connection at once: {how}"),
        );
        if how != "intention_denied" {
            return Err(Failure::new("the connection was cut for another reason"));
        }
        let ending = session
            .ending()
            .map_err(while_doing("waiting for the cut"))?;
        self.screen
            .step(WEB, &format!("has its connection {ending}"));
        self.over(&[Node::GatewayDc2, Node::GatewayDc1, Node::Web])?;
        self.edit_api(DENY, ALLOW)?;
        self.screen.step(
            Who::Proxy(Node::Api),
            "takes over its file as it was: web may call again",
        );
        let session = self.connect(WEB, self.entrance(Node::Web))?;
        session
            .get("/")
            .map_err(while_doing("asking api once more"))?;
        self.over(&WAY)?;
        self.screen.step(WEB, "is greeted as before");
        // What was told of this last request on its way is no part of the story.
        self.stage.forget();
        Ok(())
    }

    fn connect(&self, who: Who, to: SocketAddr) -> Result<Session, Failure> {
        let text = format!("connects to {to}, an upstream of its sidecar");
        self.screen.step(who, &text);
        Session::open(to).map_err(while_doing("connecting to a sidecar"))
    }

    /// These proxies hand the connection on.
    fn passes(&mut self, nodes: &[Node]) -> Result<(), Failure> {
        for node in nodes {
            let opened = self.stage.logged(*node, "opened")?;
            self.screen.step(Who::Proxy(*node), &passing(&opened));
        }
        Ok(())
    }

    fn refuses(&mut self, node: Node, cause: &str) -> Result<(), Failure> {
        let refused = self.stage.logged(node, "refused")?;
        let (found, detail) = (refused.field("cause"), refused.field("detail"));
        // Who calls is told by an alert, and gives up.
        let does = if found == "upstream_tls" {
            "gives up"
        } else {
            "refuses"
        };
        let text = format!("{does}, {found}: {}", short_ids(&detail));
        self.screen.refusal(Who::Proxy(node), &text);
        if found == cause {
            return Ok(());
        }
        Err(Failure::new(format!("{node} refused it for another cause")))
    }

    fn in_vain(&self, who: Who, answer: std::io::Result<Vec<u8>>) -> Result<(), Failure> {
        let Err(error) = answer else {
            return Err(Failure::new("api answered, and should not have"));
        };
        self.screen.step(who, &format!("gets no answer: {error}"));
        Ok(())
    }

    fn asked(&mut self) -> Result<(), Failure> {
        let line = self.stage.wait("api to be asked", |event| match event {
            Event::AppAsked(line) => Some(line.clone()),
            _ => None,
        })?;
        self.screen.step(Who::Api, &format!("is asked: {line}"));
        Ok(())
    }

    /// All proxies on the way close the connection; the gateways have carried the same.
    fn closed(&mut self) -> Result<(), Failure> {
        let mut carried: Vec<Record> = Vec::new();
        for node in WAY.iter().rev() {
            let closed = self.stage.logged(*node, "closed")?;
            self.screen.step(Who::Proxy(*node), &closing(&closed));
            if matches!(node, Node::GatewayDc1 | Node::GatewayDc2) {
                carried.push(closed);
            }
        }
        let counts = |closed: &Record| (closed.field("sent"), closed.field("received"));
        if carried.first().map(counts) != carried.last().map(counts) {
            let what = "the gateways did not carry the same number of bytes";
            return Err(Failure::new(what));
        }
        Ok(())
    }

    /// These proxies close the connection, of which nothing more is to be told.
    fn over(&mut self, nodes: &[Node]) -> Result<(), Failure> {
        for node in nodes {
            self.stage.logged(*node, "closed")?;
        }
        Ok(())
    }

    /// Changes the file of api's sidecar, which takes it over by itself.
    fn edit_api(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let file = Proxy::file(Node::Api, &self.pki.directory);
        let text = fs::read_to_string(&file)
            .map_err(while_doing(format!("reading {}", file.display())))?;
        if !text.contains(from) {
            let what = format!("{} does not say: {from}", file.display());
            return Err(Failure::new(what));
        }
        // Written aside and moved over it, so that nobody reads half of it.
        let aside = file.with_extension("new");
        fs::write(&aside, text.replace(from, to))
            .and_then(|()| fs::rename(&aside, &file))
            .map_err(while_doing(format!("changing {}", file.display())))?;
        self.stage.logged(Node::Api, "reloaded").map(drop)
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The intention of `configs/demo/sidecar-api.hcl` that lets web in, and its opposite.
const ALLOW: &str = "{ name = \"web\", action = \"allow\" }";
const DENY: &str = "{ name = \"web\", action = \"deny\" }";

/// Enough to make the proxies move bytes in earnest.
const TRANSFER_BYTES: usize = 16_000_000;
