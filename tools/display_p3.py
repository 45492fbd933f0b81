"""The Display-P3 color profile, which a golden carries so that an app that converts colors does not pass it."""

import struct

# Red, green and blue of Display P3 adapted to D50, and D50: X, Y and Z of each.
_COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
_D50 = (0.9642, 1.0, 0.82491)
# The curve of sRGB: exponent, then a, b, c and d of ICC's parametric curve 3.
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_HEADER_SIZE, _ENTRY_SIZE = 128, 12


def build_display_p3_profile() -> bytes:
    """Build an ICC profile of version 4, a matrix with curves, which contains nothing of anybody's device."""
    curve = struct.pack(">4sIHH", b"para", 0, 3, 0) + _pack_numbers(_CURVE)
    tags = {
        b"desc": _pack_text("Display P3"),
        b"cprt": _pack_text("Public domain"),
        b"wtpt": _pack_xyz(_D50),
        **{name: _pack_xyz(values) for name, values in _COLORANTS.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    place = _HEADER_SIZE + 4 + _ENTRY_SIZE * len(tags)
    places = dict[bytes, int]()
    for value in tags.values():
        if value not in places:
            places[value] = place
            place += len(value)
    entries = [struct.pack(">4sII", name, places[value], len(value)) for name, value in tags.items()]
    header = struct.pack(">I4s4B4s4s4s", place, b"", 4, 0x30, 0, 0, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _pack_numbers(_D50)
    return header.ljust(_HEADER_SIZE, b"\0") + struct.pack(">I", len(tags)) + b"".join([*entries, *places])


def attach_profile(jpeg: bytes, profile: bytes) -> bytes:
    """Insert a color profile of less than 64 kB into a JPEG that has none. No pixel changes."""
    payload = b"ICC_PROFILE\0\x01\x01" + profile
    return jpeg[:2] + struct.pack(">2sH", b"\xff\xe2", len(payload) + 2) + payload + jpeg[2:]


def _pack_numbers(values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _pack_xyz(values: tuple[float, ...]) -> bytes:
    return struct.pack(">4sI", b"XYZ ", 0) + _pack_numbers(values)


def _pack_text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    record = struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(encoded), 28)
    return (record + encoded).ljust(-(-(28 + len(encoded)) // 4) * 4, b"\0")
