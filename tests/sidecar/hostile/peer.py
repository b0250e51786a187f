"""A TLS client that keeps to the RFCs until a twist makes it say something else.

tlslite-ng does the cryptography and the state machine. A twist sees each message before it is
encrypted and gives the messages to send in its place; what is sent counts in the transcript, so that
only the twist itself is wrong and not all that follows from it. Never judges: that is main.py's.
"""

import socket

from tlslite.api import (
    HandshakeSettings,
    TLSConnection,
    TLSRemoteAlert,
    X509CertChain,
    parsePEMKey,
)
from tlslite.constants import AlertDescription
from tlslite.errors import BaseTLSException, TLSAbruptCloseError
from tlslite.messages import Message

TLS12, TLS13 = (3, 3), (3, 4)
CCS, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
HELLO, TICKET, CERTIFICATE, CERTIFICATE_REQUEST = 1, 4, 11, 13
VERIFY, KEY_EXCHANGE, FINISHED, KEY_UPDATE = 15, 16, 20, 24
PATIENCE = 10  # seconds that the other side may take


class Peer(TLSConnection):
    """The client."""

    def __init__(self, sock, twist):
        super().__init__(sock)
        self.raw = sock
        self.twist = twist
        # A flight goes out whole, before its answer is awaited: what breaks in its middle must not
        # close the connection under the rest of it.
        self.sock.buffer_writes = True

    def _sendMsg(self, msg, randomizeFirstBlock=True, update_hashes=True):
        for instead in self.twist(self, msg) if self.twist else [msg]:
            yield from super()._sendMsg(instead, False, update_hashes)

    def _getNextRecordFromSocket(self):
        self.sock.flush()
        yield from super()._getNextRecordFromSocket()

    def say(self, message):
        """Sends a message, encrypted as others are, and without a twist."""
        for _ in super()._sendMsg(message, False, False):
            pass

    def record(self, kind, body, version=(3, 3)):
        """Sends bytes as a record of this kind, as they are."""
        self.sock.send(bytes([kind, *version]) + len(body).to_bytes(2, "big") + body)

    def sealed(self, inner, spoil=lambda sealed: sealed):
        """Sends a record with this plaintext, whatever that is, perhaps spoilt after encryption."""
        layer = self._recordLayer
        self.record(DATA, bytes(spoil(layer._encryptThenSeal(bytearray(inner), DATA))))


class Identity:
    """A certificate and its key, from files in PEM."""

    def __init__(self, certificate, key):
        self.chain = X509CertChain()
        self.chain.parsePemList(open(certificate).read())
        self.key = parsePEMKey(open(key).read(), private=True)


def settings(version, **more):
    """What the client offers: this version, and what lictor has."""
    chosen = HandshakeSettings()
    chosen.minVersion = chosen.maxVersion = version
    chosen.eccCurves = ["x25519", "secp256r1", "secp384r1"]
    chosen.keyShares = ["x25519"]
    chosen.dhGroups = []
    # It would send such without having been asked for it.
    chosen.certificate_compression_send = chosen.certificate_compression_receive = []
    chosen.use_heartbeat_extension = False
    for name, value in more.items():
        setattr(chosen, name, value)
    return chosen


def converse(address, identity, version, twist=None, after=None, echoes=True, **more):
    """Has a conversation; gives "echo" if it came to one, else the alert, or "closed"."""
    with socket.create_connection(address, PATIENCE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock, twist)
        try:
            chain, key = (identity.chain, identity.key) if identity else (None, None)
            peer.handshakeClientCert(chain, key, settings=settings(version, **more))
            peer.sock.buffer_writes = True
            if after:
                after(peer)
            return echo(peer) if echoes else heard(peer)
        except TLSRemoteAlert as alert:
            return AlertDescription.toStr(alert.description)
        except TimeoutError:
            return "silence"
        except (OSError, TLSAbruptCloseError):
            return "closed"
        except BaseTLSException as error:
            return repr(error)


def echo(peer):
    """Sees bytes come back unchanged."""
    peer.write(b"still here?")
    back = peer.read(max=11, min=11)
    return "echo" if back == b"still here?" else f"other bytes: {bytes(back)!r}"


def heard(peer):
    """Hears the other side out, which has nothing to say but an alert."""
    peer.sock.flush()
    back = peer.read(max=1, min=1)
    return f"bytes: {bytes(back)!r}" if back else "closed"


def handshake(kind, body):
    """A handshake message."""
    return Message(HANDSHAKE, bytearray([kind]) + len(body).to_bytes(3, "big") + bytearray(body))


def kind_of(message):
    """The type of a handshake message; none for other messages."""
    return message.write()[0] if message.contentType == HANDSHAKE else None


def body_of(message):
    """What is behind the header of a handshake message."""
    return bytes(message.write()[4:])


def is_kind(message, kind):
    return message.contentType == CCS if kind == "ccs" else kind_of(message) == kind


def instead(kind, make):
    """A twist: in the place of a message of this kind go those that `make` gives."""
    return lambda peer, message: make(message) if is_kind(message, kind) else [message]


def body(kind, change):
    """A twist: the body of a message of this kind is changed, its length set right."""
    return instead(kind, lambda message: [handshake(kind, change(body_of(message)))])


def drop(kind):
    return instead(kind, lambda message: [])


def twice(kind):
    return instead(kind, lambda message: [message, message])


def before(kind, *others):
    return instead(kind, lambda message: [*others, message])


def behind(kind, *others):
    return instead(kind, lambda message: [message, *others])
