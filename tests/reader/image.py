"""The file as a whole (docs/format.md §2): preamble, parts, records, trailer; read from front to back."""
import array
import bisect
import hashlib
import struct
import zlib
from types import SimpleNamespace

import ed25519
from core import Core, keep
import seal
from wire import CHUNK, IDS, ZERO_CHUNK, Damage, Ids, Source, Unsupported, need, sections, sha256, unzstd

MAGIC, END_MAGIC = b"\x89CALCO\r\n", b"\n\rOCLAC\x98"
FEATURES = {1: "composed records", 2: "delta", 3: "split over several files"}
PARTS = (b"CORE", b"ENVL", b"KEYS", b"CSIG", b"CIDS", b"BADR", b"ROOT", b"SIGS", b"INDX", b"TRLR")
NOT_MANDATORY, COMPRESSIBLE = (b"ENVL", b"CSIG", b"SUMM"), (b"CORE", b"ENVL", b"BADR", b"INDX")
CEILING = {b"CORE": 1 << 30, b"ENVL": 1 << 20, b"KEYS": 1 << 20, b"CSIG": 1 << 20, b"SIGS": 1 << 20, b"BADR": 24 << 24}


class Locked(Exception):
    """A key is missing."""


class Image:
    """One pass over a file: head(), then records() or chunks() to their end, then tail()."""

    PARTS, COMPRESSIBLE, SEALED, READ = PARTS, COMPRESSIBLE, seal.SEALED, 0     # READ: mandatory features beside encryption

    def __init__(self, stream, complain=None, secrets=()):
        self.secrets, self.keys, self.ids_of, self.sealed = secrets, None, IDS, False
        self.source, self.complain = Source(stream), complain or self.refuse
        self.pending, self.signatures = None, []
        self.ids, self.numbers = bytearray(), array.array("Q")     # of the records, in order
        self.indexes, self.offsets = array.array("Q"), array.array("Q")

    @staticmethod
    def refuse(message):
        raise Damage(message)

    # -- the head --

    def head(self):
        self.preamble(self.source.take(64, "the preamble"))
        core_part, core = self.stored(self.part(b"CORE"))
        envelope_part, envelope = self.stored(self.part(b"ENVL"))
        if self.sealed:
            self.unlock(self.payload(self.part(b"KEYS")))
        core = self.opened(core_part, core)
        self.core_hash, self.core = sha256(core), Core(core)
        self.envelope(sections(self.opened(envelope_part, envelope), "ENVL"))
        header = self.next_header()
        if header[:4] == b"CSIG":
            self.check_signatures(self.part(b"CSIG", header), b"calco core sig\0\0" + self.core_hash)
            header = None
        self.pending = header

    def preamble(self, data):
        (magic, major, self.minor, length, mandatory, _, self.pack, reserved,
         crc) = struct.unpack("<8sHHIQQ16s12sI", data)
        need(magic == MAGIC, "not a calco image")
        need(crc == zlib.crc32(data[:60]), "preamble: CRC does not match")
        if major != 1:
            raise Unsupported(f"major version {major} is unknown")
        need(length == 64 and not any(reserved), "preamble: bad length or reserved bytes")
        self.features, self.sealed, mandatory = mandatory, bool(mandatory & 1), mandatory & ~1 & ~self.READ
        bits = [f"{bit} ({FEATURES.get(bit, 'unknown')})" for bit in range(64) if mandatory >> bit & 1]
        if bits:
            raise Unsupported("mandatory features this reader does not know: bit " + ", ".join(bits))

    def unlock(self, payload):
        found = seal.unlock(payload, self.secrets)
        if not found:
            raise Locked("the image is encrypted" + (", and not for this key" if self.secrets else ": a key is needed"))
        self.keys = seal.Keys(*found)
        self.ids_of = Ids(self.keys.hash)

    def envelope(self, found):
        self.note = {}
        for kind, (flags, f) in found.items():
            need(not flags, f"ENVL: section {kind} is marked mandatory")
            if kind in (1, 3, 5):
                self.note[kind] = f.number("I" if kind == 3 else "Q")
                f.end()
            elif kind in (2, 4):
                need(kind == 2 or f.left() <= 65536, "ENVL: note too long")
                self.note[kind] = f.text(f.left())

    def check_signatures(self, part, message):
        payload = self.payload(part)
        need(len(payload) % 104 == 0, f"{part.name}: not a row of entries")
        for i in range(0, len(payload), 104):
            entry = payload[i:i + 104]
            if not any(entry) or entry[0] > 1:      # free, or of an algorithm that says nothing here
                continue
            need(entry[0] == 1 and not any(entry[1:8]), f"{part.name}: bad algorithm or reserved bytes")
            self.signatures.append((part.name, entry[8:40]))
            if not ed25519.verify(entry[8:40], message, entry[40:]):
                self.complain(f"{part.name}: signature {i // 104} does not match")

    # -- parts (§2.2) --

    def next_header(self):
        """The next 32 bytes, or the 96 of a record."""
        header, self.pending = self.pending, None
        if header is None:
            header = self.source.take(32, "a header")
            if header[:4] == b"CHNK":
                header += self.source.take(64, "the header of a record")
        return header

    def part(self, wanted=None, header=None, exact=None):
        """The header of the next part: the wanted one, or an unknown one where those may stand."""
        header = header or self.next_header()
        p = SimpleNamespace(offset=self.source.offset - 32, header=bytes(header[:24]))
        p.type, p.flags, reserved, p.raw, p.stored, p.crc, crc = struct.unpack("<4sHHQQII", header[:32])
        need(p.type != b"CHNK", f"a record at offset {self.source.offset - 96} where a part must stand")
        need(crc == zlib.crc32(header[:28]), f"header at offset {p.offset}: CRC does not match")
        need(p.type.isalpha() and not reserved and not p.flags & ~7,
             f"part at offset {p.offset}: bad type or reserved bits")
        p.name = p.type.decode()
        known = p.type in self.PARTS
        if not known and p.flags & 1:
            raise Unsupported(f"mandatory part {p.name} is unknown")
        need(p.type == wanted or (wanted is None and not known), f"part {p.name} at offset {p.offset} is out of place")
        need(not known or p.flags & 1 == (p.type not in NOT_MANDATORY), f"{p.name}: bad mandatory bit")
        need(self.sealed or not p.flags & 4, f"{p.name}: encrypted in an image that is not")
        need(not known or bool(p.flags & 4) == (self.sealed and p.type in self.SEALED), f"{p.name}: in clear or encrypted where it must not be")
        packed = p.stored - (seal.extra(p.type) if p.flags & 4 else 0)
        need(packed >= 0 or not known, f"{p.name}: too short")
        need(not (p.flags & 2 and known and p.type not in self.COMPRESSIBLE), f"{p.name}: must not be compressed")
        need(p.flags & 2 or p.raw == packed or (p.flags & 4 and not known), f"{p.name}: lengths differ")
        need(exact is None or p.raw == exact, f"{p.name}: {p.raw} bytes where {exact} are expected")
        if known:
            need(p.raw <= CEILING.get(p.type, p.raw if exact is not None else 0), f"{p.name}: too long")
            need(p.stored <= p.raw + p.raw // 128 + 512, f"{p.name}: stored length too large")
        return p

    def stored(self, part):
        data = self.source.take(part.stored, part.name)
        need(zlib.crc32(data) == part.crc, f"{part.name}: CRC of the payload does not match")
        return part, data

    def opened(self, part, data):
        if part.flags & 4:
            data = self.keys.open_part(self.pack, part.type, part.header, data, part.name)
        return unzstd(data, part.raw, part.name) if part.flags & 2 else data

    def payload(self, part):
        return self.opened(*self.stored(part))

    def skip_unknown(self, seen):
        """Passes over unknown parts; leaves the header of the next known one pending."""
        while True:
            header = self.next_header()
            if header[:4] in self.PARTS:
                self.pending = header
                return
            part, crc = self.part(None, header), 0
            need(part.type not in seen, f"part {part.name} occurs twice")
            seen.add(part.type)
            for block in self.source.blocks(part.stored, part.name):
                crc = zlib.crc32(block, crc)
            need(crc == part.crc, f"{part.name}: CRC of the payload does not match")

    # -- records (§2.3) --

    def records(self):
        """Yields (chunk, content) of every record that is sound; complains of the others."""
        self.tables = self.core.table_pieces()
        spans = self.core.spans()
        span, last, own = None, -1, -1
        while True:
            header = self.next_header()
            if header[:4] != b"CHNK":
                break
            r = self.record_header(header, self.source.offset - 96)
            need(last < r.number < self.core.chunks, f"record of chunk {r.number} at offset {r.offset} is out of order")
            while span is None or r.number >= span.first + span.count:
                span = next(spans)
            need(span.kind, f"chunk {r.number} is absent but has a record")
            need(r.origin != self.pack or r.count > own, f"chunk {r.number}: record number {r.count} is out of order")
            last, own = r.number, r.count if r.origin == self.pack else own
            chunk = self.core.chunk(span, r.number)
            self.numbers.append(r.number)
            self.indexes.append(chunk.index)
            self.offsets.append(r.offset)
            self.ids += r.id
            payload = self.source.take(r.stored, f"the record of chunk {r.number}")
            try:
                content = self.content(r, chunk, payload)
            except Damage as damage:
                self.complain(str(damage))
            else:
                yield chunk, content
        self.pending = header
        for number, pieces in self.tables.items():      # chunks without a record hold zeros
            if any(data.strip(b"\0") for _, data in pieces):
                self.complain(f"chunk {number} differs from the copy of a partition table")

    def record_header(self, header, offset):
        r, tag = SimpleNamespace(offset=offset, header=bytes(header[:88])), seal.TAG if self.sealed else 0
        (_, kind, r.codec, zero, r.number, r.count, r.origin, r.id, raw, r.stored, reserved, r.payload_crc,
         crc) = struct.unpack("<4sBBHQQ16s32sIIQII", header)
        what = f"record at offset {offset}"
        need(crc == zlib.crc32(header[:92]), f"{what}: CRC of the header does not match")
        need(kind == 1, f"{what}: kind {kind} cannot be in a file")
        need(not zero and not reserved and raw == CHUNK, f"{what}: reserved bytes or raw length")
        need((r.codec == 0 and r.stored == CHUNK + tag) or (r.codec == 1 and 1 <= r.stored - tag < CHUNK),
             f"{what}: codec {r.codec} with stored length {r.stored}")
        return r

    def content(self, r, chunk, payload):
        """Decodes and proves one chunk (§5)."""
        what = f"chunk {r.number}"
        pieces = self.tables.pop(r.number, ())
        need(zlib.crc32(payload) == r.payload_crc, f"{what}: CRC of the payload does not match")
        payload = self.opened_record(r, payload, what)
        content = unzstd(payload, CHUNK, what) if r.codec else payload
        need(self.ids_of.of(content) == r.id, f"{what}: the content does not match its id")
        need(r.id != self.ids_of.zero, f"{what}: a record of zeros")
        need(keep(chunk, content, chunk.used) == content, f"{what}: bytes that are not used are not cleared")
        for at, data in pieces:
            need(content[at:at + len(data)] == data, f"{what}: differs from the copy of a partition table")
        return content

    def chunks(self):
        """Yields (chunk, content) of every present chunk, those without a record included."""
        records = self.records()
        record = next(records, None)
        for chunk in self.core.present_chunks():
            if record and record[0].number == chunk.number:
                yield record
                record = next(records, None)
            else:
                yield chunk, ZERO_CHUNK

    # -- the parts behind the records (§2.4) --

    def tail(self):
        seen = set()
        self.skip_unknown(seen)
        cids = self.part(b"CIDS", exact=32 * self.core.present)
        ids_hash = self.check_ids(cids)
        self.bad = self.payload(self.part(b"BADR"))
        self.check_bad_ranges()
        self.root = sha256(b"calco root v1\0\0\0" + self.core_hash + ids_hash + sha256(self.bad))
        if self.payload(self.part(b"ROOT", exact=32)) != self.root:
            self.complain("the root does not match")
        header = self.pending = self.next_header()
        if header[:4] == b"SIGS":
            self.check_signatures(self.part(b"SIGS"), b"calco image sig\0" + self.root)
        self.skip_unknown(seen)
        indx = self.part(b"INDX", exact=8 * self.core.present)
        self.check_index(self.payload(indx))
        trailer = self.payload(self.part(b"TRLR", exact=96))
        expected = struct.pack("<QQQQQ16s32s8s", self.source.offset, cids.offset, indx.offset, self.core.present,
                               len(self.numbers), self.pack, self.root, END_MAGIC)
        if trailer != expected:
            self.complain("the trailer does not match the file")
        need(self.source.at_end(), "bytes behind the trailer")

    def check_ids(self, part):
        """CIDS must list the ids of the records, and the id of zeros for every other present chunk."""
        digest, crc, step, record = hashlib.sha256(), 0, 4096, 0
        opened = self.payload(part) if self.sealed else None
        for first in range(0, self.core.present, step):
            length = 32 * min(step, self.core.present - first)
            block = self.source.take(length, "CIDS") if opened is None else opened[32 * first:32 * first + length]
            digest.update(block)
            crc = zlib.crc32(block, crc)
            expected = bytearray(self.ids_of.zero * (len(block) // 32))
            while record < len(self.indexes) and self.indexes[record] < first + step:
                at = 32 * (self.indexes[record] - first)
                expected[at:at + 32] = self.ids[32 * record:32 * record + 32]
                record += 1
            for at in range(0, len(block), 32) if block != expected else ():
                if block[at:at + 32] != expected[at:at + 32]:
                    self.complain(f"CIDS: the id of present chunk {first + at // 32} is not that of its content")
        if crc != part.crc and opened is None:
            self.complain("CIDS: CRC of the payload does not match")
        return digest.digest()

    def check_bad_ranges(self):
        need(len(self.bad) % 24 == 0, "BADR: not a row of ranges")
        before = (0, 0)
        for disk, reserved, start, length in struct.iter_unpack("<IIQQ", self.bad):
            need(not reserved, "BADR: reserved bytes are not zero")
            need(before <= (disk, start), "BADR: out of order")
            self.core.inside(disk, start, length, "BADR")
            before = (disk, start + length)

    def check_index(self, payload):
        expected, step, record = 0, 65536, 0
        for first in range(0, self.core.present, step):
            count = min(step, self.core.present - first)
            expected = [0] * count
            while record < len(self.indexes) and self.indexes[record] < first + step:
                expected[self.indexes[record] - first] = self.offsets[record]
                record += 1
            if payload[8 * first:8 * (first + count)] != struct.pack(f"<{count}Q", *expected):
                self.complain(f"INDX: wrong offset among present chunks {first} to {first + count - 1}")

    def check_bad_content(self):
        """What could not be read is stored as zero (§2.4). Goes back in the file."""
        cached, content = None, None
        for disk, _, start, length in struct.iter_unpack("<IIQQ", self.bad):
            for r, begin, end in self.core.pieces(disk, start, length):
                i = bisect.bisect_left(self.numbers, r.first + begin // CHUNK)
                while i < len(self.numbers) and self.numbers[i] <= r.first + (end - 1) // CHUNK:
                    if cached != i:
                        cached, content = i, self.content_at(self.offsets[i])
                    at = (self.numbers[i] - r.first) * CHUNK
                    if content[max(begin - at, 0):min(end - at, CHUNK)].strip(b"\0"):
                        self.complain(f"chunk {self.numbers[i]}: content in an unreadable range")
                    i += 1

    def opened_record(self, r, payload, what):
        return self.keys.open(r.origin, b"CHNK", r.count, r.header, payload, what) if self.sealed else payload

    def content_at(self, offset):
        self.source.stream.seek(offset)
        r = self.record_header(self.source.take(96, "a record"), offset)
        payload = self.source.take(r.stored, "a record")
        payload = self.opened_record(r, payload, "a record")
        return unzstd(payload, CHUNK, "a record") if r.codec else payload
