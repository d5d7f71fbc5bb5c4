#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An NTFS volume inside a file, as far as tests change it. Shares nothing with the driver. As a program:

ntfs_image.py mark FILE OFFSET dirty|journal|kept|clean   set the dirty flag, or write restart pages into $LogFile
ntfs_image.py split FILE OFFSET NUMBER VCN                $DATA of a record in two extents, by an attribute list and record 24
ntfs_image.py bad FILE OFFSET LCN COUNT                   clusters that $BadClus lists, and $Bitmap calls used
ntfs_image.py ranges FILE OFFSET                          START LENGTH NAME of what the file system itself consists of
ntfs_image.py seed FILE OUT                               the same as an input of tests/fuzz/fuzz_ntfs.c
"""
import struct
import sys

LIST, VOLUME_INFO, DATA, INDEX, BITMAP = 0x20, 0x70, 0x80, 0xA0, 0xB0
END = 0xFFFFFFFF


class Volume:
    def __init__(self, path, start=0):
        self.file = open(path, "r+b")
        self.start = start
        boot = self.read(0, 512)
        self.sector, per_cluster = struct.unpack_from("<HB", boot, 11)
        self.cluster = self.sector * (per_cluster if per_cluster <= 128 else 1 << 256 - per_cluster)
        self.sectors, mft, mirror = struct.unpack_from("<3Q", boot, 40)
        self.record_size = boot[64] * self.cluster if boot[64] < 128 else 1 << 256 - boot[64]
        self.mft, self.mirror = mft * self.cluster, mirror * self.cluster

    def read(self, at, length):
        self.file.seek(self.start + at)
        return self.file.read(length)

    def write(self, at, data):
        self.file.seek(self.start + at)
        self.file.write(data)

    def record(self, number):
        rec = bytearray(self.read(self.mft + number * self.record_size, self.record_size))
        usa, count = struct.unpack_from("<HH", rec, 4)
        for i in range(1, count):
            rec[i * 512 - 2:i * 512] = rec[usa + 2 * i:usa + 2 * i + 2]
        return rec

    def put_record(self, number, rec):
        rec = protected(rec)
        self.write(self.mft + number * self.record_size, rec)
        if number < 4:
            self.write(self.mirror + number * self.record_size, rec)

    def runs(self, rec, kind):
        """(LCN, clusters) of the first attribute of this kind that is not resident; LCN None is a hole"""
        for at, this, length in attributes(rec):
            if this != kind or not rec[at + 8]:
                continue
            p, lcn = at + struct.unpack_from("<H", rec, at + 32)[0], 0
            while rec[p]:
                n, m = rec[p] & 15, rec[p] >> 4
                count = int.from_bytes(rec[p + 1:p + 1 + n], "little")
                lcn += int.from_bytes(rec[p + 1 + n:p + 1 + n + m], "little", signed=True)
                yield (lcn if m else None, count)
                p += 1 + n + m
            return


def protected(rec):
    """The record with its update sequence in place"""
    rec = bytearray(rec)
    usa, count = struct.unpack_from("<HH", rec, 4)
    for i in range(1, count):
        rec[usa + 2 * i:usa + 2 * i + 2] = rec[i * 512 - 2:i * 512]
        rec[i * 512 - 2:i * 512] = rec[usa:usa + 2]
    return rec


def attributes(rec):
    at = struct.unpack_from("<H", rec, 20)[0]
    while True:
        kind, length = struct.unpack_from("<II", rec, at)
        if kind == END:
            return
        yield at, kind, length
        at += length


def find(rec, kind):
    return next(at for at, this, length in attributes(rec) if this == kind)


def mark(volume, what):
    rec = volume.record(3)
    struct.pack_into("<H", rec, find(rec, VOLUME_INFO) + 0x18 + 10, what == "dirty")
    volume.put_record(3, rec)
    if what == "dirty":
        return
    page = bytearray(4096)
    major, flags = 2 if what == "kept" else 1, 0 if what == "journal" else 2
    struct.pack_into("<4sHH8xIIHHH", page, 0, b"RSTR", 30, 9, 4096, 4096, 48, 2 - major, major)
    struct.pack_into("<QHHHH", page, 48, 1000, 1, 0xFFFF, 0, flags)
    struct.pack_into("<H", page, 30, 7)
    at = next(volume.runs(volume.record(2), DATA))[0] * volume.cluster
    volume.write(at, protected(page) * 2)


def run(lcn, count):
    return struct.pack("<BIq", 0x84, count, lcn)


def extent(first, last, lcn, sizes=bytes(24)):
    return struct.pack("<IIBBHHHQQHHI", DATA, 80, 1, 0, 64, 0, 0, first, last, 64, 0, 0) + sizes + (run(lcn, last - first + 1) + bytes(3))


def split(volume, number, vcn):
    rec = volume.record(number)
    (lcn, count), own = next(volume.runs(rec, DATA)), struct.unpack_from("<H", rec, 16)[0]
    parts, entries = [], b""
    for at, kind, length in attributes(rec):
        body = bytes(rec[at:at + length])
        entries += struct.pack("<IHBBQQH6x", kind, 32, 0, 26, 0, number | own << 48, struct.unpack_from("<H", rec, at + 14)[0])
        if kind == DATA:
            entries += struct.pack("<IHBBQQH6x", kind, 32, 0, 26, vcn, 24 | 1 << 48, 0)
            body = extent(0, vcn - 1, lcn, body[40:64])
        parts.append(body)
    parts.insert(1, struct.pack("<IIBBHHHIHH", LIST, 24 + len(entries), 0, 0, 0, 0, 9, len(entries), 24, 0) + entries)
    put_attributes(volume, number, rec, parts)
    other = bytearray(rec[:struct.unpack_from("<H", rec, 20)[0]])
    other = other.ljust(volume.record_size, b"\0")
    struct.pack_into("<H", other, 16, 1)
    struct.pack_into("<Q", other, 32, number | own << 48)
    struct.pack_into("<I", other, 44, 24)
    put_attributes(volume, 24, other, [extent(vcn, count - 1, lcn + vcn)])


def bad(volume, lcn, count):
    rec, total = volume.record(8), volume.sectors * volume.sector // volume.cluster
    hole = b"\x04" + struct.pack("<I", lcn), b"\x04" + struct.pack("<I", total - lcn - count)
    runs = hole[0] + run(lcn, count) + hole[1] + b"\0"
    parts = []
    for at, kind, length in attributes(rec):
        body = bytes(rec[at:at + length])
        if kind == DATA and body[9]:  # named $Bad
            first = struct.unpack_from("<H", body, 32)[0]
            body = (body[:first] + runs).ljust((first + len(runs) + 7) & ~7, b"\0")
            body = body[:4] + struct.pack("<I", len(body)) + body[8:]
        parts.append(body)
    put_attributes(volume, 8, rec, parts)
    bitmap = next(volume.runs(volume.record(6), DATA))[0] * volume.cluster
    for c in range(lcn, lcn + count):
        byte = volume.read(bitmap + c // 8, 1)[0]
        volume.write(bitmap + c // 8, bytes([byte | 1 << c % 8]))


def put_attributes(volume, number, rec, parts):
    first = struct.unpack_from("<H", rec, 20)[0]
    body = b"".join(parts) + struct.pack("<II", END, 0)
    rec = bytearray(rec[:first]) + body
    struct.pack_into("<I", rec, 24, len(rec))
    assert len(rec) <= volume.record_size
    volume.put_record(number, rec.ljust(volume.record_size, b"\0"))


def ranges(volume):
    """Not the tables that nobody looks at here ($UpCase, $AttrDef, $Secure), nor the body of the journal"""
    yield 0, 512, "boot"
    yield volume.sectors * volume.sector, 512, "backup"
    mft = next(volume.runs(volume.record(0), DATA))
    rec = volume.record(0)
    used = struct.unpack_from("<Q", rec, find(rec, DATA) + 56)[0]
    yield mft[0] * volume.cluster, min(used, mft[1] * volume.cluster), "mft"
    yield volume.mirror, 4 * volume.record_size, "mirror"
    for number, kind, name, most in (0, BITMAP, "mft-bitmap", 512), (2, DATA, "journal", 4096), (5, INDEX, "root", 8192), (6, DATA, "bitmap", 8192):
        for lcn, count in volume.runs(volume.record(number), kind):
            yield lcn * volume.cluster, min(count * volume.cluster, most), name


def seed(volume, out):
    volume.file.seek(0, 2)
    size = volume.file.tell()
    with open(out, "wb") as f:
        f.write(struct.pack("<Q", size))
        for start, length, name in ranges(volume):
            if name in ("mirror", "backup"):
                continue
            for at in range(start, start + length, 512):
                sector, number = volume.read(at, 512), (at - start) // volume.record_size
                # Of records that are not in use, and of 12 to 23, nobody expects anything.
                if any(sector) and (name != "mft" or (not 12 <= number < 24 and volume.record(number)[22] & 1)):
                    f.write(struct.pack("<I", at // 512) + sector)


def main():
    command, path, *rest = sys.argv[1:]
    if command == "seed":
        seed(Volume(path), rest[0])
        return
    volume = Volume(path, int(rest[0]))
    if command == "mark":
        mark(volume, rest[1])
    elif command == "split":
        split(volume, int(rest[1]), int(rest[2]))
    elif command == "bad":
        bad(volume, int(rest[1]), int(rest[2]))
    elif command == "ranges":
        for start, length, name in ranges(volume):
            print(start, length, name)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
