#!/usr/bin/env python3
"""Makes and reads exFAT volumes from Microsoft's specification alone: no code of the program, of exfatprogs or of a kernel.

exfat.py make FILE SIZE [KEY=VALUE...]  a volume with files in it; see OPTIONS for the keys
exfat.py list FILE [OFFSET]             every file and directory with size and SHA-256, names sorted
exfat.py places FILE                    "NAME START LENGTH" in bytes of what a volume consists of, one for each run of clusters
exfat.py sum FILE                       puts the checksums of both boot regions right
exfat.py mutate FILE SEED               damages something in the boot regions, FATs, bitmaps, or directories; says what

Sections of the specification are named as §.
"""
import hashlib
import random
import struct
import sys

END, BAD = 0xFFFFFFFF, 0xFFFFFFF7
MARKER = b"Calco-test: this was " + b"deleted before the capture\n"
OPTIONS = {
    "sector": 512, "cluster": 4096, "fats": 1, "active": 0, "seed": 1, "files": 120, "dirs": 12, "deleted": 20, "bad": 0,
    "max": 20000,      # bytes in a file
    "gap": 0,          # sectors between the FATs and the clusters
    "label": "Volume", "serial": 0x12AB34EF,
    "second": 0,       # TexFAT: clusters that only the inactive bitmap has
    "clusters": 0,     # 0: as many as fit
    "junk": 1,         # marks without a meaning in the FAT entries of free clusters and contiguous files
}


def checksum32(data, skip=()):
    total = 0
    for i, byte in enumerate(data):
        if i not in skip:
            total = ((total << 31 | total >> 1) + byte) & 0xFFFFFFFF
    return total


def checksum16(data, skip=()):
    total = 0
    for i, byte in enumerate(data):
        if i not in skip:
            total = ((total << 15 | total >> 1) + byte) & 0xFFFF
    return total


def upcase_table():
    """§7.2.5: compressed; only a to z have an upper case."""
    units = [0xFFFF, 0x61, *range(0x41, 0x5B), 0xFFFF, 0x10000 - 0x7B]
    return struct.pack(f"<{len(units)}H", *units)


def upper(name):
    return "".join(c.upper() if "a" <= c <= "z" else c for c in name)


class Node:
    def __init__(self, name, data=None):
        self.name, self.data, self.children = name, data, [] if data is None else None
        self.clusters, self.contiguous, self.deleted, self.length = [], True, False, 0

    def entry_set(self):
        """§7.4, §7.6, §7.7: file, stream extension, names."""
        units = self.name.encode("utf-16-le")
        parts = [units[i:i + 30].ljust(30, b"\0") for i in range(0, len(units), 30)]
        attributes = 0x10 if self.children is not None else 0x20
        first = struct.pack("<BBHHHIIIBBBBB7x", 0x85, 1 + len(parts), 0, attributes, 0, 0x57215A5A, 0x57215A5A, 0x57215A5A,
                            0, 0, 0x80, 0x80, 0x80)
        flags = 1 | (2 if self.contiguous and self.clusters else 0)
        stream = struct.pack("<BBxBHxxQxxxxIQ", 0xC0, flags, len(units) // 2, checksum16(upper(self.name).encode("utf-16-le")),
                             self.length, self.clusters[0] if self.clusters else 0, self.length)
        entries = bytearray(first + stream + b"".join(b"\xC1\0" + p for p in parts))
        struct.pack_into("<H", entries, 2, checksum16(entries, (2, 3)))
        if self.deleted:
            for i in range(0, len(entries), 32):
                entries[i] &= 0x7F
        return bytes(entries)


class Maker:
    def __init__(self, path, size, options):
        self.o = dict(OPTIONS)
        for option in options:
            key, value = option.split("=", 1)
            self.o[key] = type(OPTIONS[key])(value) if isinstance(OPTIONS[key], str) else int(value, 0)
        self.random = random.Random(self.o["seed"])
        self.file = open(path, "w+b")
        self.sector, self.cluster = self.o["sector"], self.o["cluster"]
        self.sectors = size // self.sector
        self.lay_out()

    def lay_out(self):
        per = self.cluster // self.sector
        self.count = self.o["clusters"] or self.sectors // per
        while True:
            self.fat_len = -(-(self.count + 2) * 4 // self.sector)
            self.heap = 24 + self.fat_len * self.o["fats"] + self.o["gap"]
            if self.heap + self.count * per <= self.sectors:
                break
            self.count -= max(1, (self.heap + self.count * per - self.sectors) // per)
        self.fat = [0] * (self.count + 2)
        self.fat[:2] = [0xFFFFFFF8, END]
        self.used, self.free = set(), list(range(2, self.count + 2))

    def at(self, cluster):
        return (self.heap + (cluster - 2) * (self.cluster // self.sector)) * self.sector

    def take(self, number, contiguous):
        if contiguous:
            run = self.find_run(number)
        else:
            start = self.random.randrange(max(1, len(self.free) - 4 * number))
            room = self.free[start:start + 4 * number]
            run = self.random.sample(room, number)
        self.free = [c for c in self.free if c not in set(run)]
        self.used.update(run)
        if not contiguous:
            for a, b in zip(run, run[1:] + [END]):
                self.fat[a] = b
        elif self.o["junk"]:
            for c in run:
                self.fat[c] = self.random.choice((0, BAD, END, c + 1, 12345678))
        return run

    def find_run(self, number):
        start = 0
        for i in range(1, len(self.free) + 1):
            if i - start == number:
                return self.free[start:i]
            if i < len(self.free) and self.free[i] != self.free[i - 1] + 1:
                start = i
        raise SystemExit(f"no {number} clusters in one piece")

    def store(self, node, data, contiguous):
        node.length = len(data)
        node.contiguous = contiguous
        if data:
            node.clusters = self.take(-(-len(data) // self.cluster), contiguous)
            self.write(node.clusters, data)

    def write(self, clusters, data):
        for i, c in enumerate(clusters):
            self.file.seek(self.at(c))
            self.file.write(data[i * self.cluster:(i + 1) * self.cluster])

    def content(self):
        kind, length = self.random.random(), self.random.randrange(self.o["max"] + 1)
        if kind < 0.1:
            return b""
        if kind < 0.5:
            return (b"%d is a line of text\n" % length * (length // 16 + 1))[:length]
        return self.random.randbytes(length)

    def name(self, i):
        return f"{i} " + self.random.choice(("plain.txt", "Größe €", "𝄞 beyond", "x" * 200, "a name of middling length.dat"))

    def tree(self):
        root = Node("")
        folders = [root]
        for i in range(self.o["dirs"]):
            # Every other one below the last: deep and broad
            node = Node(f"folder {i}")
            self.random.choice(folders[-1:] if i % 2 else folders).children.append(node)
            folders.append(node)
        for i in range(self.o["files"]):
            self.random.choice(folders).children.append(Node(self.name(i), self.content()))
        for i in range(self.o["deleted"]):
            gone = Node(f"deleted {i}", (MARKER * (self.o["max"] // len(MARKER) + 1))[:self.o["max"]])
            gone.deleted = True
            self.random.choice(folders).children.append(gone)
        for folder in folders:
            self.random.shuffle(folder.children)
        return root, folders

    def make(self):
        self.file.truncate(self.sectors * self.sector)
        fats = self.o["fats"]
        bitmap_len = -(-self.count // 8)
        bitmaps = [self.chain(bitmap_len) for _ in range(fats)]
        upcase = self.chain(len(upcase_table()))
        self.write(upcase, upcase_table())
        root, folders = self.tree()
        files = [n for f in folders for n in f.children if n.data is not None]
        self.random.shuffle(files)
        for node in files:
            self.store(node, node.data, self.random.random() < 0.6)
        # What is below first: a folder's length is known when its entries are.
        for folder in reversed(folders[1:]):
            self.store_folder(folder, b"")
        for _ in range(self.o["bad"]):
            self.fat[self.take(1, False)[0]] = BAD
        label = self.o["label"].encode("utf-16-le")
        head = struct.pack("<BB30s", 0x83, len(label) // 2, label)
        for i, b in enumerate(bitmaps):
            head += struct.pack("<BB18xIQ", 0x81, i, b[0], bitmap_len)
        head += struct.pack("<B3xI12xIQ", 0x82, checksum32(upcase_table()), upcase[0], len(upcase_table()))
        self.store_folder(root, head)
        for node in files:
            if node.deleted:
                self.used.difference_update(node.clusters)
        self.finish(bitmaps, root.clusters[0])

    def chain(self, length):
        """Tables have chains, though not all systems follow them: so in one piece, and with a chain."""
        junk, self.o["junk"] = self.o["junk"], 0
        run = self.take(-(-length // self.cluster), True)
        self.o["junk"] = junk
        for a, b in zip(run, run[1:] + [END]):
            self.fat[a] = b
        return run

    def store_folder(self, node, head):
        data = head + b"".join(c.entry_set() for c in node.children)
        data = data.ljust(max(1, -(-len(data) // self.cluster)) * self.cluster, b"\0")
        self.store(node, data, node.name != "" and self.random.random() < 0.5)

    def finish(self, bitmaps, root):
        for i, clusters in enumerate(bitmaps):
            bits = bytearray(-(-self.count // 8))
            for c in self.used:
                bits[(c - 2) // 8] |= 1 << (c - 2) % 8
            if self.count % 8:
                bits[-1] |= 0xFF << self.count % 8 & 0xFF if self.o["junk"] > 1 else 0
            if i != self.o["active"]:
                for c in [c for c in self.free if c not in self.used][:self.o["second"]]:
                    bits[(c - 2) // 8] |= 1 << (c - 2) % 8
            self.write(clusters, bytes(bits))
        for i in range(self.o["fats"]):
            self.file.seek((24 + i * self.fat_len) * self.sector)
            # An inactive FAT may lag behind.
            fat = self.fat if i == self.o["active"] or not self.o["second"] else self.fat[:2] + [0] * self.count
            self.file.write(struct.pack(f"<{len(fat)}I", *fat))
        shift = self.sector.bit_length() - 1
        boot = struct.pack("<3s8s53xQQIIIIIIHHBBBBB7x", b"\xEB\x76\x90", b"EXFAT   ", 0, self.sectors, 24, self.fat_len, self.heap,
                           self.count, root, self.o["serial"], 0x100, self.o["active"], shift,
                           self.cluster.bit_length() - 1 - shift, self.o["fats"], 0x80, 0xFF)
        region = bytearray(boot.ljust(510, b"\xF4") + b"\x55\xAA").ljust(self.sector, b"\0")
        region += (bytes(self.sector - 4) + b"\0\0\x55\xAA") * 8 + bytes(2 * self.sector)
        region += struct.pack("<I", checksum32(region, (106, 107, 112))) * (self.sector // 4)
        self.file.seek(0)
        self.file.write(region * 2)


class Reader:
    def __init__(self, path, offset=0):
        self.file, self.offset = open(path, "r+b"), offset
        boot = self.read(0, 512)
        (self.sectors, self.fat_at, self.fat_len, self.heap, self.count, self.root, self.serial, _, self.flags, shift, per,
         self.fats) = struct.unpack_from("<QIIIIIIHHBBB", boot, 72)
        self.sector, self.cluster = 1 << shift, 1 << shift + per
        self.active = self.flags & 1
        if self.heap + self.count * (self.cluster // self.sector) > self.file.seek(0, 2) // self.sector:
            raise SystemExit("larger than the file")
        fat = self.read((self.fat_at + self.active * self.fat_len) * self.sector, (self.count + 2) * 4)
        self.fat = struct.unpack(f"<{self.count + 2}I", fat)

    def read(self, start, length):
        self.file.seek(self.offset + start)
        return self.file.read(length)

    def at(self, cluster):
        return self.heap * self.sector + (cluster - 2) * self.cluster

    def clusters(self, first, length, contiguous):
        number = -(-length // self.cluster)
        if number > self.count or contiguous and not 2 <= first <= self.count + 2 - number:
            raise SystemExit(f"{length} bytes at {first} do not fit")
        if contiguous:
            return list(range(first, first + number))
        chain = []
        while first != END and (length < 0 or len(chain) < number):
            if not 2 <= first < self.count + 2 or len(chain) > self.count:
                raise SystemExit(f"broken chain at {first}")
            chain.append(first)
            first = self.fat[first]
        return chain

    def content(self, clusters):
        return b"".join(self.read(self.at(c), self.cluster) for c in clusters)

    def entries(self, clusters):
        """Sets of a primary entry and its secondary ones"""
        data, i = self.content(clusters), 0
        while i < len(data) and data[i]:
            number = data[i + 1] if data[i] == 0x85 else 0
            if data[i] & 0x80:
                yield data[i:i + 32 * (number + 1)]
            i += 32 * (number + 1)

    def walk(self):
        """(path, kind, length, valid length, clusters), folders before what is in them; those of the volume itself begin with '$'"""
        root = self.clusters(self.root, -1, False)
        yield "$root", "d", len(root) * self.cluster, 0, root
        pending, seen = [("", root)], set()
        while pending:
            path, clusters = pending.pop()
            if clusters[:1] and clusters[0] in seen:
                raise SystemExit(f"{path} is there twice")
            seen.update(clusters)
            for s in self.entries(clusters):
                if s[0] in (0x81, 0x82):
                    first, length = struct.unpack_from("<IQ", s, 20)
                    name = f"$bitmap{s[1] & 1}" if s[0] == 0x81 else "$upcase"
                    yield name, "t", length, length, self.clusters(first, length, False)
                if s[0] != 0x85:
                    continue
                flags, units = s[33], s[35]
                valid, first, length = struct.unpack_from("<Q4xIQ", s, 40)
                name = b"".join(s[i + 2:i + 32] for i in range(64, len(s), 32))[:2 * units].decode("utf-16-le")
                own = self.clusters(first, length, flags & 2) if length else []
                kind = "d" if s[4] & 0x10 else "f"
                yield f"{path}/{name}", kind, length, valid, own
                if kind == "d":
                    pending.append((f"{path}/{name}", own))


def listing(path, offset=0):
    reader = Reader(path, int(offset))
    lines = []
    for name, kind, length, valid, clusters in reader.walk():
        if name.startswith("$"):
            continue
        data = b"" if kind == "d" else reader.content(clusters)[:valid].ljust(length, b"\0")
        lines.append(f"{kind} {name!r} {length} {hashlib.sha256(data).hexdigest()}")
    print(*sorted(lines), sep="\n")


def runs(clusters):
    start = 0
    for i in range(1, len(clusters) + 1):
        if i == len(clusters) or clusters[i] != clusters[i - 1] + 1:
            yield clusters[start], i - start
            start = i


def places_of(reader):
    sector = reader.sector
    yield "boot", 0, 12 * sector
    yield "backup", 12 * sector, 12 * sector
    for i in range(reader.fats):
        yield f"fat{i}", (reader.fat_at + i * reader.fat_len) * sector, (reader.count + 2) * 4
    for name, kind, _, _, clusters in reader.walk():
        for first, number in runs(clusters):
            yield f"{kind} {name!r}", reader.at(first), number * reader.cluster


def fix_sums(path):
    with open(path, "r+b") as f:
        for at in (0, 12):
            f.seek(108)
            sector = 1 << f.read(1)[0]
            f.seek(at * sector)
            region = f.read(11 * sector)
            f.write(struct.pack("<I", checksum32(region, (106, 107, 112))) * (sector // 4))


def mutate(path, seed):
    rng = random.Random(int(seed))
    targets = [p for p in places_of(Reader(path)) if not p[0].startswith("f ")]
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        # Half of them in what everything hangs on
        name, start, length = rng.choice(targets[:4] if rng.random() < 0.5 else targets)
        if name == "boot" and rng.random() < 0.7:
            length = 120
        else:
            length = min(length, rng.choice((128, 512, length)))
        at = start + rng.randrange(length)
        data = rng.choice((b"\0", b"\xFF", rng.randbytes(1), rng.randbytes(4), bytes(64), b"\xF7\xFF\xFF\xFF", rng.randbytes(512)))
        data = data[:start + length - at]
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(data)
        print(f"{len(data)} bytes at {at} in {name}: {data[:8].hex()}")
    if rng.random() < 0.8:
        try:
            fix_sums(path)
        except (MemoryError, OverflowError, struct.error):
            pass


def main():
    command, path, *rest = sys.argv[1:]
    if command == "make":
        Maker(path, int(rest[0]), rest[1:]).make()
    elif command == "list":
        listing(path, *rest)
    elif command == "places":
        for place in places_of(Reader(path)):
            print(*place)
    elif command == "sum":
        fix_sums(path)
    elif command == "mutate":
        mutate(path, *rest)
    else:
        sys.exit(__doc__)


main()
