//! The `mesh` config entry: what holds for all proxies (1.10 and newer).
//!
//! <https://developer.hashicorp.com/consul/docs/connect/config-entries/mesh>

use plan::TlsParameters;

use crate::{
    answers::service::texts,
    json::{self, NotUnderstood, Read, Reader},
};

/// What the entry says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// For connections that come in.
    pub incoming: TlsParameters,
    /// For connections that go out.
    pub outgoing: TlsParameters,
}

/// Reads the answer of `/v1/config/mesh`: one entry at most.
///
/// # Errors
/// The place where it is no such answer.
pub fn tls(body: &[u8]) -> Result<Tls, NotUnderstood> {
    json::whole(body, |reader| {
        let entries = reader.items(|reader| {
            reader.fields(Tls::default(), |tls, key, value| match key {
                "TLS" => value.object(&mut |key, value| {
                    match key {
                        "Incoming" => tls.incoming = parameters(value)?,
                        "Outgoing" => tls.outgoing = parameters(value)?,
                        _ => {}
                    }
                    Ok(())
                }),
                _ => Ok(()),
            })
        })?;
        Ok(entries.into_iter().next().unwrap_or_default())
    })
}

/// What is none of the versions that we speak is left to whoever negotiates, who refuses it.
fn parameters(reader: &mut Reader<'_>) -> Read<TlsParameters> {
    let version = |text: String| {
        if text == "TLS_AUTO" {
            String::new()
        } else {
            text
        }
    };
    reader.fields(TlsParameters::default(), |tls, key, value| {
        match key {
            "TLSMinVersion" => tls.min_version = version(value.text()?),
            "TLSMaxVersion" => tls.max_version = version(value.text()?),
            "CipherSuites" => texts(value, &mut tls.cipher_suites)?,
            _ => {}
        }
        Ok(())
    })
}
