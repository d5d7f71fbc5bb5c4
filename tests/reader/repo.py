#!/usr/bin/env python3
"""A second reader of repositories, encrypted or not, written from docs/repository.md and docs/format.md alone.

repo.py check DIR looks at every byte of packs, leaf caches and versions; repo.py compare DIR NAME N FILE compares a version with a disk.
"""
import argparse
import os
import struct
import sys
import zlib
from types import SimpleNamespace

import seal
from core import Core, keep
from calco_reader import secrets_of
from image import COMPRESSIBLE, END_MAGIC, PARTS, Image, Locked
from version import summary_fields, used_bytes
from wire import CHUNK, IDS, LEAF, ZERO_CHUNK, Damage, Ids, Unsupported, need, sections, sha256, unzstd

COMPOSED, IN_PACKS, PACK, REPOSITORY, ALL = 1 << 1, 1 << 4, 1 << 5, 1 << 6, (1 << 64) - 1
CEILING = {b"LOCS": 1 << 33, b"PTOC": 80 << 32}


def bits(mask):
    return [i for i in range(64) if mask >> i & 1]


class Piece(Image):
    """A file of a repository: a preamble and parts, and what stands between them."""

    PARTS, COMPRESSIBLE = PARTS + seal.TABLES + (b"SUMM",), COMPRESSIBLE + seal.TABLES
    SEALED, READ = seal.SEALED + seal.TABLES + (b"SUMM",), COMPOSED | IN_PACKS | PACK | REPOSITORY

    def __init__(self, repo, path, features, optional=0):
        self.path, self.repo = path, repo
        super().__init__(open(path, "rb"))
        self.preamble(self.source.take(64, "the preamble"))
        need(self.features & ~1 & ~optional == features, f"{path}: features {self.features:x}")
        if repo:
            need(self.sealed == bool(repo.keys), f"{path}: in clear or encrypted, unlike its repository")
            self.keys, self.ids_of = repo.keys, repo.ids_of

    def part(self, wanted=None, header=None, exact=None):
        if wanted in CEILING and exact is None:
            header = header or self.next_header()
            exact = struct.unpack_from("<Q", header, 8)[0]
            need(exact <= CEILING[wanted], f"{self.path}: {wanted} is too long")
        return super().part(wanted, header, exact)

    def seek(self, offset):
        self.source.offset = self.source.stream.seek(offset)
        self.pending = None

    def trailer(self):
        size = os.path.getsize(self.path)
        self.seek(size - 128)
        t = struct.unpack("<QQQQQ16s32s8s", self.payload(self.part(b"TRLR", exact=96)))
        need((t[0], t[5], t[7]) == (size, self.pack, END_MAGIC), f"{self.path}: the trailer does not match")
        return t

    def record(self, offset, length):
        """(header, opened payload) of one record; its content is not proved."""
        self.seek(offset)
        header, what = self.source.take(96, "a record"), f"{self.path} at {offset}"
        r = SimpleNamespace(header=header[:88])
        (magic, r.kind, r.codec, zero, r.number, r.count, r.origin, r.id, r.raw, r.stored, r.helpers, zero2, zero3, crc,
         head_crc) = struct.unpack("<4sBBHQQ16s32sIIHHIII", header)
        need(head_crc == zlib.crc32(header[:92]) and magic == b"CHNK", f"{what}: not a record")
        need(not (zero or zero2 or zero3) and r.kind in (1, 2) and r.codec in (0, 1) and r.stored + 96 == length, f"{what}: bad header")
        payload = self.source.take(r.stored, what)
        need(zlib.crc32(payload) == crc, f"{what}: CRC of the payload")
        return r, self.opened_record(r, payload, what)


class Pack(Piece):
    def __init__(self, repo, pack):
        super().__init__(repo, os.path.join(repo.path, "packs", pack.hex() + ".pack"), PACK)
        need(self.pack == pack, f"{self.path} is another pack")
        t = self.trailer()
        need(t[1] == t[2] and t[3] == t[4], f"{self.path}: the trailer does not match")
        self.seek(t[1])
        toc = self.payload(self.part(b"PTOC", exact=80 * t[3]))
        need(sha256(toc) == t[6] and self.source.offset == t[0] - 128, f"{self.path}: the trailer does not match its table")
        self.entries, at = [], 64
        for fields in struct.iter_unpack("<32s16sQQIQB3s", toc):
            x = SimpleNamespace(**dict(zip(("id", "origin", "count", "offset", "length", "lends", "kind", "zero"), fields)))
            need(x.offset == at and not any(x.zero), f"{self.path}: the table of contents has a hole")
            at += x.length
            self.entries.append(x)
        need(at == t[1], f"{self.path}: the table of contents ends early")


class Repository:
    def __init__(self, path, secrets=()):
        self.path, self.keys, self.ids_of, self.packs = path, None, IDS, {}
        head = Piece(None, os.path.join(path, "calco-repo"), REPOSITORY)
        self.id = head.pack
        if head.sealed:
            found = seal.unlock(head.payload(head.part(b"KEYS")), secrets)
            if not found:
                raise Locked("the repository is encrypted" + (", and not for this key" if secrets else ": a key is needed"))
            self.keys = seal.Keys(*found)
            self.ids_of = Ids(self.keys.hash)
            need(seal.hkdf(found[0], found[1], b"calco repository id v1", 16) == self.id, "the slots are those of another repository")
        need(head.source.at_end(), "calco-repo: bytes too many")

    def pack(self, pack):
        if pack not in self.packs:
            self.packs[pack] = Pack(self, pack)
        return self.packs[pack]

    def versions(self):
        for name in sorted(os.listdir(os.path.join(self.path, "images"))):
            files = os.listdir(os.path.join(self.path, "images", name))
            for n in sorted(int(f[:-8]) for f in files if f.endswith(".version")):
                yield name, n


class Version(Piece):
    def __init__(self, repo, name, number):
        super().__init__(repo, os.path.join(repo.path, "images", name, f"{number}.version"), IN_PACKS, COMPOSED)
        core, envelope = self.payload(self.part(b"CORE")), self.payload(self.part(b"ENVL"))
        self.core_hash, self.core = sha256(core), Core(core)
        need((self.core.name, self.core.version) == (name, number), f"{self.path}: is another version")
        self.envelope(sections(envelope, "ENVL"))
        self.pending = self.next_header()
        if self.pending[:4] == b"CSIG":
            self.check_signatures(self.part(b"CSIG"), b"calco core sig\0\0" + self.core_hash)
        self.read_tail()

    def read_tail(self):
        seen = set()
        self.skip_unknown(seen)
        cids = self.part(b"CIDS", exact=32 * self.core.present)
        ids = self.payload(cids)
        self.ids = [ids[at:at + 32] for at in range(0, len(ids), 32)]
        self.bad = self.payload(self.part(b"BADR"))
        self.check_bad_ranges()
        self.root = sha256(b"calco root v1\0\0\0" + self.core_hash + sha256(ids) + sha256(self.bad))
        need(self.payload(self.part(b"ROOT", exact=32)) == self.root, f"{self.path}: the root does not match")
        self.pending = self.next_header()
        if self.pending[:4] == b"SIGS":
            self.check_signatures(self.part(b"SIGS"), b"calco image sig\0" + self.root)
        self.skip_unknown(seen)
        self.pending = self.next_header()
        if self.pending[:4] == b"SUMM":
            self.check_summary(summary_fields(self.payload(self.part(b"SUMM", exact=128))))
        locs = self.part(b"LOCS")
        self.read_locations(self.payload(locs))
        end = self.source.offset
        expected = (end + 128, cids.offset, locs.offset, self.core.present, sum(p is not None for p in self.places), self.pack, self.root, END_MAGIC)
        need(self.trailer() == expected, f"{self.path}: the trailer does not match")

    def check_summary(self, said):
        used = sum(used_bytes(chunk) for chunk in self.core.present_chunks())
        need((said.name, said.version, said.root, said.disks, said.used) ==
             (self.core.name, self.core.version, self.root, sum(d.size for d in self.core.disks), used), f"{self.path}: the summary is another one's")

    def read_locations(self, table):
        packs, zero, helpers = struct.unpack_from("<IIQ", table)
        need(not zero and len(table) == 16 + 16 * packs + 16 * self.core.present + 40 * helpers, f"{self.path}: LOCS has a wrong length")
        names, at = [table[16 + 16 * i:32 + 16 * i] for i in range(packs)], 16 + 16 * packs
        need(names == sorted(set(names)), f"{self.path}: packs out of order")

        def place(at):
            offset, pack, length = struct.unpack_from("<QII", table, at)
            need(offset or not (pack or length), f"{self.path}: a place without an offset")
            need(not offset or pack < packs, f"{self.path}: a place in no pack")
            return (names[pack], offset, length) if offset else None

        self.places = [place(at + 16 * i) for i in range(self.core.present)]
        at += 16 * self.core.present
        self.helpers = {table[at + 40 * i:at + 40 * i + 24]: place(at + 40 * i + 24) for i in range(helpers)}
        need(len(self.helpers) == helpers and list(self.helpers) == sorted(self.helpers, key=lambda n: (n[:16], struct.unpack("<Q", n[16:]))),
             f"{self.path}: helpers out of order")

    def own_leaves(self, r, payload, what):
        """{leaf: content} of what a record holds itself (format.md §7)."""
        if r.kind == 1:
            content = unzstd(payload, CHUNK, what) if r.codec else payload
            need(len(content) == CHUNK and r.raw == CHUNK, f"{what}: wrong length")
            return {i: content[i * LEAF:i * LEAF + LEAF] for i in range(64)}, 0, (), ()
        new, zero = struct.unpack_from("<QQ", payload)
        need(not new & zero and r.raw == LEAF * len(bits(new)) and r.helpers <= 64, f"{what}: bad bitmaps")
        at = 16 + 24 * r.helpers
        names = [payload[a:a + 24] for a in range(16, at, 24)]
        lent = [(leaf, *struct.unpack_from("<HBB", payload, at + 4 * i)) for i, leaf in enumerate(bits(ALL & ~new & ~zero))]
        frame = payload[at + 4 * len(lent):]
        frame = unzstd(frame, r.raw, what) if r.codec else frame
        need(len(frame) == r.raw, f"{what}: wrong length of the new leaves")
        need({h for _, h, _, _ in lent} == set(range(r.helpers)), f"{what}: a helper lends nothing")
        return {leaf: frame[i * LEAF:i * LEAF + LEAF] for i, leaf in enumerate(bits(new))}, zero, names, lent

    def at(self, place):
        pack, offset, length = place
        r, payload = self.repo.pack(pack).record(offset, length)
        return r, self.own_leaves(r, payload, f"pack {pack.hex()} at {offset}")

    def content_of(self, index):
        place = self.places[index]
        if place is None:
            need(self.ids[index] == self.ids_of.zero, f"{self.path}: present chunk {index} has no record")
            return ZERO_CHUNK
        r, (leaves, zero, names, lent) = self.at(place)
        helpers = []
        for name in names:
            need(name in self.helpers, f"{self.path}: a helper is not in LOCS")
            helper, (own, _, _, _) = self.at(self.helpers[name])
            need(helper.origin + struct.pack("<Q", helper.count) == name, f"{self.path}: a helper is another record")
            helpers.append(own)
        for leaf, helper, from_leaf, reserved in lent:
            need(not reserved and from_leaf in helpers[helper], f"{self.path}: a helper does not hold a leaf")
            leaves[leaf] = helpers[helper][from_leaf]
        content = b"".join(leaves.get(i, bytes(LEAF)) for i in range(64))
        need(r.id == self.ids[index] == self.ids_of.of(content), f"{self.path}: present chunk {index} is not what its id says")
        return content

    def chunks(self):
        for index, chunk in enumerate(self.core.present_chunks()):
            content = self.content_of(index)
            need(keep(chunk, content, chunk.used) == content, f"{self.path}: bytes that are not used are not cleared")
            yield chunk, content


def check_pack(repo, pack):
    """The table of contents against the records, and the leaf cache against both."""
    p = repo.pack(pack)
    for x in p.entries:
        r, payload = p.record(x.offset, x.length)
        need((r.id, r.origin, r.count, r.kind) == (x.id, x.origin, x.count, x.kind), f"{p.path} at {x.offset}: another record than its table says")
        need(x.lends == (ALL if r.kind == 1 else struct.unpack_from("<Q", payload)[0]), f"{p.path} at {x.offset}: wrong bitmap of leaves")
    path = os.path.join(repo.path, "leaves", pack.hex())
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        data = file.read()
    salt, size = (seal.SALT, 2048 + seal.TAG) if repo.keys else (0, 2048)
    need(len(data) == salt + size * len(p.entries), f"{path}: wrong length")
    box = repo.keys.table(pack, data[:salt]) if repo.keys else None
    for i, x in enumerate(p.entries):
        leaves = data[salt + i * size:salt + (i + 1) * size]
        leaves = box.open(b"LEAF" + struct.pack("<Q", i), leaves, b"", path) if box else leaves
        need(not any(leaves) or repo.ids_of.hash(b"calco chunk v1\0\0" + leaves) == x.id, f"{path}: list {i} is not that of its chunk")


def command_check(args):
    repo = Repository(args.dir, secrets_of(args))
    for name in sorted(os.listdir(os.path.join(args.dir, "packs"))):
        check_pack(repo, bytes.fromhex(name[:32]))
    for name, number in repo.versions():
        count = sum(1 for _ in Version(repo, name, number).chunks())
        print(f"{name}@{number}: {count} chunks")


def command_compare(args):
    version = Version(Repository(args.dir, secrets_of(args)), args.name, args.number)
    with open(args.file, "rb") as disk:
        for chunk, content in version.chunks():
            disk.seek(chunk.start)
            data = disk.read(chunk.length).ljust(CHUNK, b"\0")
            need(keep(chunk, data, chunk.used | chunk.zero) == content, f"differs in chunk {chunk.number}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (("check", command_check), ("compare", command_compare)):
        command = commands.add_parser(name)
        command.add_argument("dir")
        if name == "compare":
            command.add_argument("name")
            command.add_argument("number", type=int)
            command.add_argument("file")
        command.add_argument("--key", action="append", default=[])
        command.add_argument("--passphrase-file")
        command.set_defaults(run=function)
    args = parser.parse_args()
    try:
        args.run(args)
    except (Damage, Locked, Unsupported) as problem:
        print(problem, file=sys.stderr)
        return {Damage: 3, Locked: 4, Unsupported: 6}[type(problem)]
    return 0


if __name__ == "__main__":
    sys.exit(main())
