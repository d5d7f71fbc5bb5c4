/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco sign: add a signature to a finished image. */
#include "base/hex.h"
#include "cmd/access.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/out.h"
#include "cmd/signals.h"
#include "cmd/text.h"
#include "imager/image/sign.h"
#include "imager/repo/repo.h"

struct sign_args {
	struct common_args common;
	struct access_args access;
};

static const struct opt options[] = {
	OPT_KEYS(struct sign_args),
	OPT_JSON,
	{ .name = NULL },
};

static int report(struct out *out, const char *image, const struct key *k, const struct img_sign_result *r, struct err *e)
{
	uint8_t fingerprint[KEY_FINGERPRINT_SIZE];
	char hex[2 * IMG_ID_SIZE + 1];

	if (key_fingerprint(k, fingerprint, e) < 0)
		return -1;
	out_result(out);
	out_str(out, "image", NULL, image);
	out_str(out, "name", NULL, r->name);
	out_u64(out, "image_version", NULL, r->version);
	out_hex(out, "root", r->root, sizeof(r->root));
	out_bool(out, "was_signed", NULL, r->was_signed);
	out_bool(out, "core", NULL, r->in_head);
	out_bool(out, "recovered", NULL, r->recovered);
	if (r->recovered)
		out_line(out, "an earlier signing that was cut short was finished first");
	out_line(out, r->was_signed ? "already signed: '%s' version %llu, nothing was changed" : "signed: '%s' version %llu", r->name,
		(unsigned long long)r->version);
	out_str(out, "fingerprint", "by", hex_of(fingerprint, sizeof(fingerprint), hex));
	out_line(out, "  root         %.16s", hex_of(r->root, sizeof(r->root), hex));
	if (!r->in_head)
		out_line(out, "  note: its head has no room for this signature; from a pipe it cannot be required, from a file it can");
	return 0;
}

static int run(struct invocation *inv, struct err *e)
{
	AUTO_KEY struct key k = { .kind = KEY_SIGN_SECRET };
	const struct sign_args *a = inv->args;
	struct img_sign_result r;

	if (image_is_pipe(inv->operands[0]))
		return err_set(e, ERR_USAGE, 0, "an image in a pipe cannot be signed; 'calco capture --sign KEY' signs one that goes into a pipe");
	if (repo_is_name(inv->operands[0]))
		return err_set(e, ERR_USAGE, 0, "a version in a repository cannot be signed afterwards; 'calco capture DISK DIR::NAME --sign KEY' signs a new one");
	if (key_read(inv->operands[1], &k, &signals_only, e) < 0)
		return -1;
	AUTO(access) struct access *access = access_open(&a->access, e);
	if (!access)
		return -1;
	if (img_sign(inv->operands[0], &access->a, &k, &r, e) < 0)
		return -1;
	inv->out->done = "the image is signed";
	return report(inv->out, inv->operands[0], &k, &r, e);
}

const struct cmd cmd_sign = {
	.name = "sign",
	.summary = "Sign an image",
	.operands = "IMAGE KEY",
	.details =
		"The signature covers the root: content, layout, name, version and lineage. It is\n"
		"written into the image in place; cut short at any moment, the image is as it\n"
		"was, or the same command finishes it. KEY is a file of 'calco key new'. The\n"
		"content is not examined: that is 'calco verify'.",
	.options = options,
	.args_size = sizeof(struct sign_args),
	.min_operands = 2,
	.max_operands = 2,
	.run = run,
};
