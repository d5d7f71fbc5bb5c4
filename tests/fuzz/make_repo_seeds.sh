#!/bin/bash
# make_repo_seeds.sh DIR - a small repository as seeds for fuzz_repo, in its format (see there): versions that share records, one with composed ones,
# packs finished and not, caches, a tag. With an argument "version", seeds for fuzz_version.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
calco=${CALCO:-$root/build/calco}
mkdir -p "$1"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 - "$calco" "$tmp" "$1" "${2:-repo}" <<'END'
import ctypes, ctypes.util, os, random, struct, subprocess, sys
calco, tmp, out, kind = sys.argv[1:]
rnd = random.Random(1)

def run(*words):
    subprocess.run([calco, *words], cwd=tmp, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def read(*path):
    with open(os.path.join(tmp, "store", *path), "rb") as f:
        return f.read()

# Content that compresses well, so that seeds are small; the second version has some new leaves, and moved ones.
leaves = [bytes([i]) * 4000 + rnd.randbytes(96) for i in range(128)]
with open(f"{tmp}/disk", "wb") as f:
    f.write(b"".join(leaves))
run("repo", "init", "store")
run("capture", "disk", "store::a", "--raw", "all")
leaves[3], leaves[70] = leaves[70], rnd.randbytes(96) + bytes(4000)
with open(f"{tmp}/disk", "wb") as f:
    f.write(b"".join(leaves))
run("capture", "disk", "store::a", "--raw", "all")
run("repo", "tag", "store", "a@1", "stable")
packs = sorted(os.listdir(f"{tmp}/store/packs"))
versions = [read("images", "a", f"{n}.version") for n in (1, 2)]

def with_ids(data):
    """The packs have fixed names there."""
    for name, fixed in zip(packs, ("00112233445566778899aabbccddeeff", "a0112233445566778899aabbccddeeff")):
        data = data.replace(bytes.fromhex(name[:32]), bytes.fromhex(fixed))
    return data

if kind == "repo":
    def entry(which, data):
        return struct.pack("<BI", which, len(data)) + data
    files = {0: read("calco-repo"), 1: versions[0], 2: versions[1], 3: read("images", "a", "stable.tag")}
    for i, name in enumerate(packs[:2]):
        files[4 + i] = read("packs", name)
        files[6 + i] = read("leaves", name[:32])
    lists = {"all": range(8), "one": (0, 1, 4, 6), "bare": (0, 3, 4, 5), "unfinished": (0, 1, 4, 8, 9), "retired": (0, 1, 2, 3, 4, 5, 10, 11)}
    files |= {8: files[5][:-200], 9: files[7], 10: b"?\n", 11: b""}
    for name, which in lists.items():
        # The ids are in parts that CRCs and roots cover: the target puts them right.
        with open(os.path.join(out, name), "wb") as f:
            f.write(b"\x01" + b"".join(entry(n, with_ids(files[n])) for n in which))
else:
    # All packs lie in one heap: each place gets the offset there.
    heap, at = b"", {}
    for name in packs:
        at[bytes.fromhex(name[:32])] = len(heap)
        heap += read("packs", name)
    for n, data in enumerate(versions):
        head = data.index(b"LOCS")
        flags, _, raw, stored = struct.unpack_from("<HHQQ", data, head + 4)
        start, table = head + 32, data[head + 32:head + 32 + stored]
        if flags & 2:
            zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
            zstd.ZSTD_decompress.restype = ctypes.c_size_t
            unpacked = ctypes.create_string_buffer(raw)
            assert zstd.ZSTD_decompress(unpacked, ctypes.c_size_t(raw), table, ctypes.c_size_t(stored)) == raw
            table = unpacked.raw
        data = bytearray(data[:head + 4] + struct.pack("<HHQQII", flags & ~2, 0, raw, raw, 0, 0) + table + data[start + stored:])
        struct.pack_into("<Q", data, len(data) - 96, len(data)) # the trailer: length of the file
        length = raw
        nr_packs, _, nr_helpers = struct.unpack_from("<IIQ", data, start)
        ids = [bytes(data[start + 16 + 16 * i:start + 32 + 16 * i]) for i in range(nr_packs)]
        chunks = start + 16 + 16 * nr_packs
        places = list(range(chunks, start + length - 40 * nr_helpers, 16)) + list(range(start + length - 40 * nr_helpers + 24, start + length, 40))
        for p in places:
            offset, pack, size = struct.unpack_from("<QII", data, p)
            if offset:
                struct.pack_into("<Q", data, p, offset + at[ids[pack]])
        with open(os.path.join(out, f"v{n + 1}"), "wb") as f:
            f.write(struct.pack("<BI", 1, len(data)) + data + heap)
END
