/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The options that say whom to believe, the same for every command that reads an image, and what they become. */
#ifndef CALCO_CMD_ACCESS_H
#define CALCO_CMD_ACCESS_H

#include "base/auto.h"
#include "cmd/cmd.h"
#include "imager/image/access.h"

struct img_manifest;

/* Member "access" of a command's struct of arguments. */
struct access_args {
	struct opt_list require_signer;
	struct opt_number min_version;
	const char *lineage;
};

#define OPT_TRUST(type) \
	{ .name = "require-signer", .kind = OPT_LIST, .offset = offsetof(type, access.require_signer), .value = "PUB", \
		.help = "refuse an image that the holder of this key did not sign: FILE.pub, or the key itself; repeatable: one of them" }, \
	{ .name = "min-version", .kind = OPT_NUMBER, .offset = offsetof(type, access.min_version), .value = "N", \
		.help = "refuse an image of an older version", .min = 1, .max = INT64_MAX }, \
	{ .name = "require-lineage", .kind = OPT_TEXT, .offset = offsetof(type, access.lineage), .value = "UUID", \
		.help = "refuse any other image than those of this lineage, as 'calco info' shows it" }

/* access_open - keys are read, values checked; ERR_USAGE. NULL on failure. Its members live until access_close(). */
struct access {
	struct img_access a;
	uint8_t (*signers)[CRYPT_KEY_SIZE];
	uint8_t lineage[16];
};
struct access *access_open(const struct access_args *args, struct err *e);
void access_close(struct access *x);
AUTO_DEFINE(access, access_close)

struct out;

/* show_signers - who signed an image, and whether they were asked for */
void show_signers(struct out *o, const struct img_manifest *m, const struct img_access *a);

#endif
