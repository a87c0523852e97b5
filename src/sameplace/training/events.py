"""Event files, in which TensorBoard finds the curves of a run while it goes on; nothing needs to be installed to write them.

The format: records of a length, its checksum, an `Event` message of protocol buffers and its checksum (CRC-32C, masked).
"""

import struct
from collections.abc import Mapping
from pathlib import Path

EVENTS = "events.out.tfevents.sameplace"
"""TensorBoard looks for the word tfevents."""
_VERSION = b"brain.Event:2"


def add_event(path: Path, step: int, values: Mapping[str, float], *, seconds: float) -> None:
    """Append the values of a step, by the names of their curves; `seconds` are those since 1970."""
    opening = b"" if path.exists() else _record(_double(1, seconds) + _bytes(3, _VERSION))
    curves = b"".join(_bytes(1, _bytes(1, name.encode()) + _float(2, value)) for name, value in values.items())
    with path.open("ab") as file:
        file.write(opening + _record(_double(1, seconds) + _integer(2, step) + _bytes(5, curves)))


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli's polynomial.

    >>> hex(crc32c(b"123456789"))  # RFC 3720
    '0xe3069283'
    """
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    return checksum ^ 0xFFFFFFFF


def _record(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _checksum(length) + message + _checksum(message)


def _checksum(data: bytes) -> bytes:
    """Masked, as a checksum of data that hold their own checksum says little."""
    found = crc32c(data)
    return struct.pack("<I", ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
