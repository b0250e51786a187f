//! The real lictor: started on files of a test, awaited by its readiness notice, ended with the test.
//!
//! The binary is the one that the environment variable `LICTOR_BIN` names, else the one that lies
//! beside the test program in cargo's target directory, the release build first. Readiness is what
//! lictor itself says on `$NOTIFY_SOCKET` (sd_notify(3)), never a pause.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::log::Log;
use crate::netns::Namespace;
use crate::proc::Proc;
use crate::temp::TempDir;
use crate::wait::{DEADLINE, until_true};

/// How lictor is to be started.
#[derive(Debug)]
pub struct Launch {
    home: TempDir,
    beside: Option<Arc<TempDir>>,
    prefix: Vec<OsString>,
    /// What comes after `run`; its own file if there is nothing.
    arguments: Vec<OsString>,
    env: Vec<(&'static str, PathBuf)>,
    preloaded: Vec<PathBuf>,
}

impl Launch {
    /// On this file, which is written to a directory of its own.
    pub fn new(file: &str) -> Self {
        let home = TempDir::new();
        home.write(CONFIG, file);
        Self {
            home,
            beside: None,
            prefix: Vec::new(),
            arguments: Vec::new(),
            env: Vec::new(),
            preloaded: Vec::new(),
        }
    }

    /// On what these arguments of `lictor run` name; there need not be anything.
    pub fn with<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut launch = Self::new("");
        launch.arguments = arguments.into_iter().map(Into::into).collect();
        launch
    }

    fn command(&mut self) -> Command {
        let mut words = self.prefix.drain(..).chain([binary().into()]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("run");
        if self.arguments.is_empty() {
            command.arg(self.home.file(CONFIG));
        }
        command.args(&self.arguments);
        command.envs(self.env.drain(..));
        if !self.preloaded.is_empty() {
            let libraries = std::env::join_paths(self.preloaded.drain(..));
            command.env("LD_PRELOAD", libraries.expect("no path has a colon"));
        }
        command
    }

    /// With a variable of the environment.
    pub fn env(mut self, name: &'static str, value: PathBuf) -> Self {
        self.env.push((name, value));
        self
    }

    /// With a library that stands before those that it is linked to (ld.so(8)).
    pub fn preload(mut self, library: PathBuf) -> Self {
        self.preloaded.push(library);
        self
    }

    /// With another directory that it reads from, kept as long as it runs.
    pub fn beside(mut self, directory: Arc<TempDir>) -> Self {
        self.beside = Some(directory);
        self
    }

    /// With at most so many open descriptors.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.prefix
            .extend(["prlimit".into(), format!("--nofile={most}:{most}").into()]);
        self
    }

    /// With everything read-only except this directory, as on a machine whose root is (mount_namespaces(7)).
    pub fn writing_only(mut self, directory: &Path) -> Self {
        let shell = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro / && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", shell].map(OsString::from);
        let words = words.into_iter().chain([directory.into()]);
        self.prefix.splice(0..0, words);
        self
    }

    /// In a network namespace, and with the resolv.conf that belongs to it.
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        let enter = ["ip", "netns", "exec", namespace.name()];
        self.prefix.splice(0..0, enter.map(OsString::from));
        self
    }

    /// Starts it and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends instead, or says nothing within the deadline.
    pub fn start(self) -> Lictor {
        let mut lictor = self.begin();
        lictor.wait_for_notice("READY=1");
        lictor
    }

    /// Starts it, whether it will be ready or not.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn begin(mut self) -> Lictor {
        let notify = Notify::new(&self.home);
        let mut command = self.command();
        command
            .env("NOTIFY_SOCKET", &notify.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("lictor can be started");
        let log = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        Lictor {
            child,
            log,
            notify,
            home: self.home,
            _beside: self.beside,
        }
    }

    /// Starts it and waits until it ends by itself.
    ///
    /// # Panics
    /// When it still runs after the deadline.
    pub fn run_to_end(mut self) -> (ExitStatus, String) {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("lictor can be started");
        let log = Log::follow(child.stderr.take().expect("standard error is a pipe"));
        let status = end(&mut child, &log);
        (status, log.to_end())
    }
}

/// A lictor that runs. It is killed when the value goes.
#[derive(Debug)]
pub struct Lictor {
    child: Child,
    /// What it has written to standard error.
    pub log: Log,
    notify: Notify,
    home: TempDir,
    _beside: Option<Arc<TempDir>>,
}

impl Lictor {
    /// What the kernel says of it.
    pub fn proc(&self) -> Proc {
        Proc(self.child.id())
    }

    /// The file that it runs from.
    pub fn config(&self) -> PathBuf {
        self.home.file(CONFIG)
    }

    /// Puts another file in the place of its own, the way a careful editor does: written aside,
    /// then moved over it. It may take notice by itself; see [`Lictor::reload`].
    pub fn rewrite(&self, file: &str) {
        let aside = self.home.write(".gateway.hcl.new", file);
        std::fs::rename(aside, self.config()).expect("a file can be moved in its own directory");
    }

    /// Asks it to read its files again.
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to finish what it does and end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process number"), signal).expect("the process is ours");
    }

    /// Does something while it is stopped: it finds all of that at once when it goes on.
    pub fn while_stopped(&self, act: impl FnOnce()) {
        self.signal(Signal::STOP);
        until_true("it stops", || self.proc().is_stopped());
        act();
        self.signal(Signal::CONT);
    }

    /// Waits for a notice to the service manager that has this line.
    pub fn wait_for_notice(&mut self, line: &str) -> String {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if let Some(notice) = self.notify.next() {
                if notice.lines().any(|have| have == line) {
                    return notice;
                }
            } else if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "lictor ended ({status}) before {line}; its log:\n{}",
                    self.log.text()
                );
            }
        }
        panic!(
            "lictor did not say {line} in {DEADLINE:?}; its log:\n{}",
            self.log.text()
        );
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it still runs after the deadline.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        end(&mut self.child, &self.log)
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Lictor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- the log of lictor, process {}\n{}",
                self.child.id(),
                self.log.text()
            );
        }
    }
}

/// Runs lictor with these arguments to its end, as an operator does by hand.
pub fn lictor<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null());
    command.output().expect("lictor can be started")
}

/// Lets this process, and every lictor that it starts, have as many descriptors as it may have at
/// all, and keeps other scenarios that need thousands of them waiting as long as the guard lives.
///
/// # Panics
/// When that is not enough for the largest.
pub fn many_descriptors() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        most >= DESCRIPTORS,
        "this needs {DESCRIPTORS} descriptors: raise `ulimit -Hn`"
    );
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a soft limit can be raised to the hard one");
    guard
}

/// The program under test.
///
/// # Panics
/// When it is nowhere to be found.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LICTOR_BIN") {
        return path.into();
    }
    let program = std::env::current_exe().expect("a program knows where it lies");
    let target = program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    let target = target.expect("a test lies in cargo's target directory");
    let found = ["release", "debug"].map(|profile| target.join(profile).join("lictor"));
    let found = found.into_iter().find(|path| path.exists());
    found
        .expect("no lictor to test: `cargo build --release -p lictor` makes one, or set LICTOR_BIN")
}

fn end(child: &mut Child, log: &Log) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            assert_eq!(
                status.signal(),
                None,
                "lictor was killed; its log:\n{}",
                log.text()
            );
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!(
        "lictor did not end in {DEADLINE:?}; its log:\n{}",
        log.text()
    );
}

/// The service manager's side of sd_notify(3).
#[derive(Debug)]
struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notify {
    fn new(home: &TempDir) -> Self {
        let path = home.file("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be made");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a timeout can be set");
        Self {
            socket,
            path: Path::new(&path).to_owned(),
        }
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        match self.socket.recv(&mut bytes) {
            Ok(length) => Some(String::from_utf8_lossy(bytes.get(..length)?).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("the notify socket: {error}"),
        }
    }
}

/// 10,000 connections, or both ends of 5,000, and the other scenarios that run meanwhile.
const DESCRIPTORS: u64 = 12_000;

/// The file's name in lictor's directory.
const CONFIG: &str = "gateway.hcl";

/// How long to wait for a notice before looking whether the process still runs.
const LOOK: Duration = Duration::from_millis(50);
