/* SPDX-License-Identifier: GPL-3.0-or-later */
/* calco key: make a key, show what is public of one. */
#include "base/hex.h"
#include "cmd/cmd.h"
#include "cmd/out.h"
#include "cmd/signals.h"
#include "cmd/text.h"
#include "imager/image/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct key_args {
	struct common_args common;
	unsigned kind; /* in the order of the option's words */
	const char *comment;
};

static const enum key_kind kinds[] = { KEY_SIGN_SECRET, KEY_BOX_SECRET, KEY_SYMMETRIC };

static const struct opt options[] = {
	{ .name = "kind", .kind = OPT_CHOICE, .offset = offsetof(struct key_args, kind), .value = "sign|recipient|symmetric",
		.help = "new: for signing (default), to encrypt for who holds the secret half, or one key for both ways" },
	{ .name = "comment", .kind = OPT_TEXT, .offset = offsetof(struct key_args, comment), .value = "TEXT",
		.help = "new: a word that stands behind the key, such as whose it is" },
	OPT_JSON,
	{ .name = NULL },
};

/* What may be seen: kind, fingerprint, the public half. */
static int show(struct out *out, const char *path, const char *public_path, const struct key *k, struct err *e)
{
	uint8_t fingerprint[KEY_FINGERPRINT_SIZE];
	char hex[2 * KEY_FINGERPRINT_SIZE + 1], line[KEY_LINE_MAX] = "";
	struct key half;

	if (key_fingerprint(k, fingerprint, e) < 0 || (key_public(k, &half) && key_line(&half, line, e) < 0))
		return -1;
	out_result(out);
	out_str(out, "file", "file", path);
	out_str(out, "public_file", "public", public_path);
	out_str(out, "kind", "kind", key_kind_name(k->kind));
	out_bool(out, "secret", NULL, key_is_secret(k));
	out_str(out, "fingerprint", "fingerprint", hex_of(fingerprint, sizeof(fingerprint), hex));
	out_str(out, "comment", "comment", k->comment[0] ? k->comment : NULL);
	out_str(out, "public", NULL, line[0] ? line : NULL);
	if (line[0])
		out_line(out, "%s", line);
	return 0;
}

static int may_make(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	err_set(e, ERR_REFUSED, 0, "'%s' exists already; a key is never overwritten", path);
	err_hint(e, "choose another name, or move the old key away first");
	return err_reason(e, "exists");
}

static void say_what_next(struct out *out, const char *path, const struct key *k)
{
	if (k->kind == KEY_SIGN_SECRET)
		out_line(out, "next: calco sign lab.calco %s; who restores says --require-signer %s.pub", path, path);
	else if (k->kind == KEY_BOX_SECRET)
		out_line(out, "next: calco capture DISK lab.calco --key %s.pub; to open it, --key %s", path, path);
	else
		out_line(out, "next: calco capture DISK lab.calco --key %s; the same opens it", path);
	out_line(out, "Keep '%s' safe and have a copy of it: it cannot be made again.", path);
}

static int make(struct invocation *inv, const char *path, struct err *e)
{
	const struct key_args *a = inv->args;
	AUTO_KEY struct key k = { .kind = kinds[a->kind] };
	struct key half;
	char public_path[PATH_MAX];

	if (a->comment && (strlen(a->comment) >= sizeof(k.comment) || strpbrk(a->comment, "\r\n")))
		return err_set(e, ERR_USAGE, 0, "--comment: one line of at most %zu bytes", sizeof(k.comment) - 1);
	if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= (int)sizeof(public_path))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "making a key");
	if (key_new(kinds[a->kind], a->comment, &k, e) < 0)
		return -1;
	bool has_public = key_public(&k, &half);
	if (may_make(path, e) < 0 || (has_public && may_make(public_path, e) < 0))
		return -1;
	if (key_write(path, &k, e) < 0)
		return -1;
	if (has_public && key_write(public_path, &half, e) < 0) {
		unlink(path);
		return -1;
	}
	inv->out->done = "the key is made";
	if (show(inv->out, path, has_public ? public_path : NULL, &k, e) < 0)
		return -1;
	say_what_next(inv->out, path, &k);
	return 0;
}

static int run(struct invocation *inv, struct err *e)
{
	AUTO_KEY struct key k = { .kind = KEY_SYMMETRIC };

	if (!strcmp(inv->operands[0], "new"))
		return make(inv, inv->operands[1], e);
	if (strcmp(inv->operands[0], "show")) {
		err_set(e, ERR_USAGE, 0, "'calco key' does not know '%s'", inv->operands[0]);
		return err_hint(e, "calco key new FILE, or calco key show FILE");
	}
	if (key_read(inv->operands[1], &k, &signals_only, e) < 0)
		return -1;
	return show(inv->out, inv->operands[1], NULL, &k, e);
}

const struct cmd cmd_key = {
	.name = "key",
	.summary = "Make a key for signing or encrypting, show its public half",
	.operands = "new|show FILE",
	.details =
		"'new' writes a secret key to FILE, readable by its owner only, and what may be\n"
		"given away to FILE.pub. Nothing is overwritten. 'show' prints the kind, the\n"
		"fingerprint and the public half of a key; a secret is never printed.",
	.options = options,
	.args_size = sizeof(struct key_args),
	.min_operands = 2,
	.max_operands = 2,
	.run = run,
};
