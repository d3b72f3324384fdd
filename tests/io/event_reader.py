"""Reads event files as the format's description has them, without TensorBoard or protobuf."""

import struct

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = TABLE[(c ^ byte) & 255] ^ c >> 8
    return c ^ 0xFFFFFFFF


def masked(data):
    c = crc32c(data)
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The whole records; what is torn at the end is left out."""
    while len(data) >= 12:
        size, check = struct.unpack_from("<QI", data)
        assert check == masked(data[:8]), "checksum of a length"
        if len(data) < size + 16:
            return
        record, check = data[12:12 + size], data[12 + size:16 + size]
        assert check == struct.pack("<I", masked(record)), "checksum of a record"
        yield record
        data = data[16 + size:]


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(message):
    """{number: value} of a message, the last where there are several."""
    out, at = {}, 0
    while at < len(message):
        key, at = varint(message, at)
        if key & 7 == 0:
            out[key >> 3], at = varint(message, at)
            continue
        size, at = varint(message, at) if key & 7 == 2 else ({1: 8, 5: 4}[key & 7], at)
        assert len(message) >= at + size, "a field beyond its message"
        out[key >> 3], at = message[at:at + size], at + size
    return out
