//! The ACL token that requests are made with (<https://developer.hashicorp.com/consul/docs/security/acl/tokens>).
//!
//! A token that lies in a file is read anew when the file is another one or was written, so that it can be replaced while
//! lictor runs. A token is never shown, and wiped when it is replaced.

use std::{
    cell::RefCell,
    fmt, fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    rc::Rc,
};

use zeroize::Zeroizing;

use crate::Error;

/// Where the token comes from.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// There is none: requests are the anonymous token's.
    #[default]
    Anonymous,
    /// It was given, as by `CONSUL_HTTP_TOKEN`.
    Given(Zeroizing<String>),
    /// The first line of this file.
    File(PathBuf),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Given(_) => f.write_str("Given"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The token as it is now.
pub(crate) struct Token {
    source: TokenSource,
    read: RefCell<Option<ReadFile>>,
}

struct ReadFile {
    version: Version,
    token: Rc<Zeroizing<String>>,
}

/// What differs when a file was written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Token {
    pub(crate) fn new(source: TokenSource) -> Self {
        Self {
            source,
            read: RefCell::new(None),
        }
    }

    /// The token to use now; `None` is the anonymous one.
    pub(crate) fn now(&self) -> Result<Option<Rc<Zeroizing<String>>>, Error> {
        match &self.source {
            TokenSource::Anonymous => Ok(None),
            TokenSource::Given(token) => Ok(Some(Rc::new(token.clone()))),
            TokenSource::File(path) => self
                .of_file(path)
                .map(Some)
                .map_err(|error| Error::File(path.clone(), error)),
        }
    }

    /// The file that it lies in.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            TokenSource::File(path) => Some(path),
            _ => None,
        }
    }

    fn of_file(&self, path: &Path) -> io::Result<Rc<Zeroizing<String>>> {
        let version = version(path)?;
        let mut read = self.read.borrow_mut();
        if let Some(read) = read.as_ref().filter(|read| read.version == version) {
            return Ok(Rc::clone(&read.token));
        }
        let mut text = Zeroizing::new(String::new());
        fs::File::open(path)?
            .take(MAX_FILE_BYTES)
            .read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its first line is no token",
            ));
        }
        let token = Rc::new(Zeroizing::new(line.to_owned()));
        *read = Some(ReadFile {
            version,
            token: Rc::clone(&token),
        });
        Ok(token)
    }
}

pub(crate) fn version(path: &Path) -> io::Result<Version> {
    let about = fs::metadata(path)?;
    Ok(Version {
        inode: about.ino(),
        length: about.len(),
        changed: (about.ctime(), about.ctime_nsec()),
    })
}

/// A token is a UUID, or a word of that order.
const MAX_FILE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_was_written_or_replaced() {
        let path = std::env::temp_dir().join(format!("lictor-token-{}", std::process::id()));
        let token = Token::new(TokenSource::File(path.clone()));
        assert!(token.now().is_err());
        let now = || token.now().map(|token| token.unwrap().to_string());
        fs::write(&path, "one\n").unwrap();
        assert_eq!(now().unwrap(), "one");
        fs::write(&path, "  two, longer?\n".replace(", ", "-")).unwrap();
        assert_eq!(now().unwrap(), "two-longer?");
        let aside = path.with_extension("new");
        fs::write(&aside, "six-longer?").unwrap();
        fs::rename(&aside, &path).unwrap();
        assert_eq!(now().unwrap(), "six-longer?");
        for bad in ["", "\n", "a b", "a\u{1}"] {
            fs::write(&path, bad).unwrap();
            assert!(
                now().unwrap_err().to_string().contains("no token"),
                "{bad:?}"
            );
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_token_is_not_shown() {
        let given = TokenSource::Given(Zeroizing::new("hush".to_owned()));
        assert!(!format!("{given:?}").contains("hush"));
    }
}
