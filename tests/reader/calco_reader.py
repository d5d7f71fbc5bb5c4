#!/usr/bin/env python3
"""A second reader of calco images, written from docs/format.md alone.

wire.py, core.py and image.py follow the document's sections; here are the commands. An image is read from front to
back, so a pipe will do. Exit status: 0 well, 1 the system refused something, 2 usage, 3 damage or a difference,
4 a key is missing, 6 not supported.
"""
import argparse
import os
import stat
import struct
import sys
import uuid

from core import keep
import seal
from image import END_MAGIC, Image, Locked
from wire import CHUNK, LEAF, Damage, Unsupported, need

MAX_FINDINGS = 1000
KINDS = ("gap", "partition", "overlap", "whole disk")


def open_image(path):
    return sys.stdin.buffer if path == "-" else open(path, "rb")


def secrets_of(args):
    """[(kind of slot, secret)] of the options."""
    found = []
    for path in args.key:
        kind, data = seal.read_key(path)
        need(kind in ("calco-secret-symmetric", "calco-secret-x25519"), f"{path}: not a key that opens images")
        found.append((1 if kind == "calco-secret-symmetric" else 3, data))
    if args.passphrase_file:
        found.append((2, seal.read_passphrase(args.passphrase_file)))
    return found


def check(stream, complain, seekable, secrets=()):
    image = Image(stream, complain, secrets)
    image.head()
    for _ in image.records():
        pass
    image.tail()
    if seekable:
        image.check_bad_content()


def command_check(args):
    findings = []

    def complain(message):
        print(message)
        findings.append(message)
        if len(findings) >= MAX_FINDINGS:
            raise Damage("too many findings, stopped")

    try:
        with open_image(args.image) as stream:
            check(stream, complain, args.image != "-", secrets_of(args))
    except Damage as damage:
        print(damage)
        return 3
    return 3 if findings else 0


def need_files(image, paths):
    if len(paths) != len(image.core.disks):
        raise OSError(f"the image holds {len(image.core.disks)} disks, {len(paths)} files are named")


def write_sparse(out, data, offset):
    """Writes what is not zero, leaf by leaf; the rest stays a hole."""
    begin = None
    for at in range(0, len(data) + LEAF, LEAF):
        filled = bool(data[at:at + LEAF].strip(b"\0"))
        if filled and begin is None:
            begin = at
        elif not filled and begin is not None:
            out.seek(offset + begin)
            out.write(data[begin:at])
            begin = None


def command_restore(args):
    image = Image(open_image(args.image), None, secrets_of(args))
    image.head()
    need_files(image, args.files)
    outs = [open(path, "wb") for path in args.files]
    for out, disk in zip(outs, image.core.disks):
        if stat.S_ISREG(os.fstat(out.fileno()).st_mode):
            out.truncate(disk.size)
        else:
            raise OSError(f"{out.name} is not a regular file")
    for chunk, content in image.records():
        write_sparse(outs[chunk.disk], content[:chunk.length], chunk.start)
    image.tail()
    for out in outs:
        out.close()
    return 0


def first_difference(a, b):
    low, high = 0, max(len(a), len(b))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle)
    return low


def command_compare(args):
    image = Image(open_image(args.image), None, secrets_of(args))
    image.head()
    need_files(image, args.files)
    files = [open(path, "rb") for path in args.files]
    for chunk, content in image.chunks():
        files[chunk.disk].seek(chunk.start)
        data = files[chunk.disk].read(chunk.length)
        end = chunk.start + len(data)
        data = keep(chunk, data.ljust(CHUNK, b"\0"), chunk.used | chunk.zero)
        where = chunk.start + first_difference(data, content) if data != content else None
        if end < chunk.start + chunk.length and (where is None or end < where):
            raise Damage(f"disk {chunk.disk} ends at offset {end}, before chunk {chunk.number} does")
        if where is not None:
            raise Damage(f"disk {chunk.disk} differs at offset {where} (chunk {chunk.number})")
    image.tail()
    return 0


def command_info(args):
    stream = open_image(args.image)
    image = Image(stream, None, secrets_of(args))
    image.head()
    core = image.core
    print(f"image {core.name}, version {core.version} of {core.lineage}, pack {image.pack.hex()}")
    for lineage, version, root in core.parents:
        print(f"parent: version {version} of {uuid.UUID(bytes=lineage)}, root {root.hex()}")
    for kind, label in enumerate(("captured", "program", "level", "note", "bytes read"), 1):
        if kind in image.note:
            print(f"{label}: {image.note[kind]}")
    for i, d in enumerate(core.disks):
        print(f"disk {i}: {d.size} bytes, sectors {d.logical}/{d.physical}, table {('none', 'MBR', 'GPT')[d.table]},"
              f" model {d.model!r}, serial {d.serial!r}, from {d.source!r}")
    for i, r in enumerate(core.regions):
        print(f"region {i}: disk {r.disk} at {r.start}, {r.length} bytes,"
              f" {KINDS[r.kind]} {r.partition or ''} {r.name!r}, granule {r.granule}")
    for i, v in enumerate(core.volumes):
        print(f"volume {i}: kind {v.kind}, {v.type!r} {v.label!r} {v.uuid}, {v.size} bytes,"
              f" {v.used} used, driver {v.driver!r}")
    print(f"{len(core.tables)} copies of tables, {core.chunks} chunks, {core.present} present")
    if args.image != "-":
        image.source.offset = stream.seek(-128, os.SEEK_END)
        image.pending = None
        t = struct.unpack("<QQQQQ16s32s8s", image.payload(image.part(b"TRLR", exact=96)))
        need((t[0], t[5], t[7]) == (image.source.offset, image.pack, END_MAGIC), "the trailer does not match the file")
        print(f"{t[0]} bytes, {t[4]} records, root {t[6].hex()}")
    return 0


def main():
    parser = argparse.ArgumentParser(description="Reads calco images; IMAGE may be '-' for a pipe.")
    commands = parser.add_subparsers(required=True)
    for name, function, files in (("info", command_info, None), ("check", command_check, None),
                                  ("restore", command_restore, "OUT"), ("compare", command_compare, "DISKFILE")):
        command = commands.add_parser(name)
        command.add_argument("image", metavar="IMAGE")
        command.add_argument("--key", action="append", default=[], metavar="FILE")
        command.add_argument("--passphrase-file", metavar="FILE")
        if files:
            command.add_argument("files", metavar=files, nargs="+")
        command.set_defaults(run=function)
    args = parser.parse_args()
    try:
        return args.run(args)
    except Damage as damage:
        print(damage, file=sys.stderr)
        return 3
    except Locked as locked:
        print(locked, file=sys.stderr)
        return 4
    except Unsupported as missing:
        print(missing, file=sys.stderr)
        return 6
    except (OSError, MemoryError, OverflowError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
