#!/usr/bin/env python3
"""Knows just enough of partition tables to hold the program against: no code of it is used.

table_bytes.py places DISK SECTOR      prints "NUMBER START LENGTH" in bytes for each partition
table_bytes.py structures DISK SECTOR  prints "START LENGTH" for every piece the tables consist of
table_bytes.py compare DISK OTHER SECTOR   compares these pieces of two disks of the same size
"""
import os
import struct
import sys

EXTENDED = (0x05, 0x0F, 0x85)


class Disk:
    def __init__(self, path, sector):
        self.file, self.sector = open(path, "rb"), sector
        self.size = self.file.seek(0, os.SEEK_END)
        self.places, self.structures = [], []
        mbr = self.read(0, 512)
        if mbr[510:] == b"\x55\xaa":
            self.structures.append((0, sector))
            self.gpt() if self.read(sector, 8) == b"EFI PART" else self.mbr(mbr)

    def read(self, start, length):
        self.file.seek(start)
        return self.file.read(length)

    def gpt(self):
        header = self.read(self.sector, 92)
        backup, = struct.unpack_from("<Q", header, 32)
        entries, count, width = struct.unpack_from("<QII", header, 72)
        self.structures += [(self.sector, self.sector), (entries * self.sector, count * width),
                            (backup * self.sector, self.sector)]
        entries_backup, = struct.unpack_from("<Q", self.read(backup * self.sector, 92), 72)
        self.structures.append((entries_backup * self.sector, count * width))
        for i in range(count):
            entry = self.read(entries * self.sector + i * width, width)
            first, last = struct.unpack_from("<QQ", entry, 32)
            if entry[:16] != bytes(16):
                self.places.append((i + 1, first * self.sector, (last + 1 - first) * self.sector))

    def mbr(self, mbr):
        for i in range(4):
            kind, start, length = self.entry(mbr, i)
            if kind in EXTENDED:
                self.chain(start)
            elif kind:
                self.places.append((i + 1, start, length))

    def entry(self, sector, i):
        start, length = struct.unpack_from("<II", sector, 446 + 16 * i + 8)
        return sector[446 + 16 * i + 4], start * self.sector, length * self.sector

    def chain(self, base):
        at, number = base, 5
        while at:
            ebr = self.read(at, 512)
            self.structures.append((at, self.sector))
            kind, start, length = self.entry(ebr, 0)
            if kind:
                self.places.append((number, at + start, length))
                number += 1
            kind, start, _ = self.entry(ebr, 1)
            at = base + start if kind else 0


def main():
    command, disk, sector = sys.argv[1], Disk(sys.argv[2], int(sys.argv[-1])), int(sys.argv[-1])
    if command == "places":
        for place in disk.places:
            print(*place)
    elif command == "structures":
        for piece in sorted(disk.structures):
            print(*piece)
    else:
        other = Disk(sys.argv[3], sector)
        if not disk.structures or disk.structures != other.structures:
            sys.exit(f"other structures: {disk.structures} and {other.structures}")
        for piece in disk.structures:
            if disk.read(*piece) != other.read(*piece):
                sys.exit(f"the table differs at {piece[0]}")


main()
