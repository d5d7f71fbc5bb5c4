"""CORE, the part that says what a calco image is (docs/format.md §1 and §3)."""
import bisect
import re
import struct
import uuid
from types import SimpleNamespace

from wire import CHUNK, Unsupported, need, sections

NONE = 0xFFFFFFFF


class Core:
    """What the image is: disks, regions, volumes, tables and the state of every byte."""

    def __init__(self, payload):
        found = sections(payload, "CORE")
        for kind, (flags, _) in found.items():
            if flags & 1 and not 1 <= kind <= 6:
                raise Unsupported(f"mandatory section {kind} of CORE is unknown")
        for kind in range(1, 7):
            need(kind in found, f"CORE: section {kind} is missing")
            need(found[kind][0] & 1, f"CORE: section {kind} is not marked mandatory")
        self.read_image(found[1][1])
        self.disks = [self.read_disk(entry) for entry in found[2][1].entries(64)]
        self.regions = [self.read_region(entry) for entry in found[3][1].entries(65536)]
        self.check_cover()
        self.volumes = []
        for entry in found[4][1].entries(65536):
            self.volumes.append(self.read_volume(entry))
        self.tables = []
        for entry in found[5][1].entries(65536):
            self.tables.append(self.read_table(entry))
        self.read_extents(found[6][1])

    def read_image(self, f):
        lineage, self.version, count = f.unpack("16sQI")
        self.lineage = uuid.UUID(bytes=lineage)
        need(count <= 16, f"{f.what}: {count} parents")
        self.name = f.text()
        need(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", self.name), f"{f.what}: bad name")
        self.parents = [f.unpack("16sQ32s") for _ in range(count)]
        f.end()

    @staticmethod
    def read_disk(f):
        d = SimpleNamespace()
        d.size, d.logical, d.physical, d.table = f.unpack("QIIB")
        f.reserved(3)
        d.mbr_signature, d.guid = f.unpack("I16s")
        d.model, d.serial, d.source = f.text(), f.text(), f.text()
        need(512 <= d.logical <= 65536 and not d.logical & (d.logical - 1), f"{f.what}: bad sector size {d.logical}")
        need(d.table <= 2, f"{f.what}: bad table {d.table}")
        return d

    @staticmethod
    def read_region(f):
        r = SimpleNamespace()
        r.disk, r.start, r.length, r.kind, log2, r.flags, r.partition, r.mbr_type = f.unpack("IQQBBHIB")
        f.reserved(3)
        r.type_guid, r.guid, r.attributes = f.unpack("16s16sQ")
        r.name = f.text()
        need(r.kind <= 3, f"{f.what}: bad kind {r.kind}")
        need(9 <= log2 <= 12, f"{f.what}: bad granule")
        need(not r.flags & ~7, f"{f.what}: reserved flags are set")
        need(r.length, f"{f.what}: empty")
        r.granule, r.chunks = 1 << log2, -(-r.length // CHUNK)
        return r

    def check_cover(self):
        """§1: the regions cover every disk, in order and without a hole. Numbers the chunks too."""
        disk = reached = number = 0
        for i, r in enumerate(self.regions):
            while disk < r.disk and disk < len(self.disks) and reached == self.disks[disk].size:
                disk, reached = disk + 1, 0
            need(r.disk == disk < len(self.disks) and r.start == reached,
                 f"CORE: region {i} does not follow the one before")
            reached += r.length
            need(reached <= self.disks[disk].size, f"CORE: region {i} reaches beyond its disk")
            need(r.kind != 3 or r.length == self.disks[disk].size, f"CORE: region {i} is not the whole disk")
            r.first, number = number, number + r.chunks
        while disk < len(self.disks) and reached == self.disks[disk].size:
            disk, reached = disk + 1, 0
        need(disk == len(self.disks), f"CORE: the regions do not cover disk {disk}")
        self.chunks = number

    def inside(self, disk, start, length, what):
        need(disk < len(self.disks) and start + length <= self.disks[disk].size, f"{what}: a range outside the disk")

    def read_volume(self, f):
        v = SimpleNamespace()
        v.parent, v.kind, v.state, v.flags, v.size, v.used, v.unit, v.region, *counts = f.unpack("IBBHQQIIIII")
        v.driver, v.type, v.label, v.uuid, v.reason, v.notice = (f.text() for _ in range(6))
        need(v.parent == NONE or v.parent < len(self.volumes), f"{f.what}: bad parent")
        need(1 <= v.kind <= 5 and v.state <= 5 and not v.flags & ~15, f"{f.what}: bad kind, state or flags")
        need(v.region == NONE or v.region < len(self.regions), f"{f.what}: bad region")
        v.segments, v.arm, v.skipped = (f.take(24 * count) for count in counts)
        for ranges in (v.segments, v.arm, v.skipped):
            for disk, reserved, start, length in struct.iter_unpack("<IIQQ", ranges):
                need(not reserved, f"{f.what}: reserved bytes of a range are not zero")
                self.inside(disk, start, length, f.what)
        v.name = f.text() if f.left() else ""
        v.sector = f.number("I") if f.left() else 0
        need(not v.sector or (512 <= v.sector <= 65536 and not v.sector & (v.sector - 1)), f"{f.what}: bad sector size")
        return v

    def read_table(self, f):
        disk, start, length = f.unpack("IQI")
        need(length <= 4 << 20, f"{f.what}: too long")
        self.inside(disk, start, length, f.what)
        if self.tables:
            before = self.tables[-1]
            need((before[0], before[1] + len(before[2])) <= (disk, start), f"{f.what}: out of order")
        return disk, start, f.take(length)

    # -- section 6: the state of every byte --

    def read_extents(self, f):
        self.present = 0
        for i, r in enumerate(self.regions):
            what, size, chunks, bitmaps, before = f"CORE: extents of region {i}", CHUNK // r.granule // 8, 0, 0, None
            r.runs = f.take(8 * f.number("I"))
            for kind, count in struct.iter_unpack("<II", r.runs):
                need(kind <= 4 and count, f"{what}: bad run")
                need(before is None or before[0] != kind or before[1] == NONE, f"{what}: equal neighbours")
                before, chunks = (kind, count), chunks + count
                bitmaps += count * size * max(kind - 2, 0)
                self.present += count if kind else 0
            need(chunks == r.chunks, f"{what}: runs of {chunks} chunks where the region has {r.chunks}")
            r.bitmaps = f.take(bitmaps)
            self.check_bitmaps(r, what)
        f.end()

    def check_bitmaps(self, region, what):
        for span in self.spans([region]):
            for i in range(span.count if span.kind >= 3 else 0):
                c = self.chunk(span, span.first + i)
                need(not (c.used | c.zero) & ~c.full, f"{what}: chunk {c.number}: bits beyond the region")
                need(not c.used & c.zero, f"{what}: chunk {c.number}: used and zero at once")
                need(c.full not in (c.used, c.zero) and (c.zero if c.kind == 4 else c.used),
                     f"{what}: chunk {c.number}: a simpler kind would do")

    def spans(self, regions=None):
        """Every run, with the chunk number it begins at and the number of present chunks before it."""
        present = 0
        for r in self.regions if regions is None else regions:
            number, bitmap, size = r.first, 0, CHUNK // r.granule // 8
            for kind, count in struct.iter_unpack("<II", r.runs):
                yield SimpleNamespace(region=r, kind=kind, first=number, count=count, bitmap=bitmap, present=present)
                number, present = number + count, present + (count if kind else 0)
                bitmap += count * size * max(kind - 2, 0)

    @staticmethod
    def chunk(span, number):
        """One chunk of a span; its masks are integers, bit i stands for granule i."""
        r, kind = span.region, span.kind
        offset = (number - r.first) * CHUNK
        length = min(CHUNK, r.length - offset)
        full = (1 << -(-length // r.granule)) - 1
        used, zero = full if kind == 1 else 0, full if kind == 2 else 0
        if kind >= 3:
            size = CHUNK // r.granule // 8
            at = span.bitmap + (number - span.first) * size * (kind - 2)
            used = int.from_bytes(r.bitmaps[at:at + size], "little")
            zero = int.from_bytes(r.bitmaps[at + size:at + 2 * size], "little") if kind == 4 else 0
        return SimpleNamespace(number=number, kind=kind, index=span.present + number - span.first, granule=r.granule,
                               disk=r.disk, start=r.start + offset, length=length, full=full, used=used, zero=zero)

    def present_chunks(self):
        for span in self.spans():
            for number in range(span.first, span.first + span.count) if span.kind else ():
                yield self.chunk(span, number)

    def pieces(self, disk, start, length):
        """Yields (region, begin, end): the parts of a range of a disk, relative to the regions they lie in."""
        if not hasattr(self, "starts"):
            self.starts = [(r.disk, r.start) for r in self.regions]
        i = bisect.bisect_right(self.starts, (disk, start)) - 1
        while length:
            r = self.regions[i]
            step = min(length, r.start + r.length - start)
            yield r, start - r.start, start - r.start + step
            start, length, i = start + step, length - step, i + 1

    def table_pieces(self):
        """{chunk number: [(offset in the chunk, bytes)]} of the copies in section 5."""
        found = {}
        for disk, start, data in self.tables:
            for r, begin, end in self.pieces(disk, start, len(data)):
                while begin < end:
                    step = min(end - begin, CHUNK - begin % CHUNK)
                    at = r.start + begin - start
                    found.setdefault(r.first + begin // CHUNK, []).append((begin % CHUNK, bytes(data[at:at + step])))
                    begin += step
        return found


def keep(chunk, data, mask):
    """The data of a chunk with every byte cleared that the mask does not name or that is beyond the region."""
    if mask == chunk.full:
        return data if chunk.length == CHUNK else data[:chunk.length].ljust(CHUNK, b"\0")
    out = bytearray(CHUNK)
    for run in re.finditer("1+", format(mask, "b")[::-1]):
        begin, end = run.start() * chunk.granule, min(run.end() * chunk.granule, chunk.length)
        out[begin:end] = data[begin:end]
    return bytes(out)
