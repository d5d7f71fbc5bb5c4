/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signatures and trust; see sigs.h. */
#include "imager/image/sigs.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	char prefix[17];
} parts[] = {
	[SIGS_CORE] = { .name = "CSIG", .prefix = "calco core sig\0" },
	[SIGS_ROOT] = { .name = "SIGS", .prefix = "calco image sig" },
};

static const uint8_t *hash_of(const struct img_manifest *m, enum sigs_part part)
{
	return part == SIGS_CORE ? m->core_hash : m->root;
}

static void message_of(const struct img_manifest *m, enum sigs_part part, uint8_t ret[48])
{
	memcpy(ret, parts[part].prefix, 16);
	memcpy(ret + 16, hash_of(m, part), 32);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && !memcmp(p, p + 1, len - 1);
}

static int note_signer(struct img_manifest *m, const uint8_t key[32], enum sigs_part part, struct err *e)
{
	struct img_signer *s = NULL;

	for (size_t i = 0; i < m->nr_signers && !s; i++)
		if (!memcmp(m->signers[i].key, key, 32))
			s = &m->signers[i];
	if (!s) {
		struct img_signer *grown = realloc(m->signers, (m->nr_signers + 1) * sizeof(*grown));
		if (!grown)
			return err_nomem(e, "the signers");
		m->signers = grown;
		s = &m->signers[m->nr_signers++];
		*s = (struct img_signer){ .core = false };
		memcpy(s->key, key, 32);
	}
	*(part == SIGS_CORE ? &s->core : &s->root) = true;
	return 0;
}

static int bad_row(enum sigs_part part, struct err *e)
{
	return err_set(e, ERR_CORRUPT, 0, "part '%s' is not a row of signatures", parts[part].name);
}

int sigs_read(struct img_manifest *m, enum sigs_part part, const uint8_t *p, size_t len, struct err *e)
{
	uint8_t message[48];

	message_of(m, part, message);
	if (len % SIGS_ENTRY_SIZE)
		return bad_row(part, e);
	for (size_t at = 0; at < len; at += SIGS_ENTRY_SIZE) {
		const uint8_t *entry = p + at;
		/* One like the one before costs nothing. */
		if (all_zero(entry, SIGS_ENTRY_SIZE) || entry[0] > 1 || (at && !memcmp(entry, entry - SIGS_ENTRY_SIZE, SIGS_ENTRY_SIZE)))
			continue;
		if (entry[0] != 1 || !all_zero(entry + 1, 7))
			return bad_row(part, e);
		int r = crypt_ed25519_verify(entry + 8, message, sizeof(message), entry + 40, e);
		if (r < 0)
			return -1;
		if (r == 0)
			return err_set(e, ERR_CORRUPT, 0, "signature %zu of part '%s' does not match the image", at / SIGS_ENTRY_SIZE, parts[part].name);
		if (note_signer(m, entry + 8, part, e) < 0)
			return -1;
	}
	return 0;
}

int sigs_entry(const struct img_manifest *m, enum sigs_part part, const uint8_t secret[32], const uint8_t public_key[32], uint8_t ret[SIGS_ENTRY_SIZE],
	struct err *e)
{
	uint8_t message[48];

	message_of(m, part, message);
	memset(ret, 0, SIGS_ENTRY_SIZE);
	ret[0] = 1;
	memcpy(ret + 8, public_key, 32);
	return crypt_ed25519_sign(secret, message, sizeof(message), ret + 40, e);
}

size_t sigs_free_entry(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len && !all_zero(p + at, SIGS_ENTRY_SIZE))
		at += SIGS_ENTRY_SIZE;
	return at;
}

bool sigs_is_trusted(const struct img_signer *s, const struct img_trust *t)
{
	for (size_t i = 0; t && i < t->nr_signers; i++)
		if (!memcmp(s->key, t->signers[i], CRYPT_KEY_SIZE))
			return true;
	return false;
}

static int not_signed(const char *name, const struct img_manifest *m, const char *what, struct err *e)
{
	if (!m->nr_signers) {
		err_set(e, ERR_REFUSED, 0, "'%s' is not signed%s", name, what);
		err_hint(e, "'calco sign' signs it, by who holds the key; without --require-signer nobody is asked for");
		return err_reason(e, "not-signed");
	}
	err_set(e, ERR_REFUSED, 0, "'%s' is not signed by a required signer%s", name, what);
	err_hint(e, "'calco info' tells who signed it; do not trust it unless you know them");
	return err_reason(e, "other-signer");
}

static bool has_trusted(const struct img_manifest *m, const struct img_trust *t, enum sigs_part part)
{
	for (size_t i = 0; i < m->nr_signers; i++)
		if ((part == SIGS_CORE ? m->signers[i].core : m->signers[i].root) && sigs_is_trusted(&m->signers[i], t))
			return true;
	return false;
}

int sigs_trust_core(const char *name, const struct img_manifest *m, const struct img_trust *t, bool from_pipe, struct err *e)
{
	if (!t)
		return 0;
	/* The signature first: what an image says of itself is worth nothing before. Of a file it is that of the root, which was not read yet. */
	if (from_pipe && t->nr_signers && !has_trusted(m, t, SIGS_CORE))
		return not_signed(name, m, " in its head, which a pipe needs", e);
	if (m->version < t->min_version) {
		err_set(e, ERR_REFUSED, 0, "'%s' is version %llu, older than the %llu that is wanted at least", name, (unsigned long long)m->version,
			(unsigned long long)t->min_version);
		return err_reason(e, "old-version");
	}
	if (t->lineage && memcmp(m->lineage, t->lineage, sizeof(m->lineage))) {
		err_set(e, ERR_REFUSED, 0, "'%s' is another image: its lineage is not the one that is required", name);
		return err_reason(e, "other-lineage");
	}
	return 0;
}

int sigs_trust_root(const char *name, const struct img_manifest *m, const struct img_trust *t, struct err *e)
{
	return t && t->nr_signers && !has_trusted(m, t, SIGS_ROOT) ? not_signed(name, m, "", e) : 0;
}
