#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A btrfs file system with CRC-32C on one device, inside a file, as far as tests change it. Shares nothing with the driver. As a program:

btrfs_image.py super FILE OFFSET WIDTH VALUE            a number in the superblock, its checksum made good
btrfs_image.py header FILE TREE OFFSET WIDTH VALUE      a number in the first block of a tree
btrfs_image.py item FILE TREE TYPE INDEX OFFSET WIDTH VALUE    a number in the data of the INDEXth item of this type
btrfs_image.py key FILE TREE TYPE INDEX OBJECTID|- OFFSET|-    the key of that item
btrfs_image.py drop FILE TREE TYPE INDEX                that item, with its data
btrfs_image.py lose FILE TYPE INDEX                     an item of the extent tree, and what it counts in its block group and the superblock
btrfs_image.py wreck FILE TREE COPY|all                 a bit of the first block of a tree, in one copy; its checksum stays as it was
btrfs_image.py groups FILE                              block groups into a tree of their own, in place of the free space tree
btrfs_image.py seed FILE OUT                            an input of tests/fuzz/fuzz_btrfs.c
btrfs_image.py join OUT FILE...                         the same, of several devices; all checksums will be made good

Trees are told by number. What is written has right checksums, in all copies, but for "wreck".
"""
import os
import struct
import sys

from crc32c import crc32c

HEADER, ITEM, POINTER = 101, 25, 33
ROOT, EXTENT, CHUNK, SPACE, GROUPS = 1, 2, 3, 10, 11
SUPER = 65536


def key_at(block, at):
    return struct.unpack_from("<QBQ", block, at)


class Block:
    """One tree block, and where its copies stand"""

    def __init__(self, image, logical):
        self.image, self.logical = image, logical
        self.places = image.places(logical)
        self.data = bytearray(image.read(self.places[0], image.node_size))
        self.number, self.level = struct.unpack_from("<IB", self.data, 96)
        self.owner = struct.unpack_from("<Q", self.data, 88)[0]

    def items(self):
        """(key, place of the item, place of its data, length)"""
        for i in range(self.number):
            at = HEADER + i * ITEM
            offset, length = struct.unpack_from("<II", self.data, at + 17)
            yield key_at(self.data, at), at, HEADER + offset, length

    def children(self):
        for i in range(self.number):
            yield struct.unpack_from("<Q", self.data, HEADER + i * POINTER + 17)[0]

    def fill(self, items):
        """Make a leaf of [(key, data)]"""
        end = len(self.data)
        for i, (key, data) in enumerate(items):
            end -= len(data)
            struct.pack_into("<QBQII", self.data, HEADER + i * ITEM, *key, end - HEADER, len(data))
            self.data[end:end + len(data)] = data
        self.number = len(items)
        struct.pack_into("<I", self.data, 96, self.number)

    def contents(self):
        return [(key, bytes(self.data[data:data + length])) for key, _, data, length in self.items()]

    def save(self, places=None):
        struct.pack_into("<I", self.data, 0, crc32c(self.data[32:]))
        for p in places or self.places:
            self.image.write(p, self.data)


class Image:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.super = bytearray(self.read(SUPER, 4096))
        self.node_size = struct.unpack_from("<I", self.super, 0x94)[0]
        self.chunks = []
        at, end = 0x32B, 0x32B + struct.unpack_from("<I", self.super, 0xA0)[0]
        while at < end:
            at += 17 + self.add_chunk(key_at(self.super, at)[2], self.super[at + 17:end])
        found = [(key[2], data) for leaf in self.leaves(CHUNK) for key, data in leaf.contents() if key[1] == 228]
        self.chunks = []
        for start, data in found:
            self.add_chunk(start, data)

    def read(self, at, length):
        self.file.seek(at)
        return self.file.read(length)

    def write(self, at, data):
        self.file.seek(at)
        self.file.write(data)

    def add_chunk(self, start, data):
        number = struct.unpack_from("<H", data, 44)[0]
        self.chunks.append((start, struct.unpack_from("<Q", data)[0], [struct.unpack_from("<Q", data, 56 + 32 * i)[0] for i in range(number)]))
        return 48 + 32 * number

    def places(self, logical):
        for start, length, stripes in self.chunks:
            if start <= logical < start + length:
                return [s + logical - start for s in stripes]
        raise ValueError(f"no chunk at {logical}")

    def root(self, tree):
        if tree in (ROOT, CHUNK):
            return struct.unpack_from("<Q", self.super, 0x50 if tree == ROOT else 0x58)[0]
        for leaf in self.leaves(ROOT):
            for key, data in leaf.contents():
                if key[:2] == (tree, 132):
                    return struct.unpack_from("<Q", data, 176)[0]
        raise ValueError(f"no tree {tree}")

    def blocks(self, tree):
        todo = [self.root(tree)]
        while todo:
            block = Block(self, todo.pop(0))
            yield block
            if block.level:
                todo += block.children()

    def leaves(self, tree):
        return (b for b in self.blocks(tree) if not b.level)

    def trees(self):
        """All there are: (number, address of the first block)"""
        yield from ((t, self.root(t)) for t in (ROOT, CHUNK))
        for leaf in self.leaves(ROOT):
            for key, data in leaf.contents():
                if key[1] == 132:
                    yield key[0], struct.unpack_from("<Q", data, 176)[0]

    def find(self, tree, kind, index):
        for leaf in self.leaves(tree):
            for item in leaf.items():
                if item[0][1] == kind:
                    if not index:
                        return leaf, item
                    index -= 1
        raise ValueError("no such item")

    def save_super(self):
        struct.pack_into("<I", self.super, 0, crc32c(self.super[32:]))
        self.write(SUPER, self.super)


def put(data, at, width, value):
    data[at:at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")


def make_groups(image):
    """The first leaf of the free space tree becomes the whole of the block group tree."""
    items = []
    for leaf in list(image.leaves(EXTENT)):
        items += [i for i in leaf.contents() if i[0][1] == 192]
        leaf.fill([i for i in leaf.contents() if i[0][1] != 192])
        leaf.save()
    target = Block(image, image.root(SPACE))
    if target.level:
        raise ValueError("the free space tree is too large")
    target.fill(sorted(items))
    put(target.data, 88, 8, GROUPS)
    target.save()
    leaf, item = next((b, i) for b in image.leaves(ROOT) for i in b.items() if i[0][:2] == (SPACE, 132))
    put(leaf.data, item[1], 8, GROUPS)
    leaf.save()
    put(image.super, 0xB4, 8, 8)
    image.save_super()


def make_seed(image, out):
    """Superblocks and the live tree blocks, first copies and others, without the sectors that are all zero"""
    size = image.file.seek(0, 2)
    places = {SUPER: 4096, 64 << 20: 4096}
    for _, logical in image.trees():
        todo = [logical]
        while todo:
            block = Block(image, todo.pop())
            places.update({p: image.node_size for p in block.places})
            todo += block.children() if block.level else ()
    with open(out, "wb") as f:
        f.write(struct.pack("<Q", size))
        for place, length in sorted(places.items()):
            data = image.read(place, length)
            for at in range(0, len(data), 512):
                if any(data[at:at + 512]):
                    f.write(struct.pack("<I", (place + at) // 512) + data[at:at + 512])


def join(out, files):
    """Whatever is not zero in fresh file systems: mkfs.btrfs writes little."""
    with open(out, "wb") as f:
        for number, path in enumerate(files):
            with open(path, "rb") as d:
                size, at = d.seek(0, 2), 0
                if not number:
                    f.write(struct.pack("<Q", size | len(files) - 1 << 60 | 1 << 63))
                while at < size:
                    try:
                        at = os.lseek(d.fileno(), at, os.SEEK_DATA)
                    except OSError:
                        break
                    d.seek(at)
                    data = d.read(512)
                    if any(data):
                        f.write(struct.pack("<I", at // 512 | number << 30) + data)
                    at += 512


def lose(image, kind, index):
    """Drop an extent item, and tell the same lie in the counts of its block group and of the superblock"""
    leaf, (key, at, _, _) = image.find(EXTENT, kind, index)
    size = image.node_size if kind == 169 else key[2]
    leaf.fill([(k, bytes(leaf.data[d:d + n])) for k, a, d, n in leaf.items() if a != at])
    leaf.save()
    groups = (image.find(EXTENT, 192, i) for i in range(len(image.chunks)))
    leaf, data = next((g, d) for g, (k, _, d, _) in groups if k[0] <= key[0] < k[0] + k[2])
    put(leaf.data, data, 8, struct.unpack_from("<Q", leaf.data, data)[0] - size)
    leaf.save()
    put(image.super, 0x78, 8, struct.unpack_from("<Q", image.super, 0x78)[0] - size)
    image.save_super()


def main():
    command, path, *rest = sys.argv[1:]
    if command == "join":
        return join(path, rest)
    image = Image(path)
    if command == "seed":
        return make_seed(image, rest[0])
    n = [int(x, 0) if x not in ("-", "all") else None for x in rest]
    if command == "super":
        put(image.super, *n)
        return image.save_super()
    if command == "groups":
        return make_groups(image)
    if command == "header":
        block = Block(image, image.root(n[0]))
        put(block.data, *n[1:])
        return block.save()
    if command == "wreck":
        places = image.places(image.root(n[0]))
        for p in places if n[1] is None else [places[n[1]]]:
            image.write(p + 300, bytes([image.read(p + 300, 1)[0] ^ 1]))
        return None
    if command == "lose":
        return lose(image, *n)
    leaf, (_, at, data, length) = image.find(*n[:3])
    if command == "item":
        put(leaf.data, data + n[3], *n[4:])
    elif command == "key":
        for value, place in ((n[3], at), (n[4], at + 9)):
            if value is not None:
                put(leaf.data, place, 8, value)
    elif command == "drop":
        kept = [(key, bytes(leaf.data[d:d + size])) for key, a, d, size in leaf.items() if a != at]
        leaf.fill(kept)
    else:
        sys.exit(__doc__)
    return leaf.save()


if __name__ == "__main__":
    main()
