#!/usr/bin/env python3
"""Key wrapping and keyed hashes of securemail a second time; writes wrap.txt and hash.txt beside it.

wrapped = 01 ‖ Cobblestone-256 of the content key, context "content key", under a key of two steps:
HKDF-SHA-256 of link ‖ share (vault) or of the day's key (spool) with the message's id as salt, then
HKDF-SHA-256 of that without a salt for sealing records.
hash = HMAC-SHA-256 under HKDF-SHA-256 of a key's hashing part, the label in its info.
"""
import hmac

from cobblestone import KEY, SALT, seal, write
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TENANT, ID, LINK, SHARE, DAY = b"gemeente", bytes(range(16)), b"L" * 32, b"S" * 32, b"D" * 32


def derive(secret, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def wrapped(secret, label):
    under = derive(derive(secret, ID, label + b"\0" + TENANT), b"", b"securemail/v1/record/seal")
    return (b"\1" + seal(under, SALT, b"content key", KEY)).hex()


def hashed(label, data):
    under = derive(derive(KEY, b"", b"securemail/v1/record/hash"), b"", b"securemail/v1/record/hash/" + label)
    hash_ = hmac.digest(under, data, "sha256").hex()
    return {"key": KEY.hex(), "label": label.decode(), "data": data.hex(), "hash": hash_}


if __name__ == "__main__":
    common = {"tenant": TENANT.decode(), "id": ID.hex(), "salt": SALT.hex(), "content-key": KEY.hex()}
    link = {"link": LINK.hex(), "share": SHARE.hex(), "wrapped": wrapped(LINK + SHARE, b"securemail/v1/wrap")}
    spool = {"day-key": DAY.hex(), "wrapped": wrapped(DAY, b"securemail/v1/spool-wrap")}
    write("wrap.txt", "Wrapped content keys.", [{**common, **link}, {**common, **spool}], "wrap.py")
    write("hash.txt", "Keyed hashes.", [hashed(label, b"eva@example.org") for label in (b"sender", b"recipient")], "wrap.py")
