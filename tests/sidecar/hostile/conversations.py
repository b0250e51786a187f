"""The conversations, and what must come of each.

Each is a name, a version, what must come of it, and what is said otherwise than it should be. What
must come of it is the alert of RFC 8446 or RFC 5246, one of several where the RFC leaves a choice,
or "echo" where the client is odd and yet right, so that bytes go to the app and back.
"""

import os

from hello import (
    GROUPS,
    PSK,
    SCHEMES,
    SHARES,
    VERSIONS,
    Hello,
    extension,
    field,
    hello,
    share,
    sized,
)
from hello import without
from peer import (
    ALERT,
    CCS,
    CERTIFICATE,
    CERTIFICATE_REQUEST,
    DATA,
    FINISHED,
    HANDSHAKE,
    HEARTBEAT,
    HELLO,
    KEY_EXCHANGE,
    KEY_UPDATE,
    TICKET,
    TLS12,
    TLS13,
    VERIFY,
    Message,
    before,
    behind,
    body,
    drop,
    handshake,
    instead,
    twice,
)

ZERO, X25519, P256, X448 = bytes(32), 0x001D, 0x0017, 0x001E
BAD = ("decode_error", "illegal_parameter")
MAC = ("bad_record_mac", "decrypt_error")


def flip(data, at=-1):
    """One bit is other."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def message(kind, data):
    return Message(kind, bytearray(data))


def say(*messages):
    """After the handshake: these, encrypted."""
    return {"after": lambda peer: [peer.say(each) for each in messages]}


def records(*bodies, kind=DATA):
    """After the handshake: these bytes as records, not encrypted."""
    return {"after": lambda peer: [peer.record(kind, each) for each in bodies]}


def sealed(inner, **more):
    return {"after": lambda peer: peer.sealed(inner, **more)}


def update(peer, request=0):
    for _ in peer.send_keyupdate_request(request):
        pass


def updates(*requests):
    return {"after": lambda peer: [update(peer, request) for request in requests]}


def twist(made):
    return {"twist": made}


def record_first(kind, data, version=(3, 1)):
    """The first record is this one, and then comes the ClientHello."""

    def made(peer, message):
        if message.contentType == HANDSHAKE and message.write()[0] == HELLO:
            peer.record(kind, data, version)
        return [message]

    return twist(made)


def cut(message):
    """A handshake message in records of 40 bytes."""
    data = message.write()
    return [Message(HANDSHAKE, data[at : at + 40]) for at in range(0, len(data), 40)]


def in_pieces(peer, message):
    return cut(message) if message.contentType == HANDSHAKE else [message]


def doubled_extension(parts):
    parts.extensions.append(parts.extensions[0])


def psk_before_others(parts):
    identity = sized(sized(b"nobody", 2) + bytes(4), 2)
    parts.extensions.insert(0, (PSK, identity + sized(sized(ZERO, 1), 2)))
    parts.put(45, b"\1\1")


def unknown_psk(parts):
    parts.put(45, b"\1\1")
    identity = sized(sized(b"nobody", 2) + bytes(4), 2)
    parts.extensions.append((PSK, identity + sized(sized(ZERO, 1), 2)))


def greased(parts):
    """Values that stand for what is to come (RFC 8701)."""
    parts.suites = b"\x1a\x1a" + parts.suites
    parts.extensions.insert(0, (0x2A2A, b""))
    parts.put(VERSIONS, sized(b"\x3a\x3a\x03\x04", 1))


HELLOS = [
    ("a client that does all as it should", TLS13, "echo", {}),
    ("a client that does all as it should", TLS12, "echo", {}),
    *(
        (f"only {cipher}", version, "echo", {"cipherNames": [cipher]})
        for cipher in ("aes128gcm", "aes256gcm", "chacha20-poly1305")
        for version in (TLS12, TLS13)
    ),
    *(
        # The curve of the certificate must be there too.
        (
            f"only {curve}",
            version,
            "echo",
            {"eccCurves": [curve, "secp256r1"], "keyShares": [curve]},
        )
        for curve in ("x25519", "secp256r1", "secp384r1")
        for version in (TLS12, TLS13)
    ),
    ("no key share, so that it is asked for", TLS13, "echo", {"keyShares": []}),
    ("values that nobody knows", TLS13, "echo", twist(hello(greased))),
    ("a session to resume that nobody knows", TLS13, "echo", twist(hello(unknown_psk))),
    ("all of the handshake in small records", TLS13, "echo", twist(in_pieces)),
    ("all of the handshake in small records", TLS12, "echo", twist(in_pieces)),
    ("no extended master secret", TLS12, "echo", {"useExtendedMasterSecret": False}),
    ("TLS 1.1", (3, 2), "protocol_version", {}),
    ("TLS 1.0", (3, 1), "protocol_version", {}),
    (
        "versions of tomorrow alone",
        TLS13,
        "protocol_version",
        twist(extension(VERSIONS, b"\2\3\5")),
    ),
    ("no version", TLS13, BAD, twist(extension(VERSIONS, b"\0"))),
    (
        "no cipher suite that we have",
        TLS13,
        "handshake_failure",
        twist(field("suites", b"\x13\x05")),
    ),
    ("no cipher suite at all", TLS13, BAD, twist(field("suites", b""))),
    ("half a cipher suite", TLS13, "decode_error", twist(field("suites", b"\x13\x01\x13"))),
    ("no compression", TLS13, BAD, twist(field("compressions", b""))),
    ("compression alone", TLS13, BAD, twist(field("compressions", b"\1"))),
    ("a session id too long", TLS13, BAD, twist(field("session", bytes(33)))),
    ("an extension twice", TLS13, BAD, twist(hello(doubled_extension))),
    ("bytes behind the extensions", TLS13, "decode_error", twist(field("tail", b"\0"))),
    ("a hello cut short", TLS13, "decode_error", twist(body(HELLO, lambda data: data[:-3]))),
    ("a hello of nothing", TLS13, "decode_error", twist(body(HELLO, lambda data: b""))),
    ("no groups", TLS13, ("missing_extension", *BAD), twist(without(GROUPS))),
    ("no group that we have", TLS13, "handshake_failure", twist(extension(GROUPS, b"\0\2\0\x1e"))),
    ("no signature schemes", TLS13, "missing_extension", twist(without(SCHEMES))),
    ("only schemes of RSA", TLS13, "handshake_failure", twist(extension(SCHEMES, b"\0\2\x08\4"))),
    ("only schemes of SHA-1", TLS12, "handshake_failure", twist(extension(SCHEMES, b"\0\2\2\3"))),
    ("no key shares named", TLS13, "missing_extension", twist(without(SHARES))),
    ("a share of zeroes", TLS13, BAD, twist(extension(SHARES, share(X25519, ZERO)))),
    ("a share too short", TLS13, BAD, twist(extension(SHARES, share(X25519, ZERO[1:])))),
    (
        "a share off the curve",
        TLS13,
        BAD,
        {"eccCurves": ["secp256r1"], "keyShares": ["secp256r1"]}
        | twist(extension(SHARES, share(P256, b"\4" + b"\1" * 64))),
    ),
    ("shares cut short", TLS13, "decode_error", twist(extension(SHARES, share(X25519, ZERO)[:-1]))),
    (
        "no share, asked for it, none again",
        TLS13,
        BAD,
        {"keyShares": []} | twist(extension(SHARES, b"\0\0")),
    ),
    ("the session to resume not last", TLS13, "illegal_parameter", twist(hello(psk_before_others))),
    ("the hello twice", TLS12, "unexpected_message", twist(twice(HELLO))),
    (
        "a Finished first",
        TLS13,
        "unexpected_message",
        twist(before(HELLO, handshake(FINISHED, ZERO))),
    ),
    ("data first", TLS13, "unexpected_message", record_first(DATA, b"GET / HTTP/1.0\r\n\r\n")),
    ("a record of no kind first", TLS13, "unexpected_message", record_first(99, b"what?")),
    (
        "an empty record first",
        TLS13,
        ("unexpected_message", "decode_error"),
        record_first(HANDSHAKE, b""),
    ),
    (
        "a record too long first",
        TLS13,
        "record_overflow",
        record_first(HANDSHAKE, bytes(2**14 + 1)),
    ),
    ("an alert first", TLS13, "closed", record_first(ALERT, b"\2\x28")),
]

PROOFS = [
    ("no certificate", TLS13, "certificate_required", {"anonymous": True}),
    ("no certificate", TLS12, ("handshake_failure", "certificate_required"), {"anonymous": True}),
    (
        "a Certificate with a context",
        TLS13,
        BAD,
        twist(body(CERTIFICATE, lambda it: b"\1x" + it[1:])),
    ),
    (
        "a Certificate cut short",
        TLS13,
        "decode_error",
        twist(body(CERTIFICATE, lambda it: it[:-2])),
    ),
    (
        "a Certificate cut short",
        TLS12,
        "decode_error",
        twist(body(CERTIFICATE, lambda it: it[:-2])),
    ),
    (
        "bytes behind a Certificate",
        TLS13,
        "decode_error",
        twist(body(CERTIFICATE, lambda it: it + b"\0")),
    ),
    ("a Certificate of nothing", TLS13, "decode_error", twist(body(CERTIFICATE, lambda it: b""))),
    (
        "a certificate that is none",
        TLS13,
        "bad_certificate",
        twist(body(CERTIFICATE, lambda it: flip(it, 8))),
    ),
    (
        "a certificate that is none",
        TLS12,
        "bad_certificate",
        twist(body(CERTIFICATE, lambda it: flip(it, 6))),
    ),
    (
        "a certificate with another signature",
        TLS13,
        ("bad_certificate", "unknown_ca", "decrypt_error"),
        twist(body(CERTIFICATE, lambda it: flip(it, -3))),
    ),
    (
        "a certificate with another signature",
        TLS12,
        ("bad_certificate", "unknown_ca", "decrypt_error"),
        twist(body(CERTIFICATE, lambda it: flip(it, -1))),
    ),
    ("two Certificates", TLS13, "unexpected_message", twist(twice(CERTIFICATE))),
    ("two Certificates", TLS12, "unexpected_message", twist(twice(CERTIFICATE))),
    ("no CertificateVerify", TLS13, "unexpected_message", twist(drop(VERIFY))),
    ("no CertificateVerify", TLS12, "unexpected_message", twist(drop(VERIFY))),
    ("no Certificate, and proof of it", TLS13, "unexpected_message", twist(drop(CERTIFICATE))),
    ("proof that is wrong", TLS13, "decrypt_error", twist(body(VERIFY, flip))),
    ("proof that is wrong", TLS12, "decrypt_error", twist(body(VERIFY, flip))),
    ("proof of another scheme", TLS13, BAD, twist(body(VERIFY, lambda it: b"\2\3" + it[2:]))),
    ("proof of another scheme", TLS12, BAD, twist(body(VERIFY, lambda it: b"\2\3" + it[2:]))),
    (
        "proof of nothing",
        TLS13,
        ("decode_error", "decrypt_error"),
        twist(body(VERIFY, lambda it: it[:2] + b"\0\0")),
    ),
    ("proof cut short", TLS13, "decode_error", twist(body(VERIFY, lambda it: it[:-1]))),
    ("bytes behind the proof", TLS13, "decode_error", twist(body(VERIFY, lambda it: it + b"\0"))),
    ("proof twice", TLS13, "unexpected_message", twist(twice(VERIFY))),
    ("proof twice", TLS12, "unexpected_message", twist(twice(VERIFY))),
    ("a Finished that is wrong", TLS13, "decrypt_error", twist(body(FINISHED, flip))),
    ("a Finished that is wrong", TLS12, "decrypt_error", twist(body(FINISHED, flip))),
    (
        "a Finished cut short",
        TLS13,
        ("decrypt_error", "decode_error"),
        twist(body(FINISHED, lambda it: it[:-1])),
    ),
    (
        "a Finished of nothing",
        TLS13,
        ("decrypt_error", "decode_error"),
        twist(body(FINISHED, lambda it: b"")),
    ),
    (
        "bytes behind a Finished",
        TLS13,
        ("decrypt_error", "decode_error"),
        twist(body(FINISHED, lambda it: it + b"\0")),
    ),
    (
        "data in the place of Finished",
        TLS13,
        "unexpected_message",
        twist(instead(FINISHED, lambda _: [message(DATA, b"x")])),
    ),
    (
        "data before Finished",
        TLS13,
        "unexpected_message",
        twist(before(FINISHED, message(DATA, b"x"))),
    ),
    (
        "data before Finished",
        TLS12,
        "unexpected_message",
        twist(before(FINISHED, message(DATA, b"x"))),
    ),
    (
        "a KeyUpdate before Finished",
        TLS13,
        "unexpected_message",
        twist(before(FINISHED, handshake(KEY_UPDATE, b"\0"))),
    ),
    (
        "an unknown message",
        TLS13,
        "unexpected_message",
        twist(before(FINISHED, handshake(77, b"x"))),
    ),
    (
        "a message without end",
        TLS13,
        ("decode_error", "illegal_parameter", "unexpected_message"),
        twist(before(FINISHED, message(HANDSHAKE, b"\x0b\xff\xff\xff" + bytes(9000)))),
    ),
    (
        "an empty record of a handshake",
        TLS13,
        ("unexpected_message", "decode_error"),
        twist(before(FINISHED, message(HANDSHAKE, b""))),
    ),
    ("no key exchange", TLS12, "unexpected_message", twist(drop(KEY_EXCHANGE))),
    ("two key exchanges", TLS12, "unexpected_message", twist(twice(KEY_EXCHANGE))),
    (
        "a key of zeroes",
        TLS12,
        ("illegal_parameter", "decode_error", "handshake_failure"),
        twist(body(KEY_EXCHANGE, lambda it: bytes([len(it) - 1]) + bytes(len(it) - 1))),
    ),
    ("a key too short", TLS12, BAD, twist(body(KEY_EXCHANGE, lambda it: b"\4four"))),
    ("a key exchange of nothing", TLS12, "decode_error", twist(body(KEY_EXCHANGE, lambda it: b""))),
    ("no ChangeCipherSpec", TLS12, ("unexpected_message", "bad_record_mac"), twist(drop("ccs"))),
    (
        "ChangeCipherSpec too early",
        TLS12,
        "unexpected_message",
        twist(before(KEY_EXCHANGE, message(CCS, b"\1"))),
    ),
    (
        "ChangeCipherSpec of another kind",
        TLS12,
        ("unexpected_message", *BAD),
        twist(instead("ccs", lambda _: [message(CCS, b"\2")])),
    ),
    (
        "ChangeCipherSpec of another kind",
        TLS13,
        ("unexpected_message", *BAD),
        twist(before(CERTIFICATE, message(CCS, b"\2"))),
    ),
    (
        "ChangeCipherSpec of two bytes",
        TLS13,
        ("unexpected_message", *BAD),
        twist(before(CERTIFICATE, message(CCS, b"\1\1"))),
    ),
    (
        "a fatal alert in the middle",
        TLS13,
        "closed",
        twist(before(FINISHED, message(ALERT, b"\2\x28"))),
    ),
]

AFTER = [
    ("an empty record of data", TLS13, "echo", say(message(DATA, b""))),
    ("an empty record of data", TLS12, "echo", say(message(DATA, b""))),
    (
        "records with padding",
        TLS13,
        "echo",
        {"padding_cb": lambda length, kind, most: min(most, 100)},
    ),
    ("new keys", TLS13, "echo", updates(0)),
    ("new keys, and those of the other side", TLS13, "echo", updates(1)),
    ("new keys again and again", TLS13, "echo", updates(0, 1, 0, 1)),
    ("new keys of no kind", TLS13, BAD, say(handshake(KEY_UPDATE, b"\2"))),
    ("new keys cut short", TLS13, "decode_error", say(handshake(KEY_UPDATE, b""))),
    (
        "new keys, and more under the old ones",
        TLS13,
        "unexpected_message",
        say(message(HANDSHAKE, handshake(KEY_UPDATE, b"\0").data * 2)),
    ),
    ("a record that was changed", TLS13, MAC, sealed(b"hi\x17", spoil=flip)),
    ("a record that was changed", TLS12, MAC, records(bytes(64))),
    ("a record too short for its tag", TLS13, (*MAC, "decode_error"), records(b"short")),
    ("a record too short for its tag", TLS12, (*MAC, "decode_error"), records(b"short")),
    ("an empty record, not encrypted", TLS13, (*MAC, "decode_error"), records(b"")),
    ("a record of zeroes, without a kind", TLS13, "unexpected_message", sealed(bytes(64))),
    ("a record of no kind", TLS13, "unexpected_message", sealed(b"what?\x63")),
    ("a record too long", TLS13, "record_overflow", sealed(bytes(2**14 + 1) + b"\x17")),
    ("a record far too long", TLS13, "record_overflow", records(bytes(2**14 + 257))),
    ("a record far too long", TLS12, "record_overflow", records(bytes(2**14 + 2049))),
    ("plaintext", TLS13, (*MAC, "unexpected_message"), records(b"hello, do you hear me?")),
    (
        "plaintext of a handshake",
        TLS13,
        (*MAC, "unexpected_message"),
        records(os.urandom(40), kind=HANDSHAKE),
    ),
    ("a heartbeat", TLS13, "unexpected_message", say(message(HEARTBEAT, b"\1\0\x10" + bytes(20)))),
    ("a heartbeat", TLS12, "unexpected_message", say(message(HEARTBEAT, b"\1\0\x10" + bytes(20)))),
    ("ChangeCipherSpec", TLS13, "unexpected_message", records(b"\1", kind=CCS)),
    ("ChangeCipherSpec", TLS12, "unexpected_message", say(message(CCS, b"\1"))),
    (
        "another ClientHello",
        TLS13,
        ("unexpected_message", "decode_error"),
        say(handshake(HELLO, ZERO)),
    ),
    ("another Finished", TLS13, "unexpected_message", say(handshake(FINISHED, ZERO))),
    ("another Finished", TLS12, "unexpected_message", say(handshake(FINISHED, ZERO[:12]))),
    ("another Certificate", TLS13, "unexpected_message", say(handshake(CERTIFICATE, bytes(4)))),
    (
        "a ticket from a client",
        TLS13,
        ("unexpected_message", "decode_error"),
        say(handshake(TICKET, ZERO)),
    ),
    (
        "a request for a certificate",
        TLS13,
        ("unexpected_message", "decode_error"),
        say(handshake(CERTIFICATE_REQUEST, ZERO)),
    ),
    (
        "half a message, then data",
        TLS13,
        "unexpected_message",
        say(message(HANDSHAKE, b"\x18\0\0"), message(DATA, b"x")),
    ),
    ("a fatal alert", TLS13, "closed", say(message(ALERT, b"\2\x28"))),
    ("a fatal alert", TLS12, "closed", say(message(ALERT, b"\2\x28"))),
    ("half an alert", TLS13, ("decode_error", "unexpected_message"), say(message(ALERT, b"\2"))),
    (
        "warnings without end",
        TLS12,
        ("unexpected_message", "closed"),
        say(*[message(ALERT, b"\1\x5a")] * 50),
    ),
]

ALL = [
    (f"{part}: {name}", version, expected, how)
    for part, listed in (("hello", HELLOS), ("proof", PROOFS), ("after", AFTER))
    for name, version, expected, how in listed
]
