"""What every piece of a calco image is made of: hashes, zstd frames, bytes in order, fields, sections."""
import ctypes
import hashlib
import struct

CHUNK, LEAF = 262144, 4096


class Damage(Exception):
    """The file is not what the document says."""


class Unsupported(Exception):
    """The file says that a reader must know something this one does not."""


def need(condition, message):
    if not condition:
        raise Damage(message)


# ---- hashes and zstd ----

def sha256(data):
    return hashlib.sha256(data).digest()


ZERO_CHUNK, ZERO_LEAF = bytes(CHUNK), bytes(LEAF)


class Ids:
    """§1: the hash over the hashes of the 64 leaves; of an encrypted image both are keyed (§8)."""

    def __init__(self, function=sha256):
        self.hash, self.zero_leaf = function, function(ZERO_LEAF)
        self.zero = self.of(ZERO_CHUNK)

    def of(self, content):
        leaves = (content[at:at + LEAF] for at in range(0, CHUNK, LEAF))
        return self.hash(b"calco chunk v1\0\0" + b"".join(self.zero_leaf if leaf == ZERO_LEAF else self.hash(leaf) for leaf in leaves))


IDS = Ids()


def load_zstd():
    lib, size, data = ctypes.CDLL("libzstd.so.1"), ctypes.c_size_t, ctypes.c_char_p
    lib.ZSTD_findFrameCompressedSize.argtypes, lib.ZSTD_findFrameCompressedSize.restype = [data, size], size
    lib.ZSTD_getFrameContentSize.argtypes = [data, size]
    lib.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, size, data, size]
    lib.ZSTD_decompress.restype = size
    return lib


ZSTD = load_zstd()


def unzstd(frame, raw_length, what):
    """One frame and nothing else, no dictionary, with a content size that is the one expected."""
    need(len(frame) > 4 and frame[:4] == b"\x28\xb5\x2f\xfd", f"{what}: not a zstd frame")
    need(not frame[4] & 0x03, f"{what}: the zstd frame asks for a dictionary")
    need(ZSTD.ZSTD_findFrameCompressedSize(frame, len(frame)) == len(frame), f"{what}: not exactly one zstd frame")
    need(ZSTD.ZSTD_getFrameContentSize(frame, len(frame)) == raw_length, f"{what}: wrong zstd content size")
    out = ctypes.create_string_buffer(raw_length + 1)
    need(ZSTD.ZSTD_decompress(out, raw_length, frame, len(frame)) == raw_length, f"{what}: zstd frame damaged")
    return out.raw[:raw_length]


# ---- reading values ----

class Source:
    """The image as a row of bytes, read from front to back."""

    def __init__(self, stream):
        self.stream, self.offset = stream, 0

    def blocks(self, length, what):
        """Reads in steps, so that memory follows what the file really holds."""
        while length:
            data = self.stream.read(min(length, 1 << 20))
            need(data, f"the file ends in {what}, at offset {self.offset}")
            self.offset += len(data)
            length -= len(data)
            yield data

    def take(self, length, what):
        return b"".join(self.blocks(length, what))

    def at_end(self):
        return not self.stream.read(1)


class Fields:
    """Values taken in order from a piece of a payload, never beyond its end."""

    def __init__(self, data, what):
        self.data, self.at, self.what = memoryview(data), 0, what

    def left(self):
        return len(self.data) - self.at

    def take(self, length):
        need(length <= self.left(), f"{self.what}: ends too early")
        self.at += length
        return self.data[self.at - length:self.at]

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def number(self, letter):
        return self.unpack(letter)[0]

    def reserved(self, length):
        need(not any(self.take(length)), f"{self.what}: reserved bytes are not zero")

    def text(self, length=None):
        data = bytes(self.take(self.number("H") if length is None else length))
        try:
            need(b"\0" not in data, f"{self.what}: NUL in a text")
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Damage(f"{self.what}: text is not UTF-8") from None

    def entries(self, ceiling):
        """A list (§3); bytes at the end of an entry that nobody asks for are skipped."""
        count = self.number("I")
        need(count <= ceiling, f"{self.what}: {count} entries, more than {ceiling}")
        for i in range(count):
            length = self.number("I")
            need(length >= 4, f"{self.what}: entry {i} is too short")
            yield Fields(self.take(length - 4), f"{self.what} entry {i}")
        self.end()

    def end(self):
        need(not self.left(), f"{self.what}: {self.left()} bytes too many")


def sections(payload, where):
    """§3: {type: (flags, content)}, ascending by type."""
    fields, found, last = Fields(payload, where), {}, -1
    while fields.left():
        kind, flags, reserved, length = fields.unpack("HHIQ")
        need(kind > last, f"{where}: section {kind} out of order")
        need(not flags & ~1 and not reserved, f"{where}: section {kind}: reserved bits are set")
        found[kind] = flags, Fields(fields.take(length), f"{where} section {kind}")
        fields.reserved(-length % 8)
        last = kind
    return found
