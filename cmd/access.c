/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whom to believe; see access.h. */
#include "cmd/access.h"

#include "base/arith.h"
#include "cmd/out.h"
#include "cmd/text.h"
#include "imager/image/keys.h"
#include "imager/image/manifest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* As text_uuid() writes it. */
static int parse_uuid(const char *text, uint8_t ret[16], struct err *e)
{
	size_t nr = 0;
	const char *p = text;

	for (; isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1]) && nr < 16; p += 2 + (p[2] == '-' && p[3])) {
		char pair[3] = { p[0], p[1], '\0' };
		ret[nr++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	if (nr != 16 || *p)
		return err_set(e, ERR_USAGE, 0, "--require-lineage: '%.60s' is not a UUID", text);
	return 0;
}

static int read_all(struct access *x, const struct access_args *args, struct err *e)
{
	struct img_trust *t = &x->a.trust;

	if (args->require_signer.nr && !(x->signers = alloc_array(args->require_signer.nr, sizeof(*x->signers))))
		return err_nomem(e, "the signers");
	t->signers = (const uint8_t(*)[CRYPT_KEY_SIZE])x->signers;
	for (; t->nr_signers < args->require_signer.nr; t->nr_signers++)
		if (key_read_signer(args->require_signer.items[t->nr_signers], x->signers[t->nr_signers], e) < 0)
			return err_wrap(e, "--require-signer");
	t->min_version = args->min_version.n;
	if (!args->lineage)
		return 0;
	t->lineage = x->lineage;
	return parse_uuid(args->lineage, x->lineage, e);
}

struct access *access_open(const struct access_args *args, struct err *e)
{
	AUTO(access) struct access *x = calloc(1, sizeof(*x));

	if (!x) {
		err_nomem(e, "the options");
		return NULL;
	}
	return read_all(x, args, e) < 0 ? NULL : take(&x);
}

void access_close(struct access *x)
{
	if (!x)
		return;
	free(x->signers);
	free(x);
}

static void show_signer(struct out *o, const struct img_signer *s, bool is_trusted)
{
	struct key k = { .kind = KEY_SIGN_PUBLIC };
	uint8_t fingerprint[KEY_FINGERPRINT_SIZE];
	char hex[2 * KEY_FINGERPRINT_SIZE + 1], base64[49];
	struct err ignored = ERR_INIT;

	memcpy(k.bytes, s->key, sizeof(k.bytes));
	memcpy(k.public_bytes, s->key, sizeof(k.public_bytes));
	if (key_fingerprint(&k, fingerprint, &ignored) < 0 || key_base64(&k, base64, &ignored) < 0)
		return;
	text_hex(fingerprint, sizeof(fingerprint), hex);
	out_line(o, "  signed by    %s%s, %s", hex, s->root ? s->core ? "" : " (not in the head: a pipe cannot be judged)" : " (the head only)",
		is_trusted ? "a required signer" : "whoever that is: present, not trusted");
	out_object(o, NULL);
	out_str(o, "key", NULL, base64);
	out_str(o, "fingerprint", NULL, hex);
	out_bool(o, "root", NULL, s->root);
	out_bool(o, "core", NULL, s->core);
	out_bool(o, "trusted", NULL, is_trusted);
	out_end(o);
}

void show_signers(struct out *o, const struct img_manifest *m, const struct img_access *a)
{
	out_array(o, "signers");
	for (size_t i = 0; i < m->nr_signers; i++)
		show_signer(o, &m->signers[i], a && sigs_is_trusted(&m->signers[i], &a->trust));
	out_end(o);
	if (!m->nr_signers)
		out_line(o, "  signed by    nobody");
}
