"""Where what comes is not what the RFC asks for, and why that is left so. In each the connection ends,
nothing of it reaches the app, and only the word for it differs, save for the one that says echo."""

SNIFFED = "lictor looks into the ClientHello before TLS does, and calls all that it cannot read so"
NO_TLS = "what does not begin as TLS is not answered by TLS: it may be HTTP, or a port scan"
INCOMPATIBLE = "rustls has one alert for a ClientHello that leaves out what it needs"
OLD = "rustls looks for signature schemes first, which these versions have none of"
NO_ALERT = "rustls ends the connection over this without an alert"

# What comes, and why, by the name and the version of a conversation.
DIFFERS = {
    ("hello: TLS 1.1", "TLS 1.1"): ("handshake_failure", OLD),
    ("hello: TLS 1.0", "TLS 1.0"): ("handshake_failure", OLD),
    ("hello: no groups", "TLS 1.3"): ("handshake_failure", INCOMPATIBLE),
    ("hello: no signature schemes", "TLS 1.3"): ("handshake_failure", INCOMPATIBLE),
    ("hello: no key shares named", "TLS 1.3"): ("handshake_failure", INCOMPATIBLE),
    ("hello: a Finished first", "TLS 1.3"): ("decode_error", SNIFFED),
    ("hello: a record too long first", "TLS 1.3"): ("decode_error", SNIFFED),
    ("hello: data first", "TLS 1.3"): ("closed", NO_TLS),
    ("hello: a record of no kind first", "TLS 1.3"): ("closed", NO_TLS),
    ("proof: a message without end", "TLS 1.3"): ("closed", NO_ALERT),
    ("proof: an empty record of a handshake", "TLS 1.3"): (
        "echo",
        "rustls passes over up to 32 empty records in a row; what counts, that they are bounded, holds",
    ),
    ("proof: a key exchange of nothing", "TLS 1.2"): ("closed", NO_ALERT),
    ("proof: no ChangeCipherSpec", "TLS 1.2"): ("closed", NO_ALERT),
}
