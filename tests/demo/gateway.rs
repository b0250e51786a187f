//! A gateway: the real binary, run on a file of `configs/demo/`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Failure, while_doing};
use crate::stage::{Event, Record, Site};

/// A running gateway. Ends with this value.
pub(crate) struct Gateway {
    site: Site,
    child: Child,
}

impl Gateway {
    /// The file a gateway runs on, as seen from the top of the repository.
    pub(crate) fn file(site: Site) -> PathBuf {
        PathBuf::from(format!("configs/demo/gateway-{site}.hcl"))
    }

    /// Starts `lictor`; the events say when it is ready, what it logs, and when it has ended.
    ///
    /// Its notify socket lies in `scratch`.
    pub(crate) fn start(
        site: Site,
        lictor: &Path,
        scratch: &Path,
        events: &Sender<Event>,
    ) -> Result<Self, Failure> {
        let path = scratch.join(format!("notify-{site}"));
        let notify = UnixDatagram::bind(&path)
            .map_err(while_doing(format!("making the socket {}", path.display())))?;
        let mut child = Command::new(lictor)
            .arg("run")
            .arg(Self::file(site))
            .current_dir(crate::binary::repository())
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for the demo, which then ends the gateways in order.
            .process_group(0)
            .spawn()
            .map_err(while_doing(format!("starting {}", lictor.display())))?;
        let log = child.stderr.take();
        let gateway = Self { site, child };

        let sender = events.clone();
        thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok(length) = notify.recv(&mut message) {
                let message = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                if message.lines().any(|line| line == "READY=1")
                    && sender.send(Event::Ready(site)).is_err()
                {
                    return;
                }
            }
        });
        let sender = events.clone();
        thread::spawn(move || {
            let mut said = String::new();
            for line in log.into_iter().flat_map(|log| BufReader::new(log).lines()) {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(record) => {
                        if sender.send(Event::Logged(site, Record(record))).is_err() {
                            return;
                        }
                    }
                    Err(_) => said = format!("{said}{line}\n"),
                }
            }
            // Nobody listens any more when the demo itself is ending.
            let _ = sender.send(Event::Gone(site, said));
        });
        Ok(gateway)
    }

    /// Asks the gateway to finish what it carries and to end; [`Event::Gone`] says when it has.
    pub(crate) fn drain(&self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(while_doing(format!("stopping gateway {}", self.site)))
    }

    /// The exit status of a gateway that has ended.
    pub(crate) fn ended(mut self) -> Result<ExitStatus, Failure> {
        let what = format!("waiting for gateway {}", self.site);
        self.child.wait().map_err(while_doing(what))
    }

    pub(crate) fn site(&self) -> Site {
        self.site
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Does nothing to one that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
