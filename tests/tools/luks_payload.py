#!/usr/bin/env python3
"""Write or read the payload of a LUKS container in a file, aes-xts-plain64, with the volume key that cryptsetup finds; no device-mapper.

usage: luks_payload.py put|get CONTAINER@OFFSET+LENGTH KEYFILE FILE
"""
import ctypes
import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_xts", "EVP_aes_128_xts"):
    getattr(crypto, name).restype = ctypes.c_void_p


class Xts:
    def __init__(self, key, encrypt):
        self.ctx = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
        cipher = crypto.EVP_aes_256_xts if len(key) == 64 else crypto.EVP_aes_128_xts
        assert crypto.EVP_CipherInit_ex(self.ctx, ctypes.c_void_p(cipher()), None, key, None, int(encrypt)) == 1

    def sector(self, number, data):
        out, n = ctypes.create_string_buffer(len(data)), ctypes.c_int()
        assert crypto.EVP_CipherInit_ex(self.ctx, None, None, None, number.to_bytes(16, "little"), -1) == 1
        assert crypto.EVP_CipherUpdate(self.ctx, out, ctypes.byref(n), data, len(data)) == 1
        return out.raw


def main(verb, place, key_file, path):
    disk, start, length = re.fullmatch(r"(.*)@(\d+)\+(\d+)", place).groups()
    start, length = int(start), int(length)
    with tempfile.TemporaryDirectory() as folder, open(disk, "r+b") as f:
        header, key_path = os.path.join(folder, "header"), os.path.join(folder, "key")
        f.seek(start)
        with open(header, "wb") as h:
            shutil.copyfileobj(f, h) if length > 64 << 20 else h.write(f.read(length))
        dump = subprocess.run(["cryptsetup", "luksDump", "-q", "--key-file", key_file, "--dump-volume-key", "--volume-key-file", key_path, header],
                              check=True, capture_output=True, text=True).stdout
        key = open(key_path, "rb").read()
        dump = subprocess.run(["cryptsetup", "luksDump", header], check=True, capture_output=True, text=True).stdout
        if "Payload offset:" in dump:
            offset, sector = int(re.search(r"Payload offset:\s*(\d+)", dump)[1]) * 512, 512
        else:
            segment = dump[dump.index("Data segments:"):]
            offset, sector = (int(re.search(what + r": (\d+)", segment)[1]) for what in ("offset", "sector"))
        xts = Xts(key, verb == "put")
        f.seek(start + offset)
        with open(path, "rb" if verb == "put" else "wb") as plain:
            for at in range(0, length - offset, sector):
                if verb == "put":
                    data = plain.read(sector)
                    if not data:
                        break
                    f.write(xts.sector(at // 512, data.ljust(sector, b"\0")))
                else:
                    plain.write(xts.sector(at // 512, f.read(sector)))


main(*sys.argv[1:])
