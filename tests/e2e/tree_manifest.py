#!/usr/bin/env python3
"""Prints one line for everything in a tree: what a copy of it must have in common with the original.

Kind, mode, owner, size, modification time in nanoseconds, link count, which names are links to the same inode, extended
attributes, target of a symbolic link, device number, and the SHA-256 of the content. Lines are sorted by name; names are bytes.
"""
import hashlib
import os
import stat
import sys

LARGE = 64 << 20


def content_hash(path, size):
    """Of the content, or for a large file of what stands in it other than zeros, and where: it may be mostly a hole."""
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        if size < LARGE:
            while data := f.read(1 << 20):
                h.update(data)
            return h.hexdigest()
        at = next_data(f, 0)
        while at < size:
            f.seek(at)
            data = f.read(4096 - at % 4096)
            if data.strip(b"\0"):
                h.update(b"%d:" % at + data)
            at = next_data(f, at + len(data))
    return h.hexdigest()


def next_data(f, at):
    try:
        return os.lseek(f.fileno(), at, os.SEEK_DATA)
    except OSError:
        return 1 << 63


def attributes(path):
    return ",".join(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}"
                    for name in sorted(os.listxattr(path, follow_symlinks=False)))


def describe(path, name, first_names):
    st = os.lstat(path)
    fields = [stat.filemode(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, st.st_mtime_ns, st.st_ino]
    if stat.S_ISREG(st.st_mode):
        fields += [st.st_size, st.st_blocks, content_hash(path, st.st_size)]
    elif stat.S_ISLNK(st.st_mode):
        fields.append(os.readlink(path))
    elif stat.S_ISBLK(st.st_mode) or stat.S_ISCHR(st.st_mode):
        fields.append(st.st_rdev)
    fields += [f"first={first_names.setdefault(st.st_ino, name)!r}", attributes(path)]
    return f"{name!r} " + " ".join(str(f) for f in fields)


def main():
    root = os.fsencode(sys.argv[1])
    paths = [root]
    for folder, folders, files in os.walk(root):
        paths += [os.path.join(folder, n) for n in folders + files]
    first_names = {}
    for path in sorted(paths):
        print(describe(path, os.path.relpath(path, root), first_names))


main()
