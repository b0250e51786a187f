//! This machine, as far as a configuration asks for it: files, and the addresses of interfaces.

use std::{io, path::Path};

use config::{Disk, Files, InterfaceAddress, PemFile};
#[cfg(feature = "consul")]
use config::{fill_template, is_template};

/// The machine that the process runs on.
pub(crate) struct Machine;

impl Files for Machine {
    fn read(&self, path: &Path) -> io::Result<PemFile> {
        Disk.read(path)
    }

    fn interfaces(&self) -> io::Result<Vec<InterfaceAddress>> {
        let addresses = sys::interfaces::addresses()?;
        let of = |address: sys::interfaces::Address| InterfaceAddress {
            name: address.interface,
            ip: address.ip,
            prefix: address.prefix,
            up: address.up,
            default: address.default,
        };
        Ok(addresses.into_iter().map(of).collect())
    }
}

/// An argument that may name addresses by interface.
///
/// # Errors
/// What is not understood, or that no address fits.
#[cfg(feature = "consul")]
pub(crate) fn filled(text: &str) -> Result<String, String> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    let interfaces = Machine.interfaces().map_err(|error| error.to_string())?;
    fill_template(text, &interfaces)
}
