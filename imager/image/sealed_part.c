/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Encrypted parts; see sealed_part.h. */
#include "imager/image/sealed_part.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

static size_t salt_size(const char *type)
{
	return fmt_is_table(type) ? SEAL_SALT_SIZE : 0;
}

size_t sealed_part_extra(const char *type)
{
	return salt_size(type) + SEAL_TAG_SIZE;
}

int sealed_part_close(struct seal_box *b, const uint8_t pack_id[16], struct fmt_part *p, const void *in, uint8_t **ret, struct err *e)
{
	size_t len = (size_t)p->stored_len, salt = salt_size(p->type);
	AUTO_FREE uint8_t *out = malloc(len + sealed_part_extra(p->type));
	uint8_t head[FMT_PART_SIZE];
	struct seal_what what = { .pack_id = pack_id, .salt = salt ? out : NULL, .type = p->type, .head = head, .head_len = FMT_PART_AAD };

	if (!out)
		return err_nomem(e, p->type);
	if (salt && random_bytes(out, salt, e) < 0)
		return -1;
	p->flags |= FMT_ENCRYPTED;
	p->stored_len += sealed_part_extra(p->type);
	fmt_put_part(head, p);
	if (seal_close(b, &what, in, len, out + salt, e) < 0)
		return -1;
	*ret = take(&out);
	return 0;
}

int sealed_part_open(struct seal_box *b, const uint8_t pack_id[16], const struct fmt_part *p, const uint8_t head[FMT_PART_SIZE], uint8_t *stored,
	const uint8_t **ret, size_t *ret_len, struct err *e)
{
	size_t salt = salt_size(p->type), extra = sealed_part_extra(p->type);
	struct seal_what what = { .pack_id = pack_id, .salt = salt ? stored : NULL, .type = p->type, .head = head, .head_len = FMT_PART_AAD };

	if (p->stored_len < extra)
		return err_set(e, ERR_CORRUPT, 0, "part '%s' is too short to be encrypted", p->type);
	if (seal_open(b, &what, stored + salt, (size_t)p->stored_len - salt, stored + salt, e) < 0)
		return -1;
	*ret = stored + salt;
	*ret_len = (size_t)p->stored_len - extra;
	return 0;
}
