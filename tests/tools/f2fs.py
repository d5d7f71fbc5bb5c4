#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""f2fs.py COMMAND FILE ... - a reader of F2FS that shares nothing with the driver, and what tests do to such volumes.

    list FILE [OFFSET]     directories and files with size and hash; blocks of compressed files as they stand
    info FILE              some fields, as NAME=VALUE
    sum FILE               put the checksums right: superblocks, checkpoints, orphans
    flags FILE SET CLEAR   change the flags of both checkpoints
    normal FILE            current summaries in their long form instead of the compact one
    mirror FILE            make the other pack like the one that counts
    older FILE             and then older, with nothing in it that is true
    fill FILE TEXT         write it into all free blocks of the main area
    mutate FILE SEED       crude damage to the metadata; what was done, in words

Source: Linux include/linux/f2fs_fs.h and Documentation/filesystems/f2fs.rst.
"""
import hashlib
import random
import struct
import sys
import zlib

SEG = 512
MAGIC = 0xF2F52010
NULL, NEW, COMPRESSED = 0, 0xFFFFFFFF, 0xFFFFFFFE
COMPACT, UMOUNT, LARGE_NAT = 4, 1, 0x400


def crc(data, start=MAGIC):
    return zlib.crc32(data, start ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def bit(bitmap, i):
    return bitmap[i // 8] >> (7 - i % 8) & 1


def u16(b, at):
    return struct.unpack_from("<H", b, at)[0]


def u32(b, at):
    return struct.unpack_from("<I", b, at)[0]


class Volume:
    def __init__(self, path, offset=0, writable=False, may_be_broken=False):
        self.file = open(path, "r+b" if writable else "rb")
        self.offset = offset
        self.sb = self.raw(1024, 3072)
        self.bs = 1 << u32(self.sb, 16)
        names = ("seg0", "cp", "sit", "nat", "ssa", "main")
        for i, name in enumerate(names):
            setattr(self, name, u32(self.sb, 72 + 4 * i))
        self.segs_sit, self.segs_nat, _, self.segs_main = struct.unpack_from("<4I", self.sb, 56)
        self.features = u32(self.sb, 2180)
        self.payload = u32(self.sb, 1664)
        try:
            self.read_checkpoint()
        except (ValueError, struct.error, IndexError):
            if not may_be_broken:
                raise

    def raw(self, at, length):
        self.file.seek(self.offset + at)
        return self.file.read(length)

    def write(self, at, data):
        self.file.seek(self.offset + at)
        self.file.write(data)

    def block(self, n, count=1):
        return self.raw(n * self.bs, count * self.bs)

    # ---- checkpoint

    def pack_is_whole(self, head):
        at = u32(head, 164)
        if not 192 <= at <= self.bs - 4:
            return False
        c = crc(head[:at])
        if at < self.bs - 4:
            c = crc(head[at + 4:], c)
        return c == u32(head, at)

    def read_checkpoint(self):
        best = None
        self.packs = []
        for i in (0, 1):
            start = self.cp + i * SEG
            head = self.block(start)
            total = u32(head, 136)
            whole = self.pack_is_whole(head) and 2 < total <= SEG
            if whole:
                tail = self.block(start + total - 1)
                whole = self.pack_is_whole(tail) and tail[:8] == head[:8]
            version = struct.unpack_from("<Q", head)[0]
            self.packs.append((start, total, whole, version))
            if whole and (best is None or version > best[1]):
                best = (start, version)
        if best is None:
            raise ValueError("no checkpoint")
        self.pack = best[0]
        self.head = self.block(self.pack, 1 + self.payload)
        self.flags, self.total, self.start_sum = struct.unpack_from("<3I", self.head, 132)
        sit_len, nat_len = struct.unpack_from("<2I", self.head, 156)
        sit_at, nat_at = 192, 192 + sit_len
        if self.flags & LARGE_NAT:
            nat_at = 196
            sit_at = 196 + nat_len
        elif self.payload:
            nat_at, sit_at = 192, self.bs
        self.sit_bits = self.head[sit_at:sit_at + sit_len]
        self.nat_bits = self.head[nat_at:nat_at + nat_len]
        self.entries = self.bs // 8 * 7
        self.journal_len = self.bs - 5 - self.entries
        at = self.pack + self.start_sum
        if self.flags & COMPACT:
            both = self.block(at)
            nat, sit = both[:self.journal_len], both[self.journal_len:2 * self.journal_len]
        else:
            nat, sit = (self.block(at + n)[self.entries:][:self.journal_len] for n in (0, 2))
        self.nat_journal = self.journal(nat, 9)
        self.sit_journal = self.journal(sit, 74)

    @staticmethod
    def journal(data, size):
        return {u32(data, 2 + i * (4 + size)): data[6 + i * (4 + size):][:size] for i in range(u16(data, 0))}

    # ---- tables

    def sit_place(self, segno):
        i = segno // (self.bs // 74)
        return self.sit + i + (self.segs_sit // 2 * SEG if bit(self.sit_bits, i) else 0)

    def nat_place(self, nid):
        i = nid // (self.bs // 9)
        return self.nat + i // SEG * 2 * SEG + i % SEG + (SEG if bit(self.nat_bits, i) else 0)

    def nat_entry(self, nid):
        if nid in self.nat_journal:
            e = self.nat_journal[nid]
        else:
            e = self.block(self.nat_place(nid))[nid % (self.bs // 9) * 9:][:9]
        return struct.unpack("<BII", e)[1:]

    def node(self, nid):
        ino, place = self.nat_entry(nid)
        if place in (NULL, NEW):
            raise ValueError(f"node {nid} is nowhere")
        b = self.block(place)
        if len(b) < self.bs or u32(b, self.bs - 24) != nid or u32(b, self.bs - 20) != ino:
            raise ValueError(f"node {nid} is not in block {place}")
        return b

    # ---- files

    def pointers(self, nid, depth, index):
        """(index, address) of what a tree of nodes names"""
        per = (self.bs - 24) // 4
        if not nid:
            return
        b = self.node(nid)
        for i, x in enumerate(struct.unpack_from(f"<{per}I", b)):
            if depth == 0:
                yield index + i, x
            else:
                yield from self.pointers(x, depth - 1, index + i * per ** depth)

    def data(self, inode):
        """Blocks of a file: (index, content)"""
        per, nr = (self.bs - 24) // 4, (self.bs - 360 - 24) // 4 - 5
        flags = inode[3]
        extra = u16(inode, 360) // 4 if flags & 0x20 else 0
        xattr = 50 if flags & 5 else 0
        if flags & 0x20 and self.features & 0x40:
            xattr = u16(inode, 362)
        if flags & 6:
            yield 0, inode[360 + 4 * extra + 4:360 + 4 * (nr - xattr)]
            return
        room = nr - extra - xattr
        log = inode[360 + 33] if self.features & 0x2000 and flags & 0x20 and u32(inode, 80) & 4 and extra * 4 > 33 else 0
        if log and u16(inode, 0) & 0o170000 == 0o100000:
            room = room >> log << log
        addresses = list(enumerate(struct.unpack_from(f"<{room}I", inode, 360 + 4 * extra)))
        nids = struct.unpack_from("<5I", inode, 360 + 4 * nr)
        index = room
        for nid, depth in zip(nids, (0, 0, 1, 1, 2)):
            addresses.extend(self.pointers(nid, depth, index))
            index += per ** (depth + 1)
        for i, x in addresses:
            if x not in (NULL, NEW, COMPRESSED):
                b = self.block(x)
                if len(b) < self.bs:
                    raise ValueError(f"no block {x}")
                yield i, b

    @staticmethod
    def dentries(area):
        """struct f2fs_dentry_block, or as much of it as an inode has room for"""
        nr = len(area) * 8 // (19 * 8 + 1)
        map_len = (nr + 7) // 8
        table, names = len(area) - nr * 19, len(area) - nr * 8
        i = 0
        while i < nr:
            if not area[i // 8] >> (i % 8) & 1:
                i += 1
                continue
            _, ino, length, kind = struct.unpack_from("<IIHB", area, table + i * 11)
            yield area[names + i * 8:][:length], ino, kind
            i += max(1, (length + 7) // 8)
        assert map_len <= table

    def walk(self, ino, path, seen):
        inode = self.node(ino)
        kind = u16(inode, 0) & 0o170000
        size = struct.unpack_from("<Q", inode, 16)[0]
        if kind == 0o040000:
            if ino in seen:
                raise ValueError(f"inode {ino} is in two folders")
            seen.add(ino)
            print(f"d {path!r}")
            for _, area in self.data(inode):
                for name, child, _ in self.dentries(area):
                    if name not in (b".", b".."):
                        self.walk(child, path + b"/" + name, seen)
        else:
            h = hashlib.sha256(inode[:12])
            if kind in (0o100000, 0o120000):
                for i, b in self.data(inode):
                    h.update(struct.pack("<I", i) + b)
            print(f"f {path!r} {size} {h.hexdigest()}")

    # ---- changes

    def sum(self):
        for at in (1024, self.bs + 1024):
            sb = self.raw(at, 3072)
            if u32(sb, 2180) & 0x800 and u32(sb, 32) == 3068:
                self.write(at + 3068, struct.pack("<I", crc(sb[:3068])))
        for start, total, _, _ in self.packs:
            for n in {start, start + total - 1} if 2 < total <= SEG else {start}:
                b = self.block(n)
                at = u32(b, 164)
                if 192 <= at <= self.bs - 4:
                    c = crc(b[:at])
                    c = crc(b[at + 4:], c) if at < self.bs - 4 else c
                    self.write(n * self.bs + at, struct.pack("<I", c))

    def change_heads(self, change):
        """Of both packs, the first and the last block"""
        for start, total, whole, _ in self.packs:
            for n in (start, start + total - 1) if whole else ():
                b = bytearray(self.block(n))
                change(b)
                self.write(n * self.bs, bytes(b))
        self.sum()

    def set_flags(self, on, off):
        def change(b):
            struct.pack_into("<I", b, 132, (u32(b, 132) | on) & ~off)
        self.change_heads(change)

    def to_normal(self):
        """Only what the driver looks at is true in them: the journals."""
        if not self.flags & COMPACT:
            sys.exit("the summaries are not compact")
        old = self.total
        blocks = self.block(self.pack, old)
        nodes = blocks[(old - 4) * self.bs:(old - 1) * self.bs]
        compact = blocks[self.start_sum * self.bs:][:self.bs]
        before = blocks[:self.start_sum * self.bs]
        data = [bytearray(self.bs) for _ in range(3)]
        data[0][self.entries:self.entries + self.journal_len] = compact[:self.journal_len]
        data[2][self.entries:self.entries + self.journal_len] = compact[self.journal_len:2 * self.journal_len]
        at = 2 * self.journal_len
        for i, block in enumerate(data):
            length = 7 * u16(self.head, 116 + 2 * i)  # mkfs fills less than a block
            block[:length] = compact[at:at + length]
            at += length
            block[self.bs - 5] = 0
        head = bytearray(before[:self.bs])
        total = self.start_sum + 7
        struct.pack_into("<2I", head, 132, self.flags & ~COMPACT, total)
        pack = bytes(head) + before[self.bs:] + b"".join(data) + nodes + bytes(head)
        self.write(self.pack * self.bs, pack)
        self.packs = [(self.pack, total, True, 0)]
        self.sum()

    def copy_pack(self, make_older):
        start = self.cp + (SEG if self.pack == self.cp else 0)
        pack = bytearray(self.block(self.pack, self.total))
        for n in (0, self.total - 1) if make_older else ():
            at = n * self.bs
            struct.pack_into("<Q", pack, at, struct.unpack_from("<Q", pack, at)[0] - 1)
            pack[at + 192:at + 400] = b"\x5a" * 208
        self.write(start * self.bs, bytes(pack))
        self.packs = [(start, self.total, True, 0)]
        self.sum()

    def sit_entry(self, segno):
        if segno in self.sit_journal:
            return self.sit_journal[segno]
        return self.block(self.sit_place(segno))[segno % (self.bs // 74) * 74:][:74]

    def fill_free(self, text):
        """All but the block where a mounter looks for nodes after the checkpoint"""
        warm = u32(self.head, 40) * SEG + u16(self.head, 70)
        content = (text * (self.bs // len(text) + 1))[:self.bs]
        for segno in range(self.segs_main):
            bitmap = self.sit_entry(segno)[2:66]
            for i in range(SEG):
                if not bit(bitmap, i) and segno * SEG + i != warm:
                    self.write((self.main + segno * SEG + i) * self.bs, content)

    def nodes(self):
        for i in range(min(4000, self.segs_nat // 2 * SEG * (self.bs // 9))):
            try:
                place = self.nat_entry(i)[1]
            except struct.error:
                return
            if i > 2 and place not in (NULL, NEW) and place >= self.main:
                yield place

    def places(self):
        nat_used = [i for i in range(SEG) if any(self.block(self.nat + i))] or [0]
        start = self.pack
        yield "sb", 1024, 200
        yield "sb", 1024 + 1664, 4
        yield "sb2", self.bs + 1024, 200
        yield "cp", start * self.bs, 400
        yield "cp", (start + self.total - 1) * self.bs, 400
        yield "summary", (start + self.start_sum) * self.bs, 2 * self.journal_len
        yield "sit", self.sit_place(0) * self.bs, min(self.bs, self.segs_main * 74)
        yield "nat", self.nat_place(nat_used[0] * (self.bs // 9)) * self.bs, self.bs
        places = sorted(self.nodes())
        for p in places[:40]:
            yield "node", p * self.bs, 400
            yield "node", p * self.bs, self.bs

    def mutate(self, seed):
        rng = random.Random(seed)
        places = list(self.places())
        weights = {"sb": 2, "sb2": 1, "cp": 3, "summary": 6, "sit": 8, "nat": 8, "node": 0.2}
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            name, start, length = rng.choices(places, [weights[p[0]] for p in places])[0]
            size = min(length, rng.choice((1, 1, 1, 2, 4, 8, 64, 512)))
            at = start + rng.randrange(length - size + 1)
            old = self.raw(at, size)
            new = rng.choice((
                lambda: bytes([old[0] ^ 1 << rng.randrange(8)]) + old[1:],
                lambda: bytes(size),
                lambda: b"\xff" * size,
                lambda: rng.randbytes(size),
                lambda: self.raw(start + rng.randrange(length - size + 1), size)))()
            self.write(at, new)
            print(f"{name} {at}:{size}")
        if rng.randrange(4):
            self.sum()
            print("checksums")


def main():
    command, path, *rest = sys.argv[1:]
    if command == "list":
        v = Volume(path, int(rest[0]) if rest else 0)
        try:
            v.walk(3, b"", set())
        except (ValueError, struct.error, IndexError, AssertionError, RecursionError) as error:
            sys.exit(f"{path}: {error}")
        return
    v = Volume(path, writable=True, may_be_broken=command == "sum")
    if command == "info":
        for name in ("bs", "seg0", "cp", "sit", "nat", "ssa", "main", "segs_main", "segs_sit", "segs_nat", "features", "payload", "pack",
                     "total", "start_sum", "flags"):
            print(f"{name}={getattr(v, name)}")
        print(f"nat_journal={len(v.nat_journal)}\nsit_journal={len(v.sit_journal)}")
        print(f"packs={','.join(str(int(p[2])) for p in v.packs)}")
    elif command == "sum":
        v.sum()
    elif command == "flags":
        v.set_flags(int(rest[0], 0), int(rest[1], 0))
    elif command == "normal":
        v.to_normal()
    elif command == "fill":
        v.fill_free(rest[0].encode() + b"\n")
    elif command in ("older", "mirror"):
        v.copy_pack(command == "older")
    elif command == "mutate":
        v.mutate(int(rest[0]))
    else:
        sys.exit(__doc__)


main()
