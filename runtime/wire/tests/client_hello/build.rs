//! Builds first flights, good and bad, the plain way: lists of bytes with lengths put before them.

/// What goes into a hello; [`Hello::default`] is a small good one without extensions.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) session: Vec<u8>,
    pub(crate) suites: Vec<u8>,
    pub(crate) compression: Vec<u8>,
    /// `None` leaves the whole block out, as some clients before TLS 1.3 did.
    pub(crate) extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            session: vec![7; 32],
            suites: vec![0x13, 0x01],
            compression: vec![0],
            extensions: Some(Vec::new()),
        }
    }
}

impl Hello {
    /// A hello that asks for `name`.
    pub(crate) fn asking(name: &[u8]) -> Self {
        Self::default().with(0, sni(&[(0, name)]))
    }

    /// Adds one extension.
    pub(crate) fn with(mut self, kind: u16, content: Vec<u8>) -> Self {
        self.extensions
            .get_or_insert_default()
            .push((kind, content));
        self
    }

    /// The handshake message, with its header.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([42; 32]);
        body.extend(vector8(&self.session));
        body.extend(vector16(&self.suites));
        body.extend(vector8(&self.compression));
        if let Some(extensions) = &self.extensions {
            let block = extensions
                .iter()
                .flat_map(|(kind, content)| {
                    [kind.to_be_bytes().to_vec(), vector16(content)].concat()
                })
                .collect::<Vec<u8>>();
            body.extend(vector16(&block));
        }
        handshake(1, &body)
    }

    /// The message in one record.
    pub(crate) fn flight(&self) -> Vec<u8> {
        records(&self.message(), &[])
    }
}

/// A handshake message of this type.
pub(crate) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// `message` in records of these lengths; what is left over goes into one more.
pub(crate) fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = message;
    for &length in lengths.iter().chain(&[message.len()]) {
        let (part, tail) = rest.split_at(length.min(rest.len()));
        if !part.is_empty() {
            out.extend([22, 3, 1]);
            out.extend(vector16(part));
        }
        rest = tail;
    }
    out
}

/// The content of a server_name extension.
pub(crate) fn sni(names: &[(u8, &[u8])]) -> Vec<u8> {
    let entries = names
        .iter()
        .flat_map(|(kind, name)| [vec![*kind], vector16(name)].concat());
    vector16(&entries.collect::<Vec<u8>>())
}

/// The content of an ALPN extension.
pub(crate) fn alpn<T: AsRef<[u8]>>(names: &[T]) -> Vec<u8> {
    vector16(
        &names
            .iter()
            .flat_map(|name| vector8(name.as_ref()))
            .collect::<Vec<u8>>(),
    )
}

pub(crate) fn vector8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

pub(crate) fn vector16(content: &[u8]) -> Vec<u8> {
    [
        &u16::try_from(content.len()).unwrap().to_be_bytes(),
        content,
    ]
    .concat()
}
