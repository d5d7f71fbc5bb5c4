"""Ed25519 (RFC 8032 §5.1) in plain integers: slow, not for secrets, enough to prove signatures in tests."""
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def add(a, b):
    """Adds two points (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    g, h = 2 * D * a[3] * b[3], 2 * a[2] * b[2]
    u, v, w, x = f - e, h - g, h + g, f + e
    return u * v % P, w * x % P, v * w % P, u * x % P


def multiply(n, point):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def encode(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point of 32 bytes, None if they stand for none (§5.1.3)."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_1 % P
    if x * x % P != square or (not x and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def number(*data):
    return int.from_bytes(hashlib.sha512(b"".join(data)).digest(), "little")


def secret_scalar(seed):
    half = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return half & (1 << 254) - 8 | 1 << 254


def public_key(seed):
    return encode(multiply(secret_scalar(seed), BASE))


def sign(seed, message):
    scalar, public = secret_scalar(seed), public_key(seed)
    nonce = number(hashlib.sha512(seed).digest()[32:], message) % L
    r = encode(multiply(nonce, BASE))
    s = (nonce + number(r, public, message) * scalar) % L
    return r + s.to_bytes(32, "little")


def verify(public, message, signature):
    a, r, s = decode(public), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = number(signature[:32], public, message) % L
    return encode(multiply(s, BASE)) == encode(add(r, multiply(k, a)))
