//! `lictor explain`: where something goes, and which rule says so. By files, by a blob, or by a process that runs.

use std::{
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use config::{Settings, Upstream};
use plan::{Address, Plan, mesh::SidecarRegistration};
use store::Remembered;

use crate::{Exit, admin::Told, command::Explain, job, machine::Machine, outlook::Outlook, plans};

/// For the answer of a process, which may ask Consul first.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked about.
#[derive(Clone, Copy)]
enum Asked<'a> {
    /// A connection that comes in with this server name.
    Sni(&'a str),
    /// An upstream's destination.
    Upstream(&'a str),
}

pub(crate) fn explain(arguments: &Explain) -> Exit {
    let asked = match (&arguments.sni, &arguments.upstream) {
        (Some(name), None) => Asked::Sni(name),
        (None, Some(name)) => Asked::Upstream(name),
        _ => {
            eprintln!("lictor explain: give one of --sni NAME and --upstream NAME");
            return Exit::Usage;
        }
    };
    let files = &arguments.files;
    match (&arguments.blob, &arguments.admin) {
        (None, None) => match plans::load(files) {
            Ok(settings) => {
                print!("{}", by_files(&settings, asked));
                Exit::Ok
            }
            Err(exit) => exit,
        },
        (Some(blob), None) if files.is_empty() => match job::read::<Remembered>(blob) {
            Ok((_, remembered)) => {
                match (by_plan(&remembered.plan, asked), asked) {
                    (said, Asked::Upstream(name)) if said.is_empty() => {
                        println!("no upstream has the destination {name}");
                    }
                    (said, _) => print!("{said}"),
                }
                Exit::Ok
            }
            Err(unreadable) => {
                eprintln!("lictor explain: {unreadable}");
                Exit::Config
            }
        },
        (None, Some(admin)) if files.is_empty() => match by_process(admin, asked) {
            Ok(said) => {
                print!("{said}");
                Exit::Ok
            }
            Err(error) => {
                eprintln!(
                    "lictor explain: {admin}: {error}; does a lictor run with that admin address in its file?"
                );
                Exit::Software
            }
        },
        _ => {
            eprintln!("lictor explain: give one of --admin, --blob and files");
            Exit::Usage
        }
    }
}

/// A Plan holds what is done, and no longer why: not which level decided a gateway mode.
fn by_plan(plan: &Plan, asked: Asked<'_>) -> String {
    let mut text = String::new();
    match asked {
        Asked::Sni(name) => text = plan::explain::server_name(plan, name).to_string(),
        Asked::Upstream(name) => {
            for explained in plan::explain::upstream(plan, name) {
                // Writing to a String cannot fail, here and below.
                let _ = write!(text, "{explained}");
            }
        }
    }
    text
}

fn by_files(settings: &Settings, asked: Asked<'_>) -> String {
    let name = match asked {
        Asked::Sni(_) => return by_plan(&plans::plan(settings), asked),
        Asked::Upstream(name) => name,
    };
    let mut text = upstreams(settings, name);
    if text.is_empty() {
        let known = settings
            .upstreams()
            .filter_map(|(_, upstream, _)| upstream.destination_name.as_deref());
        let known: Vec<&str> = known.collect();
        let known = match known.as_slice() {
            [] => "none is defined".to_owned(),
            known => known.join(", "),
        };
        text = format!("no upstream has the destination {name}; upstreams: {known}\n");
    }
    text
}

fn upstreams(settings: &Settings, name: &str) -> String {
    let mut text = String::new();
    let called = |upstream: &Upstream| upstream.destination_name.as_deref() == Some(name);
    for (sidecar, upstream, mode) in settings.upstreams().filter(|(_, it, _)| called(it)) {
        let _ = writeln!(text, "upstream     {name} of {}", sidecar.name);
        let _ = match (&upstream.destination_peer, &upstream.datacenter) {
            (Some(peer), _) => writeln!(text, "destination  peer {peer}"),
            (None, Some(datacenter)) => writeln!(text, "destination  datacenter {datacenter}"),
            (None, None) => writeln!(
                text,
                "destination  this datacenter: direct, whatever the mode"
            ),
        };
        let _ = writeln!(text, "mode         {mode}");
        for (level, said) in &mode.said {
            let _ = writeln!(text, "             {level} says {said}");
        }
        let registrations = &settings.sidecar_registrations;
        let Some(made) = registrations.iter().find(|it| it.id == sidecar.id) else {
            text.push_str("result       nothing: its sidecar is not run; lictor check says why\n");
            continue;
        };
        let all = sidecar.proxy.upstreams.iter().zip(&made.upstreams);
        for (_, made_of_it) in all.filter(|(given, _)| given.place == upstream.place) {
            for split in &made_of_it.chain.splits {
                let _ = writeln!(text, "chain        {}", split.resolver.target);
                for target in &split.resolver.failover {
                    let _ = writeln!(text, "             else {target}");
                }
            }
            let alone = SidecarRegistration {
                upstreams: vec![made_of_it.clone()],
                ..made.clone()
            };
            let plan = plan::sidecar::plan(&alone, &settings.mesh);
            text.push_str(&by_plan(&plan, Asked::Upstream(name)));
        }
    }
    text
}

/// Asks the process with that admin endpoint.
fn by_process(admin: &Address, asked: Asked<'_>) -> io::Result<String> {
    let (key, name) = match asked {
        Asked::Sni(name) => ("sni", name),
        Asked::Upstream(name) => ("upstream", name),
    };
    if name.bytes().any(|byte| byte <= b' ') {
        let why = "no name has spaces";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut stream = match admin {
        Address::Inet(address) => TcpStream::connect_timeout(address, PATIENCE)?,
        // Once connected, the kind of a socket makes no difference.
        Address::Unix(path) => OwnedFd::from(UnixStream::connect(&**path)?).into(),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /explain?{key}={name} HTTP/1.1\r\nhost: lictor\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        Some((_, body)) if !body.is_empty() => Err(io::Error::other(body.trim_end().to_owned())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The page `/explain` of a process: what Consul said, and what its files say. They are read anew, since they say more than what
/// was made of them; a process runs by its files as soon as they change.
pub(crate) async fn page(query: &str, told: &Told) -> Option<String> {
    let asked = match query.split_once('=')? {
        ("sni", name) => Asked::Sni(name),
        ("upstream", name) => Asked::Upstream(name),
        _ => return None,
    };
    let mut text = String::new();
    if let Some(age) = told.memory.age() {
        let _ = writeln!(text, "note         what runs is from memory, {age}");
    }
    if let Asked::Upstream(_) = asked {
        let outlook = Outlook::of(&told.proxy, told.memory.clock());
        let _ = writeln!(text, "without it   {outlook}");
    }
    let mut local = Plan::default();
    let mut of_files = String::new();
    match &told.files[..] {
        [] => {}
        [blob] if job::is_blob(blob) => match job::read::<Remembered>(blob) {
            Ok((_, remembered)) => {
                of_files = by_plan(&remembered.plan, asked);
                local = remembered.plan;
            }
            Err(unreadable) => {
                let _ = writeln!(text, "note         {unreadable}; what runs is older");
            }
        },
        files => match config::load(files, &Machine) {
            Ok(settings) => {
                if let Asked::Upstream(name) = asked {
                    of_files = upstreams(&settings, name);
                }
                local = plans::plan(&settings);
            }
            Err(errors) => {
                let _ = writeln!(text, "note         what runs is older: {errors}");
            }
        },
    }
    match asked {
        Asked::Sni(_) => text.push_str(&told.learning.beside(&local, &|plan| by_plan(plan, asked))),
        Asked::Upstream(name) => {
            let of_consul = told.learning.explain(name).await;
            if of_consul.is_empty() && of_files.is_empty() {
                let _ = writeln!(text, "no upstream has the destination {name}");
            }
            text.push_str(&of_consul);
            text.push_str(&of_files);
        }
    }
    Some(text)
}
