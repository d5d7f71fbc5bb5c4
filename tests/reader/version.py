"""A version file of a repository (docs/repository.md §1): an image file without records, with SUMM and LOCS in place of INDX."""
import struct
import zlib
from types import SimpleNamespace

from image import END_MAGIC, MAGIC, Image
from wire import Damage, need, sha256

COMPOSED, IN_PACKS = 1 << 1, 1 << 4


def summary_fields(payload):
    s = SimpleNamespace()
    s.version, s.created, s.disks, s.used, s.root, name = struct.unpack("<QQQQ32s64s", payload)
    s.name = name.rstrip(b"\0").decode("ascii", "replace")
    need(0 < s.disks <= 1 << 50 and s.used <= s.disks and s.name and "\0" not in s.name, "SUMM: a value that cannot be")
    return s


def header(data, at, wanted):
    kind, flags, reserved, raw, stored, crc, head_crc = struct.unpack("<4sHHQQII", data[at:at + 32])
    need(kind == wanted and head_crc == zlib.crc32(data[at:at + 28]) and not reserved, f"{wanted.decode()} does not stand at {at}")
    return SimpleNamespace(flags=flags, raw=raw, stored=stored, crc=crc)


def used_bytes(chunk):
    """The last granule may reach beyond the region."""
    last = -(-chunk.length // chunk.granule) - 1
    beyond = (last + 1) * chunk.granule - chunk.length if chunk.used >> last & 1 else 0
    return chunk.used.bit_count() * chunk.granule - beyond


def quick_summary(data):
    """The summary by the beginning and the end of the file alone; None where the whole file must be read."""
    try:
        pack = struct.unpack("<8sHHIQQ16s12sI", data[:64])
        need(pack[0] == MAGIC and pack[8] == zlib.crc32(data[:60]), "the preamble")
        last = header(data, len(data) - 128, b"TRLR")
        length, cids, table, _, _, pack_id, root, magic = struct.unpack("<QQQQQ16s32s8s", data[-96:])
        need(last.crc == zlib.crc32(data[-96:]) and length == len(data) and magic == END_MAGIC and pack_id == pack[6], "the trailer")
        need(64 + 160 <= table <= len(data) - 160 and cids < table, "the trailer")
        part, locs = header(data, table - 160, b"SUMM"), header(data, table, b"LOCS")
        payload = data[table - 128:table]
        need(table + 32 + locs.stored == len(data) - 128, "the length of LOCS")
        need(not part.flags and part.raw == part.stored == 128 and part.crc == zlib.crc32(payload), "SUMM")
        found = summary_fields(payload)
        need(found.root == root, "the root")
        return found
    except (Damage, struct.error):
        return None


class Version(Image):
    """The same of the whole file: what the summary must be."""

    def preamble(self, data):
        features = struct.unpack_from("<Q", data, 16)[0]
        need(data[60:] == struct.pack("<I", zlib.crc32(data[:60])), "preamble: CRC does not match")
        need(features & ~COMPOSED == IN_PACKS, "not a version file")
        plain = data[:16] + bytes(8) + data[24:60]
        super().preamble(plain + struct.pack("<I", zlib.crc32(plain)))

    def expected(self):
        """Reads what the summary repeats, up to ROOT."""
        self.head()
        ids = self.payload(self.part(b"CIDS", exact=32 * self.core.present))
        bad = self.payload(self.part(b"BADR"))
        self.root = sha256(b"calco root v1\0\0\0" + self.core_hash + sha256(ids) + sha256(bad))
        need(self.payload(self.part(b"ROOT", exact=32)) == self.root, "the root does not match")
        used = sum(used_bytes(chunk) for chunk in self.core.present_chunks())
        return SimpleNamespace(version=self.core.version, created=self.note.get(1, 0), disks=sum(d.size for d in self.core.disks), used=used,
                               root=self.root, name=self.core.name)
