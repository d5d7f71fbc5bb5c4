/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options that say with what to open an image and whom to believe, the same for every command that reads one, and what they become. */
#ifndef CALCO_CMD_ACCESS_H
#define CALCO_CMD_ACCESS_H

#include "base/auto.h"
#include "cmd/cmd.h"
#include "imager/image/access.h"

struct img_manifest;

/* Member "access" of a command's struct of arguments. */
struct access_args {
	struct opt_list key;
	const char *passphrase_file;
	struct opt_list require_signer;
	struct opt_number min_version;
	const char *lineage;
};

#define OPT_KEYS(type) \
	{ .name = "key", .kind = OPT_LIST, .offset = offsetof(type, access.key), .value = "FILE", \
		.help = "open an encrypted image with the secret key in this file; repeatable: one that fits" }, \
	{ .name = "passphrase-file", .kind = OPT_TEXT, .offset = offsetof(type, access.passphrase_file), .value = "FILE", \
		.help = "open an encrypted image with the passphrase in this file" }

#define OPT_TRUST(type) \
	{ .name = "require-signer", .kind = OPT_LIST, .offset = offsetof(type, access.require_signer), .value = "PUB", \
		.help = "refuse an image that the holder of this key did not sign: FILE.pub, or the key itself; repeatable: one of them" }, \
	{ .name = "min-version", .kind = OPT_NUMBER, .offset = offsetof(type, access.min_version), .value = "N", \
		.help = "refuse an image of an older version", .min = 1, .max = INT64_MAX }, \
	{ .name = "require-lineage", .kind = OPT_TEXT, .offset = offsetof(type, access.lineage), .value = "UUID", \
		.help = "refuse any other image than those of this lineage, as 'calco info' shows it" }

/* access_keys - secrets of --key and --passphrase-file into *x, for sealing too; a public key is taken only where @may_seal. ERR_USAGE. */
struct access;
int access_keys(struct access *x, const struct opt_list *files, const char *passphrase_file, bool may_seal, struct err *e);

/* access_open - keys are read, values checked; ERR_USAGE. NULL on failure. Its members live until access_close(). */
struct access {
	struct img_access a;
	struct img_locked locked; /* filled when opening failed with the reason "locked" */
	struct key *keys;
	uint8_t *passphrase;
	uint8_t (*signers)[CRYPT_KEY_SIZE];
	uint8_t lineage[16];
};
struct access *access_open(const struct access_args *args, struct err *e);
void access_close(struct access *x);
AUTO_DEFINE(access, access_close)

struct out;

/* show_locked - what an image tells without its key; show_encryption - of one that was opened */
void show_locked(struct out *o, const struct img_locked *l);
void show_encryption(struct out *o, const struct img_manifest *m);

/* show_signers - who signed an image, and whether they were asked for */
void show_signers(struct out *o, const struct img_manifest *m, const struct img_access *a);

#endif
