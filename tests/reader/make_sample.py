#!/usr/bin/env python3
"""Writes small calco images that visit the corners of the format, from docs/format.md alone.

make_sample.py DIR writes NAME.calco for each sample, and NAME.disk0, NAME.disk1, … as a restore must give them
(bytes that are not used read as zero); for encrypted ones symmetric.key, recipient.key and passphrase. It shares no code with the reader except
Ed25519 and what seal.py has of ciphers.
"""
import ctypes
import hashlib
import os
import random
import struct
import sys
import uuid
import zlib

import ed25519
import seal

CHUNK, LEAF, NONE = 262144, 4096, 0xFFFFFFFF
UNUSED, USED, ZERO = 0, 1, 2
SEED = hashlib.sha256(b"calco sample signature key").digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def load_zstd():
    lib, size = ctypes.CDLL("libzstd.so.1"), ctypes.c_size_t
    lib.ZSTD_compressBound.argtypes, lib.ZSTD_compressBound.restype = [size], size
    lib.ZSTD_compress.argtypes = [ctypes.c_void_p, size, ctypes.c_char_p, size, ctypes.c_int]
    lib.ZSTD_compress.restype = size
    return lib


ZSTD = load_zstd()


def zstd(data, level=3):
    room = ZSTD.ZSTD_compressBound(len(data))
    out = ctypes.create_string_buffer(room)
    length = ZSTD.ZSTD_compress(out, room, data, len(data), level)
    assert length <= room
    return out.raw[:length]


def chunk_id(content, function=sha256):
    leaves = (function(content[at:at + LEAF]) for at in range(0, CHUNK, LEAF))
    return function(b"calco chunk v1\0\0" + b"".join(leaves))


def text(value):
    data = value.encode()
    return struct.pack("<H", len(data)) + data


def entry(body):
    return struct.pack("<I", len(body) + 4) + body


def listing(bodies):
    return struct.pack("<I", len(bodies)) + b"".join(entry(body) for body in bodies)


def section(kind, content, mandatory):
    return struct.pack("<HHIQ", kind, mandatory, 0, len(content)) + content + bytes(-len(content) % 8)


# ---- what a sample is made of ----

class Disk:
    """A disk with its content; model, serial and source are what section 2 says."""

    def __init__(self, size, table=0, logical=512):
        self.size, self.table, self.logical, self.content = size, table, logical, bytearray(size)
        self.model, self.serial, self.source = "Sample Dísk", "S-0815", "/dev/sample"

    def encoded(self):
        signature = 0x12345678 if self.table == 1 else 0
        return (struct.pack("<QIIB3xI16x", self.size, self.logical, 4096, self.table, signature)
                + text(self.model) + text(self.serial) + text(self.source))


class Region:
    """A region; states holds one byte for each granule."""

    def __init__(self, disk, start, length, kind, granule, **more):
        self.disk, self.start, self.length, self.kind, self.granule = disk, start, length, kind, granule
        self.states, self.more = bytearray(-(-length // granule)), more

    def mark(self, state, begin, end):
        """Begin and end are offsets in the region; what does not fit is widened."""
        first, last = begin // self.granule, -(-min(end, self.length) // self.granule)
        self.states[first:last] = bytes([state]) * (last - first)
        return self

    def encoded(self):
        get = self.more.get
        return (struct.pack("<IQQBBHIB3x16s16sQ", self.disk, self.start, self.length, self.kind,
                            self.granule.bit_length() - 1, get("flags", 0), get("number", 0), get("mbr_type", 0),
                            bytes(16), bytes(16), 0) + text(get("name", "")))

    def chunks(self):
        """Yields (kind, bitmaps, states of the granules inside) of each chunk."""
        each = CHUNK // self.granule
        for at in range(0, len(self.states), each):
            states = self.states[at:at + each]
            found = set(states)
            kind = {(UNUSED,): 0, (USED,): 1, (ZERO,): 2}.get(tuple(found), 4 if ZERO in found else 3)
            maps = [bitmap(states, USED, each), bitmap(states, ZERO, each)]
            yield kind, b"".join(maps[:max(kind - 2, 0)]), states

    def extents(self):
        runs, maps = [], b""
        for kind, bits, _ in self.chunks():
            maps += bits
            if runs and runs[-1][0] == kind:
                runs[-1][1] += 1
            else:
                runs.append([kind, 1])
        return struct.pack("<I", len(runs)) + b"".join(struct.pack("<II", *run) for run in runs) + maps

    def content(self, disk, index, states):
        """The content of one chunk: used bytes, everything else cleared."""
        out = bytearray(CHUNK)
        for i, state in enumerate(states):
            begin = i * self.granule
            end = min(begin + self.granule, self.length - index * CHUNK)
            if state == USED:
                at = self.start + index * CHUNK
                out[begin:end] = disk.content[at + begin:at + end]
        return bytes(out)


def bitmap(states, wanted, bits):
    out = bytearray(bits // 8)
    for i, state in enumerate(states):
        if state == wanted:
            out[i // 8] |= 1 << (i % 8)
    return bytes(out)


def volume(kind, size, parent=NONE, region=NONE, segments=(), arm=(), skipped=(), driver="", kind_name="", **more):
    get = more.get
    ranges = b"".join(struct.pack("<IIQQ", disk, 0, start, length)
                      for disk, start, length in (*segments, *arm, *skipped))
    return (struct.pack("<IBBHQQIIIII", parent, kind, get("state", 0), get("flags", 0), size, get("used", 0), 4096,
                        region, len(segments), len(arm), len(skipped))
            + text(driver) + text(kind_name) + text(get("label", "")) + text(get("uuid", "")) + text(get("reason", ""))
            + text(get("notice", "")) + ranges + (text(more.get("name", "")) if "name" in more or "sector" in more else b"")
            + (struct.pack("<I", more["sector"]) if "sector" in more else b""))


class Out(bytearray):
    """The file as it grows; knows whose it is."""

    def __init__(self, sample):
        super().__init__()
        self.sample = sample


class Sample:
    """Everything one image is made of, and the choices the format leaves to a writer."""

    def __init__(self, name, disks, regions, volumes=(), tables=(), bad=(), **choices):
        self.name, self.disks, self.regions, self.volumes = name, disks, regions, volumes
        self.tables, self.bad = tables, bad
        self.choice = choices.get
        self.pack = sha256(b"pack " + name.encode())[:16]
        self.lineage = uuid.uuid5(uuid.NAMESPACE_URL, "calco:" + name).bytes
        for disk, start, length in bad:
            disks[disk].content[start:start + length] = bytes(length)

    # -- payloads --

    def core(self):
        parents = self.choice("parents", ())
        image = self.lineage + struct.pack("<QI", 1 + len(parents), len(parents)) + text(self.name)
        image += b"".join(self.lineage + struct.pack("<Q", i + 1) + sha256(b"root %d" % i) for i in range(len(parents)))
        tables = [struct.pack("<IQI", disk, start, length) + self.disks[disk].content[start:start + length]
                  for disk, start, length in self.tables]
        content = (image, listing([d.encoded() for d in self.disks]), listing([r.encoded() for r in self.regions]),
                   listing(self.volumes), listing(tables), b"".join(r.extents() for r in self.regions))
        core = b"".join(section(kind, data, 1) for kind, data in enumerate(content, 1))
        return core + b"".join(section(kind, data, 0) for kind, data in self.choice("core_sections", ()))

    def envelope(self):
        usual = {1: struct.pack("<Q", 1700000000), 2: b"make_sample 1", 3: struct.pack("<I", 3)}
        found = self.choice("envelope", usual)
        return b"".join(section(kind, data, 0) for kind, data in sorted(found.items()))

    def chunks(self):
        """Yields (number, present, content) for every chunk of the grid."""
        number = 0
        for region in self.regions:
            for index, (kind, _, states) in enumerate(region.chunks()):
                yield number, kind != 0, region.content(self.disks[region.disk], index, states)
                number += 1

    def signatures(self, slots, message):
        """A row of entries; True stands for a signature, False for an entry that is not used yet."""
        signed = struct.pack("<B7x", 1) + ed25519.public_key(SEED) + ed25519.sign(SEED, message) if any(slots) else b""
        return b"".join(signed if slot else bytes(104) for slot in slots)

    # -- the file --

    def keys_part(self):
        """Slots as the sample chooses them: (kind, secret); 9 is a kind of a later version."""
        out, both = b"", self.keys.master + self.keys.id_key
        for i, (kind, secret) in enumerate(self.choice("slots")):
            salt = sha256(b"salt %d" % i)[:16]
            if kind == 3:
                ephemeral = sha256(b"ephemeral %d" % i)
                parameters = seal.x25519(ephemeral)
                public = seal.x25519(secret)
                key = seal.hkdf(seal.x25519(ephemeral, public), parameters + public, seal.SLOT_X25519)
            else:
                parameters = {1: salt, 2: salt + struct.pack("<B3xII", 10, 8, 1), 9: b"later"}[kind]
                key = seal.slot_key(kind, parameters, secret) if kind < 9 else bytes(32)
            head = struct.pack("<B3xI", kind, len(parameters)) + parameters
            out += head + salt[:12] + seal.Gcm(key).seal(salt[:12], both, head)
        return out

    def build(self):
        self.keys = seal.Keys(sha256(b"master"), sha256(b"id key")) if self.choice("slots") else None
        out = Out(self)
        preamble = struct.pack("<8sHHIQQ16s12x", b"\x89CALCO\r\n", 1, self.choice("minor", 0), 64, bool(self.keys),
                               self.choice("optional", 0), self.pack)
        out += preamble + struct.pack("<I", zlib.crc32(preamble))
        core = self.core()
        self.part(out, b"CORE", core, compress=self.choice("compress", False))
        self.part(out, b"ENVL", self.envelope(), mandatory=0)
        if self.keys:
            self.part(out, b"KEYS", self.keys_part())
        if self.choice("csig"):
            message = b"calco core sig\0\0" + sha256(core)
            self.part(out, b"CSIG", self.signatures(self.choice("csig"), message), mandatory=0)
        ids, index, records = self.records(out)
        for kind in self.choice("before_cids", ()):
            self.part(out, kind, b"for later: " + kind, mandatory=0)
        at_cids = self.part(out, b"CIDS", ids)
        bad = b"".join(struct.pack("<IIQQ", disk, 0, start, length) for disk, start, length in self.bad)
        self.part(out, b"BADR", bad)
        root = sha256(b"calco root v1\0\0\0" + sha256(core) + sha256(ids) + sha256(bad))
        self.part(out, b"ROOT", root)
        if self.choice("sigs"):
            self.part(out, b"SIGS", self.signatures(self.choice("sigs"), b"calco image sig\0" + root))
        for kind in self.choice("before_indx", ()):
            self.part(out, kind, zstd(kind * 50), mandatory=0, decoded=200)
        at_indx = self.part(out, b"INDX", index, compress=self.choice("compress", False))
        trailer = struct.pack("<QQQQQ16s32s8s", len(out) + 128, at_cids, at_indx, len(ids) // 32, records, self.pack,
                              root, b"\n\rOCLAC\x98")
        self.part(out, b"TRLR", trailer)
        return bytes(out)

    @staticmethod
    def part(out, kind, payload, mandatory=1, compress=False, decoded=None):
        """Appends a part and returns where its header stands. decoded: the payload is a frame of that many bytes."""
        at, raw, flags = len(out), len(payload) if decoded is None else decoded, mandatory
        if compress and len(zstd(payload)) < len(payload):
            payload, flags = zstd(payload, 19), flags | 2
        flags |= 0 if decoded is None else 2
        sample = getattr(out, "sample", None)
        if sample and sample.keys and kind in seal.SEALED:
            flags |= 4
            header = struct.pack("<4sHHQQ", kind, flags, 0, raw, len(payload) + 16)
            payload = sample.keys.seal(sample.pack, kind, 0, header, payload)
        header = struct.pack("<4sHHQQI", kind, flags, 0, raw, len(payload), zlib.crc32(payload))
        out += header + struct.pack("<I", zlib.crc32(header)) + payload
        return at

    def records(self, out):
        """Appends all records. Returns the payloads of CIDS and INDX and the number of records."""
        ids, index, count = b"", b"", 0
        work = [(number, content) for number, present, content in self.chunks() if present]
        last = max((number for number, content in work if any(content)), default=None)
        for number, content in work:
            identity = chunk_id(content, self.keys.hash if self.keys else sha256)
            ids += identity
            if not any(content):
                index += bytes(8)
                continue
            index += struct.pack("<Q", len(out))
            origin, place = self.pack, count
            if self.choice("copied") and number == last:    # as if copied unchanged from another pack
                origin, place = sha256(b"another pack")[:16], 1234567
            payload = self.payload(number, content)
            codec = len(payload) != CHUNK
            if self.keys:
                header = struct.pack("<4sBBHQQ16s32sII8x", b"CHNK", 1, codec, 0, number, place, origin, identity, CHUNK, len(payload) + 16)
                payload = self.keys.seal(origin, b"CHNK", place, header, payload)
            header = struct.pack("<4sBBHQQ16s32sII8xI", b"CHNK", 1, codec, 0, number, place, origin,
                                 identity, CHUNK, len(payload), zlib.crc32(payload))
            out += header + struct.pack("<I", zlib.crc32(header)) + payload
            count += 1
        return ids, index, count

    def payload(self, number, content):
        if self.choice("codec") == "raw" and number not in self.choice("zstd_chunks", ()):
            return content
        frame = zstd(content)
        return frame if len(frame) < CHUNK else content

    def restored(self):
        """The disks as a restore gives them: used bytes, all else zero."""
        disks = [bytearray(disk.size) for disk in self.disks]
        for region in self.regions:
            for index, (_, _, states) in enumerate(region.chunks()):
                at = region.start + index * CHUNK
                end = min(CHUNK, region.length - index * CHUNK)
                disks[region.disk][at:at + end] = region.content(self.disks[region.disk], index, states)[:end]
        return [bytes(disk) for disk in disks]


# ---- the samples ----

def fill(disk, seed, noise=0.2):
    """Content that compresses somewhat: runs of one letter between pieces of noise."""
    r, at = random.Random(seed), 0
    while at < disk.size:
        length = min(r.randrange(300, 9000), disk.size - at)
        noisy = r.random() < noise
        disk.content[at:at + length] = r.randbytes(length) if noisy else bytes([r.randrange(1, 255)]) * length
        at += length
    return disk


def add_mbr(disk, partitions):
    """An MBR with up to four primary partitions: (type, start, length, active)."""
    sector = bytearray(512)
    struct.pack_into("<I", sector, 440, 0x12345678)
    for i, (kind, start, length, active) in enumerate(partitions):
        struct.pack_into("<B3sB3sII", sector, 446 + 16 * i, 0x80 if active else 0, b"\xfe\xff\xff", kind,
                         b"\xfe\xff\xff", start // 512, length // 512)
    sector[510:512] = b"\x55\xaa"
    disk.content[:512] = sector


def tiny():
    """One small disk of 1000 bytes and no table, the fewest possible parts."""
    disk = fill(Disk(1000), "tiny")
    return Sample("tiny", [disk], [Region(0, 0, 1000, 3, 512).mark(USED, 0, 1000)], envelope={})


def nothing():
    """A disk with nothing used: no record, no id."""
    return Sample("nothing", [Disk(3 * CHUNK + 512)], [Region(0, 0, 3 * CHUNK + 512, 3, 4096)])


def raw():
    """Chunks stored as they are, because they do not shrink; one chunk of used zeros; one of zero state."""
    disk = fill(Disk(4 * CHUNK - 5), "raw", noise=1)
    disk.content[CHUNK:2 * CHUNK] = bytes(CHUNK)
    region = Region(0, 0, disk.size, 3, 2048).mark(USED, 0, disk.size).mark(ZERO, 2 * CHUNK, 3 * CHUNK)
    return Sample("raw", [disk], [region], codec="raw", zstd_chunks=(3,))


def small():
    """Every kind of part, run and state in a few kilobytes: for tests that change each byte."""
    first, second = fill(Disk(6 * CHUNK, table=1), "small", 0.005), Disk(70001)
    second.content[:] = b"two" * 23333 + b"!!"
    add_mbr(first, [(0x83, 32256, 5 * CHUNK + 1024, True)])
    gap = Region(0, 0, 32256, 0, 512).mark(USED, 0, 512).mark(ZERO, 1024, 2048)
    part = Region(0, 32256, 5 * CHUNK + 1024, 1, 4096, number=1, mbr_type=0x83, flags=5)
    part.mark(USED, 0, CHUNK).mark(ZERO, CHUNK, 2 * CHUNK)                 # kinds 1 and 2, then an absent one
    part.mark(USED, 3 * CHUNK + 8192, 3 * CHUNK + 20000)                   # kind 3
    part.mark(ZERO, 4 * CHUNK, 4 * CHUNK + 4096).mark(USED, 4 * CHUNK + 4096, 4 * CHUNK + 8192)
    part.mark(USED, 5 * CHUNK, 5 * CHUNK + 1024)                           # one granule, cut by the region's end
    end = 32256 + 5 * CHUNK + 1024
    rest = Region(0, end, 6 * CHUNK - end, 0, 512).mark(ZERO, 512, 1024)   # kind 4 without a used byte
    whole = Region(1, 0, 70001, 3, 1024).mark(USED, 0, 3000).mark(USED, 69632, 70001)
    volumes = [volume(1, part.length, region=1, segments=[(0, 32256, part.length)], arm=[(0, 33280, 1024)], sector=4096,
                      driver="ext4", kind_name="ext4", label="root", uuid="0000-1", used=300000),
               volume(4, 4096, parent=0, skipped=[(0, 40000, 512)], flags=4, kind_name="swap", reason="asked for", name="vg/lv")]
    return Sample("small", [first, second], [gap, part, rest, whole], volumes, tables=[(0, 0, 512)],
                  bad=[(0, 33792, 512), (1, 1024, 512)], compress=True, copied=True, csig=[False], sigs=[False, False],
                  before_cids=[b"QQAA", b"zzzz"], before_indx=[b"QQBB"], core_sections=[(77, b"unknown"), (78, b"")],
                  envelope={1: struct.pack("<Q", 1700000000), 2: "calco prüfer 1".encode(), 3: struct.pack("<I", 19),
                            4: "a note, ünicode".encode(), 5: struct.pack("<Q", 123456), 99: b"later"})


def corners():
    """Two disks, all granules, all kinds of regions, random states, real signatures; nothing compressed but chunks."""
    r = random.Random("corners")
    disk, other = Disk(8 * CHUNK + 1536, table=1), fill(Disk(5 * CHUNK + 77, logical=4096), "other")
    regions, start, parts = [], 0, ((32256, 0, 512), (699904, 1, 512), (CHUNK, 1, 1024), (3 * CHUNK + 512, 2, 2048),
                                    (disk.size, 0, 4096))
    for i, (length, kind, granule) in enumerate(parts):
        more = {"number": i, "mbr_type": 0x83, "flags": 4 if i == 1 else 0} if kind == 1 else {}
        regions.append(Region(0, start, min(length, disk.size - start), kind, granule, **more))
        start += length
    overlap = regions[3].start
    add_mbr(fill(disk, "corners"), [(0x83, r.start, r.length, r is regions[1]) for r in regions[1:3]]
            + [(0x07, overlap, 2 * CHUNK, False), (0x0c, overlap + CHUNK, 2 * CHUNK + 512, False)])
    regions.append(Region(1, 0, other.size, 3, 4096))
    for region in regions:
        scatter(region, r)
    regions[0].mark(USED, 0, 512)
    regions[-1].mark(USED, 4 * CHUNK, other.size)       # 77 bytes in the last chunk, all used
    volumes = [volume(1, regions[i].length, region=i, segments=[(0, regions[i].start, regions[i].length)],
                      kind_name="raw", flags=2) for i in (1, 2)]
    return Sample("corners", [disk, other], regions, volumes, tables=[(0, 0, 512)], csig=[True, False],
                  sigs=[True, False, True], parents=[1, 2], minor=3, optional=1 << 63)


def scatter(region, r):
    """Random states, with whole chunks of one state among them."""
    for begin in range(0, region.length, CHUNK):
        style = r.randrange(6)
        for at in range(begin, min(begin + CHUNK, region.length), region.granule * 4):
            state = style if style < 3 else r.choice((UNUSED, USED)) if style == 3 else r.randrange(3)
            region.mark(state, at, min(at + region.granule * r.choice((1, 4, 4)), begin + CHUNK))


SYMMETRIC, RECIPIENT, PASSPHRASE = sha256(b"symmetric"), sha256(b"recipient"), b"correct horse"
SECRETS = [(1, SYMMETRIC)]


def sealed():
    """Encrypted for a key, a recipient, a passphrase and in a way of a later version; a record of another pack; signed."""
    sample = small()
    sample.name, sample.pack = "sealed", sha256(b"pack sealed")[:16]
    choices = dict(slots=[(9, b""), (1, sha256(b"somebody else")), (1, SYMMETRIC), (3, RECIPIENT), (2, PASSPHRASE)], compress=True, copied=True,
                   csig=[True, False], sigs=[False, True], before_cids=[b"QQAA"], before_indx=[b"QQBB"])
    sample.choice = choices.get
    return sample


def sealed_raw():
    """Encrypted chunks that do not shrink."""
    sample = raw()
    sample.name, sample.pack = "sealed_raw", sha256(b"pack sealed raw")[:16]
    sample.choice = dict(codec="raw", zstd_chunks=(3,), slots=[(1, SYMMETRIC)]).get
    return sample


SAMPLES = (tiny, nothing, raw, small, corners)
SEALED_SAMPLES = (sealed, sealed_raw)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_sample.py DIR")
    os.makedirs(sys.argv[1], exist_ok=True)
    seal.write_key(os.path.join(sys.argv[1], "symmetric.key"), "calco-secret-symmetric", SYMMETRIC)
    seal.write_key(os.path.join(sys.argv[1], "recipient.key"), "calco-secret-x25519", RECIPIENT)
    with open(os.path.join(sys.argv[1], "passphrase"), "wb") as out:
        out.write(PASSPHRASE + b"\n")
    for make in SAMPLES + SEALED_SAMPLES:
        sample = make()
        path = os.path.join(sys.argv[1], sample.name)
        files = [(path + ".calco", sample.build())]
        files += [(f"{path}.disk{i}", data) for i, data in enumerate(sample.restored())]
        for name, data in files:
            with open(name, "wb") as out:
                out.write(data)


if __name__ == "__main__":
    main()
