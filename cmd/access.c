/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys, and whom to believe; see access.h. */
#include "cmd/access.h"

#include "base/arith.h"
#include "base/hex.h"
#include "cmd/out.h"
#include "cmd/signals.h"
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
		if (key_read_signer(args->require_signer.items[t->nr_signers], x->signers[t->nr_signers], &signals_only, e) < 0)
			return err_wrap(e, "--require-signer");
	t->min_version = args->min_version.n;
	if (!args->lineage)
		return 0;
	t->lineage = x->lineage;
	return parse_uuid(args->lineage, x->lineage, e);
}

static int read_key(const char *path, bool may_seal, struct key *ret, struct err *e)
{
	if (key_read(path, ret, &signals_only, e) < 0)
		return err_wrap(e, "--key");
	if (ret->kind == KEY_SIGN_SECRET || ret->kind == KEY_SIGN_PUBLIC) {
		err_set(e, ERR_USAGE, 0, "--key: '%s' is for signatures, it does not encrypt (%s)", path, key_kind_name(ret->kind));
		return err_hint(e, "'calco key new FILE --kind recipient' makes one for encryption");
	}
	if (!may_seal && ret->kind == KEY_BOX_PUBLIC) {
		err_set(e, ERR_USAGE, 0, "--key: '%s' is the public half of a key, which does not open anything", path);
		return err_hint(e, "name the file with the secret half");
	}
	return 0;
}

int access_keys(struct access *x, const struct opt_list *files, const char *passphrase_file, bool may_seal, struct err *e)
{
	struct img_keys *k = &x->a.keys;

	if (files->nr && !(x->keys = alloc_array(files->nr, sizeof(*x->keys))))
		return err_nomem(e, "the keys");
	k->keys = x->keys;
	for (; k->nr_keys < files->nr; k->nr_keys++)
		if (read_key(files->items[k->nr_keys], may_seal, &x->keys[k->nr_keys], e) < 0)
			return -1;
	if (passphrase_file && key_passphrase(passphrase_file, &x->passphrase, &k->passphrase_len, &signals_only, e) < 0)
		return err_wrap(e, "--passphrase-file");
	k->passphrase = x->passphrase;
	return 0;
}

struct access *access_open(const struct access_args *args, struct err *e)
{
	AUTO(access) struct access *x = calloc(1, sizeof(*x));

	if (!x) {
		err_nomem(e, "the options");
		return NULL;
	}
	x->a.locked = &x->locked;
	if (read_all(x, args, e) < 0 || access_keys(x, &args->key, args->passphrase_file, false, e) < 0)
		return NULL;
	return take(&x);
}

void access_close(struct access *x)
{
	if (!x)
		return;
	crypt_wipe(x->keys, x->a.keys.nr_keys * sizeof(*x->keys));
	crypt_wipe(x->passphrase, x->a.keys.passphrase_len);
	free(x->keys);
	free(x->passphrase);
	free(x->signers);
	free(x);
}

static void show_slots(struct out *o, const struct slots_count *c)
{
	out_bool(o, "encrypted", NULL, true);
	out_object(o, "key_slots");
	out_u64(o, "symmetric", NULL, c->nr_symmetric);
	out_u64(o, "passphrase", NULL, c->nr_passphrase);
	out_u64(o, "recipient", NULL, c->nr_recipient);
	out_u64(o, "unknown", NULL, c->nr_unknown);
	out_end(o);
	out_line(o, "  key slots    %zu for symmetric keys, %zu for passphrases, %zu for recipients%s", c->nr_symmetric, c->nr_passphrase, c->nr_recipient,
		c->nr_unknown ? ", and some of a kind this version does not know" : "");
}

void show_locked(struct out *o, const struct img_locked *l)
{
	out_bool(o, "locked", NULL, true);
	out_line(o, "  LOCKED       encrypted; --key FILE or --passphrase-file FILE shows what it holds");
	show_slots(o, &l->slots);
	if (l->core_bytes) /* not of a repository */
		out_bytes(o, "core_bytes", "description", l->core_bytes);
	if (l->file_bytes)
		out_bytes(o, "image_bytes", "image size", l->file_bytes);
}

void show_encryption(struct out *o, const struct img_manifest *m)
{
	struct slots_count count;
	struct err ignored = ERR_INIT;

	out_bool(o, "locked", NULL, false);
	if (!m->seal || slots_check(m->seal->slots, m->seal->slots_len, &count, &ignored) < 0) {
		out_bool(o, "encrypted", NULL, false);
		return;
	}
	out_line(o, "  encrypted    AES-256-GCM");
	show_slots(o, &count);
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
	hex_of(fingerprint, sizeof(fingerprint), hex);
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
