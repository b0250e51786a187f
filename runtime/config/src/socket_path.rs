//! Paths and modes of unix sockets, as Consul names them: `local_service_socket_path`,
//! `local_bind_socket_path` and `local_bind_socket_mode`
//! (<https://developer.hashicorp.com/consul/docs/connect/proxies/proxy-config-reference>).
//!
//! Nothing is looked up on disk here: whether a socket can be had is known when it is bound.

use plan::Address;

/// The longest path of a socket, in bytes: what fits `sun_path` with its terminator (unix(7)).
const MAX_PATH_BYTES: usize = 107;
/// Permissions of user, group and others (chmod(2)).
const MAX_MODE: u32 = 0o777;

/// The address that a path means.
pub(crate) fn socket_path(path: &str) -> Result<Address, String> {
    // Relative to what would be another question in every unit file.
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("'{path}' is no absolute path of a socket"));
    }
    if path.len() > MAX_PATH_BYTES {
        let length = path.len();
        return Err(format!(
            "a socket's path has at most {MAX_PATH_BYTES} bytes, this one {length}"
        ));
    }
    if path.contains('\0') {
        return Err("a path holds no zero byte".to_owned());
    }
    Ok(Address::Unix(path.into()))
}

/// The mode that octal digits mean.
pub(crate) fn socket_mode(digits: &str) -> Result<u32, String> {
    let octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    octal
        .then(|| u32::from_str_radix(digits, 8).ok())
        .flatten()
        .filter(|mode| *mode <= MAX_MODE)
        .ok_or_else(|| {
            format!("'{digits}' is no mode; give octal digits in quotes, as in \"0660\"")
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_absolute_and_fits_a_socket_address() {
        let fits = format!("/{}", "a".repeat(106));
        assert_eq!(socket_path(&fits), Ok(Address::Unix(fits.as_str().into())));
        for wrong in [
            "",
            "run/a.sock",
            "@a",
            "/",
            "/run/",
            "/a\0b",
            &format!("{fits}b"),
        ] {
            assert!(socket_path(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_kept_as_it_was_written(path in "/?[a-z@\\x00/.é]{0,120}", digits in "[0-9+o ]{0,5}") {
            if let Ok(address) = socket_path(&path) {
                prop_assert_eq!(address.to_string(), path.clone());
                prop_assert!(path.starts_with('/') && path.len() <= MAX_PATH_BYTES);
            }
            if let Ok(mode) = socket_mode(&digits) {
                let plain = digits.trim_start_matches('0');
                let written = if mode == 0 { String::new() } else { format!("{mode:o}") };
                prop_assert_eq!(written, plain);
            }
        }
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(socket_mode("0660"), Ok(0o660));
        assert_eq!(socket_mode("7"), Ok(0o007));
        // 384 is what HCL makes of 0600 without quotes.
        for wrong in ["", "384", "+7", "0o600", "1777", "77777777777", "rw"] {
            assert!(socket_mode(wrong).is_err(), "{wrong:?}");
        }
    }
}
