"""A ClientHello in parts, to be put together otherwise (RFC 8446 section 4.1.2)."""

from peer import HELLO, body

VERSIONS, GROUPS, SCHEMES, SHARES, PSK = 43, 10, 13, 51, 41


class Hello:
    """Its parts: what is not named stays as tlslite-ng made it."""

    def __init__(self, data):
        self.version, self.random = data[:2], data[2:34]
        self.session, rest = vector(data[34:], 1)
        self.suites, rest = vector(rest, 2)
        self.compressions, rest = vector(rest, 1)
        listed, self.tail = vector(rest, 2)
        self.extensions = []
        while listed:
            content, behind = vector(listed[2:], 2)
            self.extensions.append((int.from_bytes(listed[:2], "big"), content))
            listed = behind

    def bytes(self):
        listed = b"".join(kind.to_bytes(2, "big") + sized(it, 2) for kind, it in self.extensions)
        parts = [self.version, self.random, sized(self.session, 1), sized(self.suites, 2)]
        return b"".join([*parts, sized(self.compressions, 1), sized(listed, 2), self.tail])

    def put(self, kind, content):
        """Replaces an extension, or adds it at the end."""
        kinds = [have for have, _ in self.extensions]
        if kind in kinds:
            self.extensions[kinds.index(kind)] = (kind, content)
        else:
            self.extensions.append((kind, content))

    def without(self, kind):
        self.extensions = [it for it in self.extensions if it[0] != kind]


def vector(data, width):
    length = int.from_bytes(data[:width], "big")
    return data[width : width + length], data[width + length :]


def sized(data, width):
    return len(data).to_bytes(width, "big") + data


def hello(change):
    """A twist: the ClientHello's parts are changed. With HelloRetryRequest it is both."""

    def changed(data):
        parts = Hello(data)
        change(parts)
        return parts.bytes()

    return body(HELLO, changed)


def extension(kind, content):
    """A twist: an extension has this content."""
    return hello(lambda parts: parts.put(kind, content))


def without(kind):
    return hello(lambda parts: parts.without(kind))


def field(name, value):
    """A twist: a field of the ClientHello has this value."""
    return hello(lambda parts: setattr(parts, name, value))


def share(group, key):
    """The content of key_share with one share."""
    return sized(group.to_bytes(2, "big") + sized(key, 2), 2)
