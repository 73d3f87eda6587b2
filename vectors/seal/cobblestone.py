#!/usr/bin/env python3
"""Cobblestone-256 a second time, from c2sp.org/chunked-encryption; writes valid.txt and invalid.txt."""
import hashlib
import hmac
import pathlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CHUNK, TAG, HEADER = 16384, 16, 56


def keys(key, salt, context):
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    out = HKDFExpand(hashes.SHA512(), 32 + 12 + 32, info).derive(key)
    return AESGCM(out[:32]), int.from_bytes(out[32:44], "big"), out[44:]


def seal(key, salt, context, plain, first=0):
    cipher, base, commitment = keys(key, salt, context)
    out = salt + commitment
    for number in range(len(plain) // CHUNK + 1):
        nonce = (base ^ (first + number)).to_bytes(12, "big")
        out += cipher.encrypt(nonce, plain[number * CHUNK :][:CHUNK], None)
    return out


def open_(key, context, sealed):
    cipher, base, commitment = keys(key, sealed[:24], context)
    if not hmac.compare_digest(commitment, sealed[24:HEADER]):
        raise ValueError("commitment")
    body = sealed[HEADER:]
    if len(body) % (CHUNK + TAG) < TAG:
        raise ValueError("truncated")
    chunks = [body[at : at + CHUNK + TAG] for at in range(0, len(body), CHUNK + TAG)]
    return b"".join(
        cipher.decrypt((base ^ number).to_bytes(12, "big"), chunk, None)
        for number, chunk in enumerate(chunks)
    )


def text(size):
    return bytes((at * at + at // 251) % 256 for at in range(size))


def write(name, head, vectors, maker="cobblestone.py"):
    lines = [f"# {head} Made by {maker}."]
    for vector in vectors:
        lines += [""] + [f"{field} = {value}" for field, value in vector.items()]
    pathlib.Path(__file__).with_name(name).write_text("\n".join(lines) + "\n")


KEY, SALT, CONTEXT = bytes(range(32)), bytes(range(100, 124)), b"tenant\0message"
SIZES = [0, 1, 15, 16, 100, 16383, 16384, 16385, 32768, 50000, 163841]


def valid():
    for context in (b"", CONTEXT):
        for size in SIZES:
            sealed = seal(KEY, SALT, context, text(size))
            assert open_(KEY, context, sealed) == text(size)
            yield {"plain-size": size, "context": context.hex(), "key": KEY.hex(), "salt": SALT.hex(),
                   "sha256": hashlib.sha256(sealed).hexdigest(),
                   **({"sealed": sealed.hex()} if size <= 100 else {})}


def broken():
    whole, tail = seal(KEY, SALT, CONTEXT, text(40000)), HEADER + 2 * (CHUNK + TAG)
    edits = {"swap": whole[:HEADER] + whole[HEADER + CHUNK + TAG : tail] + whole[HEADER : HEADER + CHUNK + TAG] + whole[tail:],
             "drop": whole[:HEADER] + whole[HEADER + CHUNK + TAG :], "append": whole + b"\0"}
    edits |= {f"keep {size}": whole[:size] for size in (0, 55, HEADER, HEADER + 15, tail - 1, tail, tail + 15, len(whole) - 1)}
    for at in (0, 23, 24, 55, HEADER, HEADER + CHUNK, HEADER + CHUNK + TAG, tail, len(whole) - 1):
        edits[f"flip {at}"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for edit, sealed in edits.items():
        yield {"edit": edit, "sha256": hashlib.sha256(sealed).hexdigest()}, KEY, CONTEXT, sealed
    short = seal(KEY, SALT, CONTEXT, b"hello")
    other = SALT + keys(KEY[::-1], SALT, CONTEXT)[2] + short[HEADER:]
    yield {"name": "wrong key", "sealed": short.hex()}, KEY[::-1], CONTEXT, short
    yield {"name": "wrong context", "sealed": short.hex()}, KEY, CONTEXT + b"\0", short
    yield {"name": "commitment of another key", "sealed": other.hex()}, KEY, CONTEXT, other
    second = seal(KEY, SALT, CONTEXT, b"hello", first=1)
    yield {"name": "last chunk with a wrong number", "sealed": second.hex()}, KEY, CONTEXT, second


def invalid():
    for vector, key, context, sealed in broken():
        try:
            open_(key, context, sealed)
        except (ValueError, InvalidTag):
            yield {**vector, "key": key.hex(), "context": context.hex(), "salt": SALT.hex()}
        else:
            raise SystemExit(f"this must not open: {vector}")


if __name__ == "__main__":
    write("valid.txt", "Octet n of the plaintext is (n*n + n/251) mod 256.", valid())
    write("invalid.txt", "Nothing here opens. Edits are made to 40000 octets sealed as in valid.txt.", invalid())
