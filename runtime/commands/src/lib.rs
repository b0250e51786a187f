//! What lictor does when it is called.
//!
//! This room wires the others together: the commands, the log, the admin endpoint, the signals. What a command does
//! stands in the file of its name.

mod admin;
mod blobs;
mod check;
mod command;
mod explain;
#[cfg(feature = "consul")]
mod filled;
mod job;
mod keyless;
#[cfg_attr(not(feature = "consul"), path = "without_consul.rs")]
mod learning;
mod log;
mod machine;
mod materials;
mod memory;
mod names;
mod outlook;
mod plans;
mod process;
mod reload;
#[cfg(feature = "consul")]
mod renewing;
mod run;
mod running;
mod shortage;
mod stderr;
mod tree;
#[cfg(feature = "consul")]
mod wanted;
mod words;

use std::process::ExitCode;

use argh::FromArgs as _;
use command::{Command, Lictor};

/// How the process ends (sysexits(3)); documented in the README and in `lictor --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All went well.
    Ok = 0,
    /// All went well, and the two things compared differ.
    Different = 1,
    /// The command line is not one of ours.
    Usage = 64,
    /// The system refused something, or there is a defect in lictor.
    Software = 70,
    /// The configuration cannot be used.
    Config = 78,
}

/// Does what the command line says; returns how the process ends.
#[must_use]
pub fn main() -> ExitCode {
    // For `lictor check … | head`; a process that runs ignores it. Without it printing would end worse, and no more.
    let _ = sys::signals::end_on_sigpipe();
    let exit = match parse() {
        Ok(Lictor { version: true, .. }) => command::print_version(),
        Ok(Lictor {
            command: Some(command),
            ..
        }) => match command {
            Command::Run(run) => run::run(&run),
            Command::Check(check) => check::check(&check),
            Command::Explain(explain) => explain::explain(&explain),
            Command::Compile(compile) => blobs::compile(&compile),
            Command::Inspect(inspect) => blobs::inspect(&inspect),
            Command::Diff(diff) => blobs::diff(&diff),
        },
        Ok(Lictor { command: None, .. }) => {
            eprintln!("lictor: what to do? Try: lictor check FILE, lictor run FILE, lictor --help");
            Exit::Usage
        }
        Err(exit) => exit,
    };
    ExitCode::from(exit as u8)
}

/// Reads the command line. Help goes to standard output and is no error.
fn parse() -> Result<Lictor, Exit> {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.into_string() {
            Ok(argument) => arguments.push(argument),
            Err(argument) => {
                eprintln!("lictor: argument {argument:?} is not UTF-8");
                return Err(Exit::Usage);
            }
        }
    }
    let arguments = words::ours(arguments).map_err(|why| {
        eprintln!("lictor: {why}");
        Exit::Usage
    })?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Lictor::from_args(&["lictor"], &arguments).map_err(|early| match early.status {
        Ok(()) => {
            println!("{}", early.output);
            Exit::Ok
        }
        Err(()) => {
            eprintln!("{}", early.output.trim_end());
            Exit::Usage
        }
    })
}
