//! The spelling of `consul connect envoy` on the command line: one dash, and values after `=`, as all programs in Go have it.
//!
//! Whoever replaces that command keeps its words, so `-sidecar-for=web-1` is `--sidecar-for web-1`. A word of Consul's that is none
//! here is told with what to write instead; the table is in the README, too.
//! <https://developer.hashicorp.com/consul/commands/connect/envoy>

/// The same words in our own spelling.
///
/// # Errors
/// One of them is only Consul's: it, and what to do.
pub(crate) fn ours(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let runs = arguments.first().is_some_and(|command| command == "run");
    let mut words = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let Some(word) = argument.strip_prefix('-') else {
            words.push(argument);
            continue;
        };
        let word = word.strip_prefix('-').unwrap_or(word);
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        if name.len() < 2 || !name.bytes().all(letters) {
            words.push(argument);
            continue;
        }
        if let Some(instead) = instead(name).filter(|_| runs) {
            return Err(format!("-{name} of consul connect envoy: {instead}"));
        }
        // In Go a switch may say that it is off.
        let switch = matches!(name, "register" | "deregister" | "expose-servers");
        match value {
            Some("false") if switch => {}
            Some("true") if switch => words.push(format!("--{name}")),
            value => {
                words.push(format!("--{name}"));
                words.extend(value.map(str::to_owned));
            }
        }
    }
    Ok(words)
}

/// What takes the place of a word that is Consul's alone.
fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "token" => {
            "everyone on the machine can read an argument; set CONSUL_HTTP_TOKEN, or give --token-file FILE"
        }
        "ca-file" | "client-cert" | "client-key" | "tls-server-name" => {
            "set CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME, or tls { } in lictor { consul { } }"
        }
        "ca-path" => "folders of CAs are not read; name one file in CONSUL_CACERT",
        "admin-bind" => "write admin = \"IP:PORT\" or \"unix:///PATH\" in lictor { } of a file",
        "mesh-gateway" => "write --gateway mesh",
        "deregister-after-critical" => {
            "it is six hours; for another time register the gateway by a file of the agent's"
        }
        "namespace" | "partition" => "only the default ones are supported",
        "grpc-addr"
        | "envoy-binary"
        | "envoy-version"
        | "bootstrap"
        | "no-central-config"
        | "admin-access-log-path" => "there is no Envoy here; leave it out",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Result<String, String> {
        let words = line.split(' ').map(str::to_owned).collect();
        ours(words).map(|words| words.join(" "))
    }

    #[test]
    fn consuls_spelling_is_taken_and_ours_is_left() {
        for (line, expected) in [
            (
                "run -gateway=mesh -register -wan-address [::1]:443 own.hcl",
                "run --gateway mesh --register --wan-address [::1]:443 own.hcl",
            ),
            (
                "run --sidecar-for web-1 -http-addr=https://a:1?b=c",
                "run --sidecar-for web-1 --http-addr https://a:1?b=c",
            ),
            (
                "run -register=true -expose-servers=false -gateway mesh",
                "run --register --gateway mesh",
            ),
            ("compile -o out.blob a.hcl", "compile -o out.blob a.hcl"),
            (
                "run -bind-address=lan=10.0.0.1:8443",
                "run --bind-address lan=10.0.0.1:8443",
            ),
            ("explain -sni a.b -- -x", "explain --sni a.b -- -x"),
            ("check -", "check -"),
        ] {
            assert_eq!(said(line).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_consuls_alone_is_told_with_what_to_do() {
        for (line, part) in [
            ("run -token=secret", "CONSUL_HTTP_TOKEN"),
            ("run --ca-file ca.pem", "CONSUL_CACERT"),
            ("run -mesh-gateway", "--gateway mesh"),
            ("run -grpc-addr localhost:8502", "no Envoy"),
        ] {
            let why = said(line).expect_err(line);
            assert!(why.contains(part) && !why.contains("secret"), "{why}");
        }
        assert!(said("explain -token x").is_ok());
    }
}
