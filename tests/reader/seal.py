"""Encryption (docs/format.md §8, §9): AES-256-GCM, HKDF, X25519, key slots and key files. Plain and slow; for tests."""
import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import struct

from wire import Damage, Unsupported, need

TAG, SLOT_KEY, SLOT_X25519 = 16, b"calco slot key v1", b"calco slot x25519 v1"
SEALED = (b"CORE", b"ENVL", b"CIDS", b"BADR", b"INDX")
TABLES, SALT = (b"LOCS", b"PTOC"), 16       # each with a key of its own


def extra(kind):
    """By how many bytes a part is longer when it is encrypted."""
    return TAG + (SALT if kind in TABLES else 0)


# ---- AES-256 for single blocks comes from libcrypto; the mode around it is here (NIST SP 800-38D) ----

def load_crypto():
    lib, pointer = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3"), ctypes.c_void_p
    for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_ecb"):
        getattr(lib, name).restype = pointer
    lib.EVP_EncryptInit_ex.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, pointer]
    lib.EVP_CIPHER_CTX_set_padding.argtypes = [pointer, ctypes.c_int]
    lib.EVP_EncryptUpdate.argtypes = [pointer, pointer, ctypes.POINTER(ctypes.c_int), ctypes.c_char_p, ctypes.c_int]
    lib.EVP_CIPHER_CTX_free.argtypes = [pointer]
    return lib


CRYPTO = load_crypto()


def aes_blocks(key, data):
    """Each 16 bytes of data through AES-256."""
    ctx, out, length = CRYPTO.EVP_CIPHER_CTX_new(), ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
    CRYPTO.EVP_EncryptInit_ex(ctx, CRYPTO.EVP_aes_256_ecb(), None, key, None)
    CRYPTO.EVP_CIPHER_CTX_set_padding(ctx, 0)
    CRYPTO.EVP_EncryptUpdate(ctx, out, ctypes.byref(length), data, len(data))
    CRYPTO.EVP_CIPHER_CTX_free(ctx)
    assert length.value == len(data)
    return out.raw[:len(data)]


def times_x(v):
    return v >> 1 ^ (0xE1 << 120 if v & 1 else 0)


class Gcm:
    """One key."""

    def __init__(self, key):
        self.key = key
        h = int.from_bytes(aes_blocks(key, bytes(16)), "big")
        powers = [h]
        for _ in range(127):
            powers.append(times_x(powers[-1]))
        # tables[i][b]: the product of h with byte b at place i of a block
        self.tables = []
        for i in range(16):
            table = [0] * 256
            for b in range(1, 256):
                low = b & -b
                table[b] = table[b ^ low] ^ powers[8 * i + 7 - (low.bit_length() - 1)]
            self.tables.append(table)

    def ghash(self, data):
        y = 0
        for at in range(0, len(data), 16):
            block = (y ^ int.from_bytes(data[at:at + 16], "big")).to_bytes(16, "big")
            y = 0
            for table, b in zip(self.tables, block):
                y ^= table[b]
        return y.to_bytes(16, "big")

    def crypt(self, nonce, data, aad, sealed):
        """(the data with the key stream over it, the tag of the ciphertext)"""
        count = -(-len(data) // 16)
        stream = aes_blocks(self.key, b"".join(nonce + struct.pack(">I", i) for i in range(1, count + 2)))
        out = (int.from_bytes(data, "big") ^ int.from_bytes(stream[16:16 + len(data)], "big")).to_bytes(len(data), "big")
        text = data if sealed else out
        pad = bytes(-len(aad) % 16), bytes(-len(text) % 16)
        tag = self.ghash(aad + pad[0] + text + pad[1] + struct.pack(">QQ", 8 * len(aad), 8 * len(text)))
        return out, bytes(a ^ b for a, b in zip(tag, stream[:16]))

    def seal(self, nonce, data, aad):
        out, tag = self.crypt(nonce, data, aad, False)
        return out + tag

    def open(self, nonce, data, aad, what):
        need(len(data) >= TAG, f"{what}: too short for what is encrypted")
        out, tag = self.crypt(nonce, data[:-TAG], aad, True)
        need(hmac.compare_digest(tag, data[-TAG:]), f"{what}: what is encrypted was changed or exchanged")
        return out


def hkdf(data, salt, info, length=32):
    """RFC 5869 with SHA-256."""
    key, out, block = hmac.digest(salt or bytes(32), data, "sha256"), b"", b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def x25519(secret, point=(9).to_bytes(32, "little")):
    """RFC 7748 §5."""
    p, k = 2**255 - 19, int.from_bytes(secret, "little") & ~7 & (1 << 254) - 1 | 1 << 254
    x1 = int.from_bytes(point, "little") % 2**255 % p
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in range(254, -1, -1):
        swap = k >> bit & 1
        if swap:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a % p, c * b % p
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        aa, bb = a * a % p, b * b % p
        e = aa - bb
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
        if swap:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, -1, p) % p).to_bytes(32, "little")


# ---- key files (§9) ----

def read_key(path):
    """(kind, 32 bytes) of the one key in a file."""
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith("#")]
    need(len(lines) == 1, f"{path}: not one key")
    kind, text = lines[0].split(" ")[:2]
    data = base64.b64decode(text, validate=True)
    check = hashlib.sha256(kind.encode() + b"\0" + data[:32]).digest()[:4]
    need(len(text) == 48 and data[32:] == check, f"{path}: mistyped or damaged")
    return kind, data[:32]


def write_key(path, kind, data):
    check = hashlib.sha256(kind.encode() + b"\0" + data).digest()[:4]
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{kind} {base64.b64encode(data + check).decode()}\n")


def read_passphrase(path):
    with open(path, "rb") as file:
        data = file.read()
    return data[:-2] if data.endswith(b"\r\n") else data[:-1] if data.endswith(b"\n") else data


# ---- slots (§8) ----

def slots(payload):
    """Yields (kind, what is authenticated, parameters, wrapped)."""
    at, count, passphrases = 0, 0, 0
    while at < len(payload):
        need(len(payload) - at >= 8, "KEYS: ends too early")
        kind, reserved, length = struct.unpack_from("<B3sI", payload, at)
        end = at + 8 + length
        need(length <= 4096 and end + 92 <= len(payload), "KEYS: ends too early")
        parameters = payload[at + 8:end]
        if 1 <= kind <= 3:
            need(not any(reserved) and length == (16, 28, 32)[kind - 1], "KEYS: bad slot")
        if kind == 2:
            _, log2, zero, r, p = struct.unpack("<16sB3sII", parameters)
            need(10 <= log2 <= 20 and not any(zero) and 1 <= r <= 32 and 1 <= p <= 16, "KEYS: bad cost of a passphrase")
            if 128 * r << log2 > 1 << 28 or r * p << log2 > 1 << 22:
                raise Unsupported("KEYS: a passphrase that costs too much")
        count, passphrases = count + 1, passphrases + (kind == 2)
        need(count <= 64 and passphrases <= 8, "KEYS: too many slots")
        yield kind, payload[at:end], parameters, payload[end:end + 92]
        at = end + 92
    need(count, "KEYS: no slot")


def slot_key(kind, parameters, secret):
    """The key that a slot is wrapped with; secret: what fits its kind."""
    if kind == 1:
        return hkdf(secret, parameters, SLOT_KEY)
    if kind == 2:
        salt, log2, _, r, p = struct.unpack("<16sB3sII", parameters)
        return hashlib.scrypt(secret, salt=salt, n=1 << log2, r=r, p=p, maxmem=1 << 29, dklen=32)
    return hkdf(x25519(secret, parameters), parameters + x25519(secret), SLOT_X25519)


def unlock(payload, secrets):
    """secrets: [(kind of slot, secret)]. The master key and the id key, None if nothing fits."""
    found = list(slots(payload))
    for kind, aad, parameters, wrapped in found:
        for fits, secret in secrets:
            if fits != kind:
                continue
            try:
                both = Gcm(slot_key(kind, parameters, secret)).open(wrapped[:12], wrapped[12:], aad, "KEYS")
            except Damage:
                continue
            return both[:32], both[32:]
    return None


class Keys:
    """What opens the parts and records of one image."""

    def __init__(self, master, id_key):
        self.master, self.id_key, self.packs = master, id_key, {}

    def pack(self, pack):
        if pack not in self.packs:
            self.packs[pack] = Gcm(hkdf(self.master, pack, b"calco pack key v1"))
        return self.packs[pack]

    def table(self, pack, salt):
        return Gcm(hkdf(self.master, pack + salt, b"calco table key v1"))

    def open_part(self, pack, kind, header, data, what):
        if kind not in TABLES:
            return self.open(pack, kind, 0, header, data, what)
        need(len(data) >= extra(kind), f"{what}: too short for what is encrypted")
        return self.table(pack, data[:SALT]).open(kind + bytes(8), data[SALT:], header, what)

    def open(self, pack, kind, number, header, data, what):
        return self.pack(pack).open(kind + struct.pack("<Q", number), data, header, what)

    def seal(self, pack, kind, number, header, data):
        return self.pack(pack).seal(kind + struct.pack("<Q", number), data, header)

    def hash(self, data):
        return hmac.digest(self.id_key, data, "sha256")
