"""Has every conversation with a listener, and says of each what came of it.

    main.py HOST PORT CERTIFICATE KEY [WORDS]     only those whose name has WORDS

A line each, `ok` or `not ok`, with the reason where what came is not what the RFC asks for; exit
status 1 if any was not ok. In the end a client that does all as it should must still be served.
"""

import sys

from conversations import ALL
from differs import DIFFERS
from peer import TLS12, TLS13, Identity, converse

NAMES = {(3, 1): "TLS 1.0", (3, 2): "TLS 1.1", TLS12: "TLS 1.2", TLS13: "TLS 1.3"}


def main():
    host, port, certificate, key, *words = sys.argv[1:]
    address, identity = (host, int(port)), Identity(certificate, key)
    failed = 0
    for name, version, expected, how in ALL:
        if not all(word in name for word in words):
            continue
        how = dict(how)
        shown = None if how.pop("anonymous", False) else identity
        wanted = (expected,) if isinstance(expected, str) else expected
        differs, why = DIFFERS.get((name, NAMES[version]), (None, None))
        if differs:
            wanted, why = (differs,), f" ({why})"
        came = converse(address, shown, version, echoes="echo" in wanted, **how)
        good = came in wanted
        failed += not good
        said = why or "" if good else f", not {' or '.join(wanted)}"
        print(f"{'ok' if good else 'not ok'} {NAMES[version]} {name}: {came}{said}", flush=True)
    again = converse(address, identity, TLS13)
    print(f"{'ok' if again == 'echo' else 'not ok'} TLS 1.3 then a good client: {again}")
    sys.exit(1 if failed or again != "echo" else 0)


if __name__ == "__main__":
    main()
