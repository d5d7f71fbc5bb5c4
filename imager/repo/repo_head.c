/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The head of a repository, and its keys; see repo_head.h. */
#include "imager/repo/repo_head.h"

#include "base/buf.h"
#include "base/hash.h"
#include "imager/image/access.h"
#include "imager/image/format.h"
#include "imager/image/stream.h"
#include "imager/repo/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int repo_head_id(const struct img_seal *s, uint8_t ret[16], struct err *e)
{
	return crypt_hkdf(s->master, sizeof(s->master), s->id_key, sizeof(s->id_key), "calco repository id v1", ret, 16, e);
}

static void put_head(struct buf *b, const uint8_t id[16], const uint8_t *slots, size_t slots_len)
{
	struct fmt_preamble pre = { .mandatory = FMT_IS_REPOSITORY | (slots ? FMT_FEATURE_ENCRYPTED : 0) };
	struct fmt_part part = { .type = "KEYS", .flags = FMT_MANDATORY, .raw_len = slots_len, .stored_len = slots_len };
	uint8_t head[FMT_PREAMBLE_SIZE], part_head[FMT_PART_SIZE];

	memcpy(pre.pack_id, id, sizeof(pre.pack_id));
	fmt_put_preamble(head, &pre);
	buf_bytes(b, head, sizeof(head));
	if (!slots)
		return;
	part.crc = crc32_of(slots, slots_len);
	fmt_put_part(part_head, &part);
	buf_bytes(b, part_head, sizeof(part_head));
	buf_bytes(b, slots, slots_len);
}

static int write_file(int dir, const char *name, const struct buf *b, struct err *e)
{
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_set(e, ERR_FAILED, errno, "removing '%s'", name);
	AUTO_CLOSE_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	errno = fd < 0 ? errno : EIO; /* of a write that is cut short */
	if (fd < 0 || write(fd, b->p, b->len) != (ssize_t)b->len || fsync(fd) < 0)
		return err_set(e, ERR_FAILED, errno, "writing '%s'", name);
	return 0;
}

int repo_head_write(int fd, const char *dir, const char *new_name, const uint8_t id[16], const uint8_t *slots, size_t slots_len, struct err *e)
{
	struct buf b = { 0 };

	put_head(&b, id, slots, slots_len);
	AUTO_FREE uint8_t *bytes = b.p;
	if (b.failed)
		return err_nomem(e, "the head of the repository");
	if (write_file(fd, new_name, &b, e) < 0) {
		unlinkat(fd, new_name, 0);
		return -1;
	}
	if (fsync(fd) < 0 || renameat(fd, new_name, fd, REPO_HEAD) < 0 || fsync(fd) < 0)
		return err_set(e, ERR_FAILED, errno, "naming '%s/%s'", dir, REPO_HEAD);
	return 0;
}

/* What is behind the preamble: of an encrypted repository the slots, else nothing. */
static int read_rest(struct repo *r, struct stream *s, const struct fmt_preamble *pre, struct err *e)
{
	AUTO_FREE uint8_t *slots = NULL;
	struct slots_count count;
	size_t len = 0;

	memcpy(r->id, pre->pack_id, sizeof(r->id));
	if (!(pre->mandatory & FMT_IS_REPOSITORY))
		return err_set(e, ERR_CORRUPT, 0, "it is not the head of a repository");
	s->sealed = pre->mandatory & FMT_FEATURE_ENCRYPTED;
	if (s->sealed && (stream_part(s, "KEYS", FMT_MAX_SMALL, UINT64_MAX, &slots, &len, e) < 0 || slots_check(slots, len, &count, e) < 0))
		return -1;
	if (s->pos != s->size)
		return err_set(e, ERR_CORRUPT, 0, "it has %llu bytes instead of %llu", (unsigned long long)s->size, (unsigned long long)s->pos);
	r->slots = take(&slots);
	r->slots_len = len;
	return 0;
}

static int read_from(struct repo *r, struct stream *s, struct err *e)
{
	uint8_t head[FMT_PREAMBLE_SIZE];
	struct fmt_preamble pre;

	if (!s->seekable || s->size < sizeof(head))
		return err_set(e, ERR_CORRUPT, 0, "it has %llu bytes instead of %u", (unsigned long long)s->size, FMT_PREAMBLE_SIZE);
	if (stream_read(s, head, sizeof(head), e) < 0 || fmt_get_preamble(head, FMT_IS_REPOSITORY, &pre, e) < 0)
		return -1;
	return read_rest(r, s, &pre, e);
}

int repo_head_read(struct repo *r, struct err *e)
{
	struct stream s = { .fd = -1 };
	AUTO_CLOSE_FD int fd = repo_open_file(r, REPO_HEAD, O_RDONLY, e);

	if (fd < 0 && e->sys_errno == ENOENT) {
		err_set(e, ERR_USAGE, 0, "'%s' is not a repository", r->dir);
		return err_hint(e, "name the folder of one; 'calco repo init DIR' makes one in a new or empty folder");
	}
	if (fd < 0)
		return -1;
	int failed = stream_open(&s, fd, REPO_HEAD, NULL, e) < 0 || read_from(r, &s, e) < 0 ? -1 : 0;
	stream_close(&s);
	return failed < 0 ? err_wrap(e, "'%s/%s'", r->dir, REPO_HEAD) : 0;
}

int repo_need_keys(const struct repo *r, struct err *e)
{
	if (!r->slots || r->seal)
		return 0;
	err_set(e, ERR_REFUSED, 0, "the repository '%s' is encrypted, and no key was given", r->dir);
	err_hint(e, "--key FILE or --passphrase-file FILE opens it");
	return err_reason(e, "locked");
}

static int locked(const struct repo *r, const struct slots_count *count, const struct img_access *a, struct err *e)
{
	if (a && a->locked)
		*a->locked = (struct img_locked){ .is_locked = true, .slots = *count };
	return repo_need_keys(r, e);
}

static int not_encrypted(const struct repo *r, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "the repository '%s' is not encrypted, and a key was given for it", r->dir);
	err_hint(e, "is it the repository you mean? leave the key away to use it all the same");
	return err_reason(e, "not-encrypted");
}

static int wrong_key(const struct repo *r, const struct slots_count *count, struct err *e)
{
	err_set(e, ERR_REFUSED, 0, "the repository '%s' is encrypted, and not for the key or passphrase that was given", r->dir);
	err_hint(e, "it has %zu slots for symmetric keys, %zu for passphrases, %zu for recipients", count->nr_symmetric, count->nr_passphrase,
		count->nr_recipient);
	return err_reason(e, "wrong-key");
}

int repo_use_keys(struct repo *r, const struct img_access *a, struct err *e)
{
	bool is_given = a && img_keys_given(&a->keys);
	AUTO(img_seal) struct img_seal *seal = NULL;
	struct slots_count count;
	uint8_t id[16];

	if (!r->slots)
		return is_given ? not_encrypted(r, e) : 0;
	if (slots_check(r->slots, r->slots_len, &count, e) < 0)
		return -1;
	if (!is_given)
		return locked(r, &count, a, e);
	int opened = slots_open(r->slots, r->slots_len, &a->keys, &seal, e);
	if (opened < 0)
		return err_wrap(e, "'%s/%s'", r->dir, REPO_HEAD);
	if (!opened)
		return wrong_key(r, &count, e);
	if (repo_head_id(seal, id, e) < 0)
		return -1;
	if (memcmp(id, r->id, sizeof(id)))
		return err_set(e, ERR_CORRUPT, 0, "'%s/%s': its key slots are those of another repository", r->dir, REPO_HEAD);
	seal_free(r->seal);
	r->seal = take(&seal);
	return 0;
}

int repo_set_slots(struct repo *r, const uint8_t *slots, size_t len, struct err *e)
{
	char id[33], new_name[64];
	struct slots_count count = { .nr_all = 0 };

	if (len && slots_check(slots, len, &count, e) < 0)
		return -1;
	if (count.nr_all == count.nr_unknown) {
		err_set(e, ERR_REFUSED, 0, "nobody could open the repository '%s' any more", r->dir);
		return err_reason(e, "last-slot");
	}
	if (repo_random_id(id, e) < 0)
		return -1;
	snprintf(new_name, sizeof(new_name), "new/%s.head", id);
	return repo_head_write(r->fd, r->dir, new_name, r->id, slots, len, e);
}
