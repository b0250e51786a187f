//! What the environment says of Consul, in the variables of Consul's own commands
//! (<https://developer.hashicorp.com/consul/commands#environment-variables>).

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::{Address, Error, Settings, TokenSource, address::Scheme};

impl Settings {
    /// Takes over what the environment says. `variable` gives the value of a variable that is set.
    ///
    /// # Errors
    ///
    /// A variable has a value that cannot be used, or asks for what is not done here.
    pub fn take_environment(
        &mut self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        if let Some(text) = variable("CONSUL_HTTP_ADDR") {
            self.take_address(&text)?;
        }
        if let Some(text) = variable("CONSUL_HTTP_SSL") {
            let ssl = flag(&text).ok_or(Error::Variable(
                "CONSUL_HTTP_SSL",
                "it is neither true nor false",
            ))?;
            for address in self.addresses.iter_mut().filter(|_| ssl) {
                if let Address::Tcp { scheme, .. } = address {
                    *scheme = Scheme::Https;
                }
            }
        }
        if variable("CONSUL_HTTP_SSL_VERIFY").is_some_and(|text| flag(&text) != Some(true)) {
            let why = "a server that is not verified could be anyone; name its CA in CONSUL_CACERT instead";
            return Err(Error::Variable("CONSUL_HTTP_SSL_VERIFY", why));
        }
        if variable("CONSUL_CAPATH").is_some() {
            let why = "folders of CAs are not read; name one file in CONSUL_CACERT";
            return Err(Error::Variable("CONSUL_CAPATH", why));
        }
        // As for Consul's commands, the file goes first.
        if let Some(file) = path("CONSUL_HTTP_TOKEN_FILE") {
            self.token = TokenSource::File(file);
        } else if let Some(token) = variable("CONSUL_HTTP_TOKEN") {
            self.token = TokenSource::Given(Zeroizing::new(token));
        }
        if let Some(ca) = path("CONSUL_CACERT") {
            self.tls.ca = Some(ca);
        }
        match (path("CONSUL_CLIENT_CERT"), path("CONSUL_CLIENT_KEY")) {
            (Some(chain), Some(key)) => self.tls.own = Some((chain, key)),
            (None, None) => {}
            _ => {
                let why = "it goes with CONSUL_CLIENT_KEY; set both or neither";
                return Err(Error::Variable("CONSUL_CLIENT_CERT", why));
            }
        }
        if let Some(name) = variable("CONSUL_TLS_SERVER_NAME") {
            self.tls.server_name = Some(name);
        }
        Ok(())
    }

    /// Asks there and nowhere else; several addresses have commas between.
    ///
    /// # Errors
    ///
    /// One is no address.
    pub fn take_address(&mut self, text: &str) -> Result<(), Error> {
        let one = |text: &str| {
            let text = text.trim();
            Address::new(text).map_err(|why| Error::Address(text.to_owned(), why))
        };
        self.addresses = text.split(',').map(one).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// As Go reads a boolean.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| {
            let mut all = variables.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let mut settings = Settings::default();
        let taken = settings.take_environment(&find);
        taken.map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_the_local_agent() {
        assert_eq!(of(&[("CONSUL_HTTP_ADDR", "")]), Ok(Settings::default()));
    }

    #[test]
    fn all_of_it_is_taken() {
        let settings = of(&[
            ("CONSUL_HTTP_ADDR", "10.0.0.1:8501"),
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_TOKEN", "hush"),
            ("CONSUL_HTTP_TOKEN_FILE", "/t"),
            ("CONSUL_CACERT", "/ca"),
            ("CONSUL_CLIENT_CERT", "/c"),
            ("CONSUL_CLIENT_KEY", "/k"),
            ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
        ])
        .unwrap();
        assert_eq!(settings.addresses[0].to_string(), "https://10.0.0.1:8501");
        assert_eq!(settings.token, TokenSource::File("/t".into()));
        assert_eq!(settings.tls.ca, Some("/ca".into()));
        assert_eq!(settings.tls.own, Some(("/c".into(), "/k".into())));
        assert_eq!(
            settings.tls.server_name.as_deref(),
            Some("server.dc1.consul")
        );
    }

    #[test]
    fn several_addresses_have_commas_between() {
        let settings = of(&[("CONSUL_HTTP_ADDR", "https://a:1, b")]).unwrap();
        let addresses: Vec<String> = settings.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["https://a:1", "http://b:8500"]);
        assert!(of(&[("CONSUL_HTTP_ADDR", "a,")]).is_err());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (name, value) in [
            ("CONSUL_HTTP_ADDR", "ftp://x"),
            ("CONSUL_HTTP_SSL", "yes"),
            ("CONSUL_HTTP_SSL_VERIFY", "false"),
            ("CONSUL_CAPATH", "/etc/ssl"),
            ("CONSUL_CLIENT_CERT", "/c"),
        ] {
            let error = of(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) || error.contains(value), "{error}");
        }
        assert!(of(&[("CONSUL_HTTP_SSL_VERIFY", "true")]).is_ok());
    }
}
