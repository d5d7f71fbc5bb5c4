/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Key files; see keys.h. */
#include "imager/image/keys.h"

#include "base/folder.h"
#include "base/hash.h"
#include "base/random.h"
#include "base/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACKED_SIZE 36U /* key and check */
#define BASE64_SIZE 48U
#define MAX_FILE    65536U

static const struct {
	const char *name;
	bool is_secret;
} kinds[] = {
	[KEY_SIGN_SECRET] = { .name = "calco-secret-ed25519", .is_secret = true },
	[KEY_SIGN_PUBLIC] = { .name = "calco-public-ed25519", .is_secret = false },
	[KEY_BOX_SECRET] = { .name = "calco-secret-x25519", .is_secret = true },
	[KEY_BOX_PUBLIC] = { .name = "calco-public-x25519", .is_secret = false },
	[KEY_SYMMETRIC] = { .name = "calco-secret-symmetric", .is_secret = true },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

void key_forget(struct key *k)
{
	crypt_wipe(k, sizeof(*k));
}

bool key_is_secret(const struct key *k)
{
	return kinds[k->kind].is_secret;
}

const char *key_kind_name(enum key_kind kind)
{
	return kinds[kind].name;
}

/* Public half from what the file held. */
static int complete(struct key *k, struct err *e)
{
	switch (k->kind) {
	case KEY_SIGN_SECRET:
		return crypt_ed25519_public(k->bytes, k->public_bytes, e);
	case KEY_BOX_SECRET:
		return crypt_x25519_public(k->bytes, k->public_bytes, e);
	case KEY_SIGN_PUBLIC:
	case KEY_BOX_PUBLIC:
		memcpy(k->public_bytes, k->bytes, sizeof(k->bytes));
		return 0;
	case KEY_SYMMETRIC:
		break;
	}
	memset(k->public_bytes, 0, sizeof(k->public_bytes));
	return 0;
}

static void set_comment(struct key *k, const char *text)
{
	snprintf(k->comment, sizeof(k->comment), "%s", text);
	for (char *c = k->comment; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = ' ';
}

int key_new(enum key_kind kind, const char *comment, struct key *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	ret->kind = kind;
	set_comment(ret, comment ? comment : "");
	return random_bytes(ret->bytes, sizeof(ret->bytes), e) < 0 ? -1 : complete(ret, e);
}

bool key_public(const struct key *k, struct key *ret)
{
	if (k->kind == KEY_SYMMETRIC)
		return false;
	*ret = *k;
	ret->kind = k->kind == KEY_SIGN_SECRET || k->kind == KEY_SIGN_PUBLIC ? KEY_SIGN_PUBLIC : KEY_BOX_PUBLIC;
	memcpy(ret->bytes, k->public_bytes, sizeof(ret->bytes));
	return true;
}

static int hash_two(const void *a, size_t a_len, const void *b, size_t b_len, uint8_t ret[HASH_SIZE], struct err *e)
{
	AUTO(hasher) struct hasher *h = hasher_new(e);

	if (!h)
		return -1;
	hasher_begin(h);
	hasher_add(h, a, a_len);
	hasher_add(h, b, b_len);
	hasher_end(h, ret);
	return hasher_check(h, e);
}

int key_fingerprint(const struct key *k, uint8_t ret[KEY_FINGERPRINT_SIZE], struct err *e)
{
	static const char prefix[16] = "calco symmetric";
	bool symmetric = k->kind == KEY_SYMMETRIC;
	uint8_t hash[HASH_SIZE];

	if (hash_two(prefix, symmetric ? sizeof(prefix) : 0, symmetric ? k->bytes : k->public_bytes, CRYPT_KEY_SIZE, hash, e) < 0)
		return -1;
	memcpy(ret, hash, KEY_FINGERPRINT_SIZE);
	return 0;
}

/* The key's bytes and the check behind them. */
static int pack(const struct key *k, uint8_t ret[PACKED_SIZE], struct err *e)
{
	const char *name = kinds[k->kind].name;
	uint8_t hash[HASH_SIZE];

	if (hash_two(name, strlen(name) + 1, k->bytes, CRYPT_KEY_SIZE, hash, e) < 0)
		return -1;
	memcpy(ret, k->bytes, CRYPT_KEY_SIZE);
	memcpy(ret + CRYPT_KEY_SIZE, hash, PACKED_SIZE - CRYPT_KEY_SIZE);
	crypt_wipe(hash, sizeof(hash));
	return 0;
}

int key_base64(const struct key *k, char ret[49], struct err *e)
{
	uint8_t packed[PACKED_SIZE];

	if (pack(k, packed, e) < 0)
		return -1;
	EVP_EncodeBlock((unsigned char *)ret, packed, PACKED_SIZE);
	crypt_wipe(packed, sizeof(packed));
	return 0;
}

int key_line(const struct key *k, char ret[KEY_LINE_MAX], struct err *e)
{
	char text[BASE64_SIZE + 1];

	if (key_base64(k, text, e) < 0)
		return -1;
	snprintf(ret, KEY_LINE_MAX, "%s %s%s%s", kinds[k->kind].name, text, k->comment[0] ? " " : "", k->comment);
	crypt_wipe(text, sizeof(text));
	return 0;
}

static int not_a_key(const char *name, const char *why, struct err *e)
{
	err_set(e, ERR_USAGE, 0, "'%s' is not a key: %s", name, why);
	return err_hint(e, "'calco key new FILE' makes one, 'calco key show FILE' shows what a file holds");
}

/* 48 characters into key and check. */
static int unpack(const char *name, const char *text, struct key *k, struct err *e)
{
	uint8_t raw[PACKED_SIZE + 3], want[PACKED_SIZE];
	int r = 0;

	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") < BASE64_SIZE ||
		EVP_DecodeBlock(raw, (const unsigned char *)text, BASE64_SIZE) != (int)PACKED_SIZE)
		return not_a_key(name, "behind its kind there must be 48 characters of base64", e);
	memcpy(k->bytes, raw, CRYPT_KEY_SIZE);
	r = pack(k, want, e);
	if (r == 0 && !crypt_equal(raw, want, PACKED_SIZE))
		r = not_a_key(name, "it is mistyped or damaged (check)", e);
	crypt_wipe(raw, sizeof(raw));
	crypt_wipe(want, sizeof(want));
	return r < 0 ? -1 : complete(k, e);
}

int key_parse(const char *name, const char *line, struct key *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < NR_KINDS; i++) {
		size_t n = strlen(kinds[i].name);
		if (strncmp(line, kinds[i].name, n) || line[n] != ' ')
			continue;
		const char *text = line + n + 1;
		size_t len = strcspn(text, " ");
		ret->kind = (enum key_kind)i;
		if (len != BASE64_SIZE)
			return not_a_key(name, "behind its kind there must be 48 characters of base64", e);
		set_comment(ret, text[len] ? text + len + 1 : "");
		return unpack(name, text, ret, e);
	}
	return not_a_key(name, "it does not begin with 'calco-secret-' or 'calco-public-' and a known kind", e);
}

/* A small file as a whole, with a NUL behind it; the caller wipes MAX_FILE + 1 bytes. */
static int read_small(const char *path, const char *what, char *ret, size_t *ret_len, const struct progress *p, struct err *e)
{
	if (small_file_read(path, what, MAX_FILE, ret, ret_len, p, e) < 0)
		return -1;
	ret[*ret_len] = '\0';
	return 0;
}

static int parse_file(const char *path, char *text, size_t len, struct key *ret, struct err *e)
{
	unsigned nr = 0;

	if (strlen(text) != len)
		return not_a_key(path, "it holds a NUL", e);
	for (char *line = text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		if (nr++)
			return not_a_key(path, "it holds more than one line", e);
		if (key_parse(path, line, ret, e) < 0)
			return -1;
	}
	return nr ? 0 : not_a_key(path, "it is empty", e);
}

int key_read(const char *path, struct key *ret, const struct progress *p, struct err *e)
{
	AUTO_FREE char *text = malloc(MAX_FILE + 2);
	size_t len = 0;

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return err_nomem(e, "a key");
	int r = read_small(path, "key", text, &len, p, e);
	if (r == 0)
		r = parse_file(path, text, len, ret, e);
	crypt_wipe(text, MAX_FILE + 2);
	if (r < 0)
		key_forget(ret);
	return r;
}

int key_read_signer(const char *word, uint8_t ret[CRYPT_KEY_SIZE], const struct progress *p, struct err *e)
{
	AUTO_KEY struct key k = { .kind = KEY_SIGN_PUBLIC };
	const char *prefix = "calco-public-";
	int r;

	if (!strncmp(word, prefix, strlen(prefix)))
		r = key_parse("the public key", word, &k, e);
	else if (strlen(word) == BASE64_SIZE && access(word, F_OK) < 0)
		r = unpack("the public key", word, &k, e);
	else
		r = key_read(word, &k, p, e);
	if (r < 0)
		return -1;
	if (k.kind != KEY_SIGN_PUBLIC && k.kind != KEY_SIGN_SECRET) {
		err_set(e, ERR_USAGE, 0, "'%s' is a key for encryption, not the public key of a signer", word);
		return err_hint(e, "a signer's key begins with %s", kinds[KEY_SIGN_PUBLIC].name);
	}
	memcpy(ret, k.public_bytes, CRYPT_KEY_SIZE);
	return 0;
}

static int write_line(int fd, const char *path, const char *line, size_t len, struct err *e)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, line + at, len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_FAILED, n < 0 ? errno : EIO, "writing '%s'", path);
		at += (size_t)n;
	}
	return fsync(fd) < 0 ? err_set(e, ERR_FAILED, errno, "flushing '%s'", path) : 0;
}

int key_write(const char *path, const struct key *k, struct err *e)
{
	char line[KEY_LINE_MAX + 1];
	AUTO_CLOSE_FD int fd = -1;

	if (key_line(k, line, e) < 0)
		return -1;
	strcat(line, "\n");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, key_is_secret(k) ? 0600 : 0644);
	int r = 0;
	if (fd < 0 && errno == EEXIST) {
		err_set(e, ERR_REFUSED, 0, "'%s' exists already; a key is never overwritten", path);
		err_hint(e, "choose another name, or move the old key away first");
		r = err_reason(e, "exists");
	} else if (fd < 0) {
		r = err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_USAGE : ERR_FAILED, errno, "making '%s'", path);
	} else {
		r = write_line(fd, path, line, strlen(line), e);
		if (r == 0)
			r = folder_flush(path, e);
		if (r < 0)
			unlink(path);
	}
	crypt_wipe(line, sizeof(line));
	return r;
}

int key_passphrase(const char *path, uint8_t **ret, size_t *ret_len, const struct progress *p, struct err *e)
{
	char *text = malloc(MAX_FILE + 2);
	size_t len = 0;

	if (!text)
		return err_nomem(e, "a passphrase");
	int r = read_small(path, "passphrase", text, &len, p, e);
	if (r == 0 && len && text[len - 1] == '\n')
		len -= len > 1 && text[len - 2] == '\r' ? 2 : 1;
	if (r == 0 && !len)
		r = err_set(e, ERR_USAGE, 0, "the passphrase file '%s' is empty", path);
	if (r < 0) {
		crypt_wipe(text, MAX_FILE + 2);
		free(text);
		return -1;
	}
	crypt_wipe(text + len, MAX_FILE + 2 - len);
	*ret = (uint8_t *)text;
	*ret_len = len;
	return 0;
}
