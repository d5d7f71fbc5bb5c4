/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The head of a LUKS container, and its key by way of libcryptsetup; see luks.h. */
#include "imager/disk/luks.h"

#include "base/arith.h"
#include "base/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libcryptsetup.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_COPY   ((uint64_t)16 << 20) /* both headers and the key slots, as they are made usually */
#define MAX_COPY     ((uint64_t)256 << 20)
#define MAX_KEY_FILE ((size_t)8 << 20)    /* what cryptsetup takes */
#define STEP         (1U << 20)

int luks_head_read(struct blk_source *src, struct luks_head *ret, struct err *e)
{
	uint8_t h[512];

	if (src->size < sizeof(h))
		return 0;
	if (blk_read(src, 0, h, sizeof(h), e) < 0)
		return -1;
	unsigned version = (unsigned)h[6] << 8 | h[7];
	if (memcmp(h, "LUKS\xba\xbe", 6) || version < 1 || version > 2)
		return 0;
	*ret = (struct luks_head){ .version = version };
	ret->payload = (uint32_t)h[104] << 24 | (uint32_t)h[105] << 16 | (uint32_t)h[106] << 8 | h[107];
	memcpy(ret->uuid, h + 168, 40);
	if (version == 2)
		memcpy(ret->label, h + 24, 48);
	for (char *c = ret->uuid; *c; c++) /* goes into names */
		if (!strchr("0123456789abcdefABCDEF-", *c))
			*c = '?';
	return 1;
}

static void quiet(int level, const char *msg, void *arg)
{
	(void)level;
	(void)msg;
	(void)arg;
}

/* Bytes [from, to) of the container go into the copy. */
static int copy_range(struct blk_source *src, int fd, uint64_t from, uint64_t to, struct err *e)
{
	AUTO_FREE uint8_t *buf = malloc(STEP);

	if (!buf)
		return err_nomem(e, "the header of a container");
	for (uint64_t n; from < to; from += n) {
		n = min_u64(to - from, STEP);
		if (blk_read(src, from, buf, (size_t)n, e) < 0)
			return -1;
		if (pwrite(fd, buf, (size_t)n, (off_t)from) != (ssize_t)n)
			return err_set(e, ERR_FAILED, errno, "copying the header of '%s'", blk_name(src));
	}
	return 0;
}

/* What must be known before a key is looked for. 1 fine, 0 with why, -1 */
static int look(struct crypt_device *cd, struct blk_source *src, const struct luks_head *head, int fd, char *why, size_t why_size, struct err *e)
{
	struct crypt_params_integrity integrity = { .integrity = NULL };

	if (crypt_load(cd, head->version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, NULL) < 0) {
		snprintf(why, why_size, "its header is damaged, or newer than this program knows");
		return 0;
	}
	if (crypt_get_cipher(cd) == NULL || crypt_get_cipher_mode(cd) == NULL || strcmp(crypt_get_cipher(cd), "aes") ||
		strcmp(crypt_get_cipher_mode(cd), "xts-plain64")) {
		snprintf(why, why_size, "it is encrypted with %.20s-%.30s, not with aes-xts-plain64", crypt_get_cipher(cd) ? crypt_get_cipher(cd) : "?",
			crypt_get_cipher_mode(cd) ? crypt_get_cipher_mode(cd) : "?");
		return 0;
	}
	if (crypt_get_integrity_info(cd, &integrity) == 0 && integrity.integrity && integrity.integrity[0]) {
		snprintf(why, why_size, "it has integrity protection");
		return 0;
	}
	if (head->version == 2 && crypt_reencrypt_status(cd, NULL) != CRYPT_REENCRYPT_NONE) {
		snprintf(why, why_size, "its reencryption is not finished");
		return 0;
	}
	uint64_t start;
	if (!mul_u64(crypt_get_data_offset(cd), 512, &start) || start >= src->size || start > MAX_COPY) {
		snprintf(why, why_size, "its payload lies beyond its end");
		return 0;
	}
	return start > FIRST_COPY && copy_range(src, fd, FIRST_COPY, start, e) < 0 ? -1 : 1;
}

/* The whole file; its length in *ret_len. Wiped and freed by forget_key(), also after a failure. */
static int read_key(const char *path, char **ret, size_t *ret_len, const struct progress *progress, struct err *e)
{
	*ret_len = MAX_KEY_FILE + 1;
	if (!(*ret = calloc(1, MAX_KEY_FILE + 1)))
		return err_nomem(e, "the key");
	return small_file_read(path, "key", MAX_KEY_FILE, *ret, ret_len, progress, e);
}

static void forget_key(char *key, size_t len)
{
	if (key)
		OPENSSL_cleanse(key, len);
	free(key);
}

static int find_key(struct crypt_device *cd, struct blk_source *src, const char *path, const struct progress *progress, struct luks_payload *p, struct err *e)
{
	char *key = NULL;
	size_t len = 0;
	int r = -EPERM;

	if (read_key(path, &key, &len, progress, e) < 0) {
		forget_key(key, len);
		return -1;
	}
	for (int with_newline = 1; with_newline >= 0 && r < 0; with_newline--) {
		if (!with_newline && (!len || key[len - 1] != '\n'))
			break;
		p->key_len = sizeof(p->key);
		r = crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)p->key, &p->key_len, key, len - !with_newline);
		if (r < 0 && r != -EPERM && r != -ENOENT)
			break;
	}
	forget_key(key, len);
	if (r >= 0)
		return 0;
	if (r != -EPERM && r != -ENOENT)
		return err_set(e, ERR_FAILED, -r, "unlocking '%s'", blk_name(src));
	err_set(e, ERR_REFUSED, 0, "the key or passphrase in '%s' does not open '%s'", path, blk_name(src));
	err_hint(e, "name the right file with --unlock, or leave the option away to copy every block");
	return err_reason(e, "wrong-key");
}

static int unlock_copy(struct crypt_device *cd, struct blk_source *src, const struct luks_head *head, int fd, const char *key_file,
	const struct progress *progress, struct luks_payload *ret, char *why, size_t why_size, struct err *e)
{
	int r = look(cd, src, head, fd, why, why_size, e);

	if (r <= 0)
		return r;
	ret->start = crypt_get_data_offset(cd) * 512;
	ret->first_iv = crypt_get_iv_offset(cd);
	ret->sector_size = (uint32_t)crypt_get_sector_size(cd);
	if (find_key(cd, src, key_file, progress, ret, e) < 0)
		return -1;
	if (ret->key_len == 32 || ret->key_len == 64)
		return 1;
	snprintf(why, why_size, "its key has %zu bytes", ret->key_len);
	return 0;
}

int luks_unlock(struct blk_source *src, const struct luks_head *head, const char *key_file, const struct progress *progress,
	struct luks_payload *ret, char *why, size_t why_size, struct err *e)
{
	AUTO_CLOSE_FD int fd = memfd_create("header", MFD_CLOEXEC);
	struct crypt_device *cd = NULL;
	char path[64];

	*ret = (struct luks_payload){ .key_len = 0 };
	if (fd < 0 || ftruncate(fd, (off_t)src->size) < 0)
		return err_set(e, ERR_FAILED, errno, "a copy of the header of '%s'", blk_name(src));
	if (copy_range(src, fd, 0, min_u64(src->size, FIRST_COPY), e) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, quiet, NULL);
	int r = crypt_init(&cd, path);
	if (r < 0)
		return err_set(e, ERR_FAILED, -r, "libcryptsetup");
	crypt_set_log_callback(cd, quiet, NULL);
	(void)crypt_metadata_locking(cd, 0); /* the copy is ours alone */
	r = unlock_copy(cd, src, head, fd, key_file, progress, ret, why, why_size, e);
	crypt_free(cd);
	if (r <= 0)
		luks_forget(ret);
	return r;
}
