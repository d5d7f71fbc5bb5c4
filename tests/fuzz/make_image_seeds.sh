#!/bin/sh
# make_image_seeds.sh DIR - small valid images, written from the format's document by another program, as seeds for fuzz_image, in its format (see
# there): as a file and as a pipe, with the head as it is and, so that its bytes can be mutated, not compressed.
set -eu

out=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"
python3 "$(dirname "$0")/../reader/make_sample.py" "$tmp" >/dev/null
python3 - "$tmp" "$out" <<'END'
import ctypes, ctypes.util, os, struct, sys, zlib
zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
zstd.ZSTD_decompress.restype = ctypes.c_size_t

def plain_core(image):
    """The same image with CORE not compressed; offsets in the tail are put right, CRCs and root by the fuzz target."""
    raw, stored = struct.unpack_from("<QQ", image, 64 + 8)
    if not image[64 + 4] & 2:
        return image
    buf = ctypes.create_string_buffer(raw)
    n = zstd.ZSTD_decompress(buf, ctypes.c_size_t(raw), image[96:96 + stored], ctypes.c_size_t(stored))
    assert n == raw
    core = b"CORE" + struct.pack("<HHQQII", 1, 0, raw, raw, zlib.crc32(buf.raw), 0)
    shift = raw - stored
    out = bytearray(image[:64] + core + buf.raw + image[96 + stored:])
    for field in (8, 16):
        at = len(out) - 96 + field
        struct.pack_into("<Q", out, at, struct.unpack_from("<Q", out, at)[0] + shift)
    return bytes(out)

for name in sorted(os.listdir(sys.argv[1])):
    if not name.endswith(".calco"):
        continue
    image = open(os.path.join(sys.argv[1], name), "rb").read()
    if len(image) > 300000:
        continue
    sealed = name.startswith("sealed") # with the keys; its parts cannot be taken apart here
    for choice in range(4, 8) if sealed else range(4):
        for kind, data in (("packed", image),) if sealed else (("packed", image), ("plain", plain_core(image))):
            with open(os.path.join(sys.argv[2], f"{name}-{kind}-{choice}"), "wb") as f:
                f.write(bytes([choice]) + data)
END
