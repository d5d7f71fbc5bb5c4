/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mutants REPO NAME@N FILE DISK OWNER.pub OTHER COUNT SEED: does a pinned signer hold?
 *
 * NAME@N is a version in the repository REPO, FILE an image file; both hold DISK and are signed by the owner. Of each, mutants are made: with other
 * versions' and files' parts (whatever else lies in the repository, and beside FILE), rolled back, with edited fields, signed by OTHER (a secret key),
 * with signatures that were taken from elsewhere, cut short, with flipped bits; mostly with checksums, offsets and root made right again. Each is opened
 * as by --require-signer OWNER.pub --min-version N --require-lineage, some with the first of these alone, and FILE also front to back like a pipe.
 *
 * One that is opened must be the image itself: its root, its name and number, and every byte of DISK; what it then differs in is not protected and must not
 * matter. With MUTANTS_TRUST=everybody in the environment no signer is asked for: then some must be. Prints: mutants, those refused, those that still were the image. Exit 1 when one was taken for good that is not.
 */
#include "base/crypt.h"
#include "base/hash.h"
#include "imager/image/access.h"
#include "imager/image/keys.h"
#include "tests/tools/repojudge.h"

#include <limits.h>
#include <sys/mman.h>
#include <zstd.h>

#define MAX_PARTS  400U
#define MAX_DONORS 64U

struct part {
	char type[5];
	uint32_t flags;
	uint8_t *stored; /* of a record: with its header */
	uint64_t len, raw_len;
	bool is_record;
};

struct image {
	uint8_t preamble[FMT_PREAMBLE_SIZE];
	struct part parts[MAX_PARTS];
	size_t nr;
};

struct target {
	struct image *donors[MAX_DONORS]; /* the first is the image itself */
	size_t nr_donors;
	uint8_t *bytes;  /* of the image itself */
	uint64_t len;
	char path[PATH_MAX];
	bool is_file;
	uint8_t lineage[16], root[32];
	char name[REPO_NAME_SIZE];
};

struct run {
	struct fs chance; /* for fs_random() */
	struct judge judge;
	struct target targets[2];
	struct repo_version version;
	const char *repo;
	uint8_t owner[1][CRYPT_KEY_SIZE];
	struct key other;
	uint64_t number;
	bool trusts_all;
	const struct content *disk;
	uint64_t nr_mutants, nr_refused, nr_same;
	char what[300]; /* was done to this one */
};

static void parse(const uint8_t *p, uint64_t len, struct image *ret)
{
	uint64_t at = FMT_PREAMBLE_SIZE;

	memcpy(ret->preamble, p, FMT_PREAMBLE_SIZE);
	for (ret->nr = 0; at < len; ret->nr++) {
		struct part *x = &ret->parts[ret->nr];
		if (ret->nr == MAX_PARTS || len - at < FMT_PART_SIZE)
			fs_die("an image of too many parts");
		x->is_record = !memcmp(p + at, "CHNK", 4);
		memcpy(x->type, p + at, 4);
		x->flags = get_le16(p + at + 4);
		x->raw_len = get_le64(p + at + 8);
		x->len = x->is_record ? FMT_RECORD_SIZE + get_le32(p + at + 76) : get_le64(p + at + 16);
		at += x->is_record ? 0 : FMT_PART_SIZE;
		if (x->len > len - at || !(x->stored = malloc(x->len + 1)))
			fs_die("an image that is cut short");
		memcpy(x->stored, p + at, x->len);
		at += x->len;
	}
}

static struct image *image_read(const char *path, uint8_t **ret_bytes, uint64_t *ret_len)
{
	struct image *x = calloc(1, sizeof(*x));

	*ret_bytes = fs_read_file(path, ret_len);
	if (!x)
		fs_die("no memory");
	parse(*ret_bytes, *ret_len, x);
	return x;
}

static struct part part_copy(const struct part *x)
{
	struct part y = *x;

	if (!(y.stored = malloc(x->len + 1)))
		fs_die("no memory");
	memcpy(y.stored, x->stored, x->len);
	return y;
}

static void image_copy(struct image *to, const struct image *from)
{
	memcpy(to->preamble, from->preamble, FMT_PREAMBLE_SIZE);
	to->nr = from->nr;
	for (size_t i = 0; i < from->nr; i++)
		to->parts[i] = part_copy(&from->parts[i]);
}

static void image_release(struct image *x)
{
	for (size_t i = 0; i < x->nr; i++)
		free(x->parts[i].stored);
	x->nr = 0;
}

static struct part *part_of(struct image *x, const char *type)
{
	for (size_t i = 0; i < x->nr; i++)
		if (!strcmp(x->parts[i].type, type))
			return &x->parts[i];
	return NULL;
}

/* So that its fields can be changed: not compressed any more. */
static void unpack(struct part *x)
{
	if (!(x->flags & FMT_ZSTD) || x->raw_len > (16U << 20))
		return;
	uint8_t *raw = malloc(x->raw_len + 1);
	if (raw && ZSTD_decompress(raw, x->raw_len, x->stored, x->len) == x->raw_len) {
		free(x->stored);
		x->stored = raw;
		x->len = x->raw_len;
		x->flags &= ~(uint32_t)FMT_ZSTD;
	}
}

static uint64_t chance(struct run *r, uint64_t below)
{
	return fs_random(&r->chance, below);
}

static void did(struct run *r, const char *what, const char *part)
{
	size_t n = strlen(r->what);

	snprintf(r->what + n, sizeof(r->what) - n, "%s%s%s%s", n ? ", " : "", what, *part ? " " : "", part);
}

/* The hashes that are signed: core_hash and root of a manifest that has nothing else. */
static bool hashes(struct image *x, struct img_manifest *m)
{
	struct part *core = part_of(x, "CORE"), *ids = part_of(x, "CIDS"), *bad = part_of(x, "BADR");
	struct err e = ERR_INIT;
	AUTO(hasher) struct hasher *h = hasher_new(&e);

	if (!core || !ids || !h)
		return false;
	unpack(core);
	if (bad)
		unpack(bad);
	hasher_begin(h);
	hasher_add(h, core->stored, core->len);
	hasher_end(h, m->core_hash);
	return img_root(m->core_hash, ids->stored, ids->len / IMG_ID_SIZE, bad ? bad->stored : core->stored, bad ? bad->len : 0, m->root, &e) == 0;
}

static void fix_root(struct image *x)
{
	struct part *root = part_of(x, "ROOT"), *trailer = part_of(x, "TRLR");
	struct img_manifest m = { .nr_disks = 0 };

	if (!root || root->len != 32 || !trailer || trailer->len != FMT_TRAILER_SIZE || !hashes(x, &m))
		return;
	memcpy(root->stored, m.root, 32);
	memcpy(trailer->stored + 56, m.root, 32);
}

/* The bytes, with lengths, offsets and checksums as they must be. */
static uint8_t *assemble(struct image *x, uint64_t *ret_len)
{
	uint64_t len = FMT_PREAMBLE_SIZE, cids = 0, index = 0;

	for (size_t i = 0; i < x->nr; i++) {
		if (!strcmp(x->parts[i].type, "CIDS"))
			cids = len;
		if (!strcmp(x->parts[i].type, "INDX") || !strcmp(x->parts[i].type, "LOCS"))
			index = len;
		len += x->parts[i].len + (x->parts[i].is_record ? 0 : FMT_PART_SIZE);
	}
	struct part *trailer = part_of(x, "TRLR");
	if (trailer && trailer->len == FMT_TRAILER_SIZE) {
		put_le64(trailer->stored, 0, len);
		put_le64(trailer->stored, 8, cids);
		put_le64(trailer->stored, 16, index);
	}
	uint8_t *p = malloc(len + 1), *at = p;
	if (!p)
		fs_die("no memory");
	put_le32(x->preamble, 60, crc32_of(x->preamble, 60));
	memcpy(at, x->preamble, FMT_PREAMBLE_SIZE);
	at += FMT_PREAMBLE_SIZE;
	for (size_t i = 0; i < x->nr; i++) {
		struct part *y = &x->parts[i];
		if (y->is_record) {
			put_le32(y->stored, 88, crc32_of(y->stored + FMT_RECORD_SIZE, y->len - FMT_RECORD_SIZE));
			put_le32(y->stored, 92, crc32_of(y->stored, 92));
		} else {
			memset(at, 0, FMT_PART_SIZE);
			memcpy(at, y->type, 4);
			put_le16(at, 4, (uint16_t)y->flags);
			put_le64(at, 8, y->flags & FMT_ZSTD ? y->raw_len : y->len);
			put_le64(at, 16, y->len);
			put_le32(at, 24, crc32_of(y->stored, y->len));
			put_le32(at, 28, crc32_of(at, 28));
			at += FMT_PART_SIZE;
		}
		memcpy(at, y->stored, y->len);
		at += y->len;
	}
	*ret_len = len;
	return p;
}

/* ---- what is done to an image */

typedef void mutator(struct run *r, struct target *t, struct image *x, const struct image *donor);

static void roll_back(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	(void)t;
	image_release(x);
	image_copy(x, donor);
	did(r, "another image", "");
}

/* Another image that says it is this one. */
static void pretend(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	struct err e = ERR_INIT;
	struct img_manifest *m = NULL;
	uint8_t *bytes;
	size_t len;

	if (chance(r, 4))
		roll_back(r, t, x, donor);
	struct part *core = part_of(x, "CORE");
	if (!core)
		return;
	unpack(core);
	if (img_core_decode(core->stored, core->len, NULL, &m, &e) < 0)
		return;
	if (chance(r, 4))
		memcpy(m->lineage, t->lineage, sizeof(m->lineage));
	m->version = r->number + chance(r, 3);
	snprintf(m->name, sizeof(m->name), "%s", t->name);
	if (img_core_encode(m, &bytes, &len, &e) == 0) {
		free(core->stored);
		core->stored = bytes;
		core->len = len;
	}
	img_manifest_free(m);
	did(r, "that says it is this one", "");
}

static void edit(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	struct part *y = &x->parts[chance(r, x->nr)];

	(void)t;
	(void)donor;
	if (!y->is_record)
		unpack(y);
	for (uint64_t n = 1 + chance(r, 3); y->len && n; n--) {
		uint8_t *p = &y->stored[chance(r, y->len)];
		*p = chance(r, 2) ? (uint8_t)(*p ^ 1U << chance(r, 8)) : (uint8_t)chance(r, 256);
	}
	did(r, "edited", y->type);
}

static void exchange(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	const struct part *y = &donor->parts[chance(r, donor->nr)];
	struct part *mine = part_of(x, y->type);

	(void)t;
	if (!mine)
		return;
	free(mine->stored);
	*mine = part_copy(y);
	did(r, "exchanged", y->type);
}

static void drop_or_move(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	size_t i = chance(r, x->nr), k = chance(r, x->nr);
	struct part was = x->parts[i];

	(void)t;
	(void)donor;
	if (chance(r, 2)) {
		x->parts[i] = x->parts[k];
		x->parts[k] = was;
		did(r, "moved", was.type);
	} else if (chance(r, 2) && x->nr < MAX_PARTS) {
		memmove(&x->parts[k + 1], &x->parts[k], (x->nr - k) * sizeof(was));
		x->parts[k] = part_copy(&was);
		x->nr++;
		did(r, "doubled", was.type);
	} else {
		memmove(&x->parts[i], &x->parts[i + 1], (--x->nr - i) * sizeof(was));
		free(was.stored);
		did(r, "dropped", was.type);
	}
}

/* Signed, rightly, by somebody else; or so that it says it was the owner. */
static void sign_again(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	struct img_manifest m = { .nr_disks = 0 };
	struct err e = ERR_INIT;
	bool as_owner = chance(r, 2);

	(void)t;
	(void)donor;
	fix_root(x);
	if (!hashes(x, &m))
		return;
	for (int i = 0; i < 2; i++) {
		struct part *y = part_of(x, i ? "SIGS" : "CSIG");
		uint8_t entry[SIGS_ENTRY_SIZE];
		if (!y || y->len < SIGS_ENTRY_SIZE || sigs_entry(&m, i ? SIGS_ROOT : SIGS_CORE, r->other.bytes, r->other.public_bytes, entry, &e) < 0)
			continue;
		if (as_owner)
			memcpy(entry + 8, r->owner[0], 32);
		uint64_t slot = chance(r, y->len / SIGS_ENTRY_SIZE);
		if (chance(r, 4))
			memset(y->stored, 0, y->len);
		memcpy(y->stored + slot * SIGS_ENTRY_SIZE, entry, sizeof(entry));
	}
	did(r, as_owner ? "signed by another as the owner" : "signed by another", "");
}

/* A signature of something else; of the other kind; with the order of the group added (RFC 8032 5.1.7 forbids it); by a key that is none. */
static void play_with_signatures(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
	struct part *a = part_of(x, "SIGS"), *b = part_of(x, "CSIG"), *c = part_of((struct image *)donor, "SIGS");

	(void)t;
	if (!a || !b || !c || a->len < SIGS_ENTRY_SIZE || b->len < SIGS_ENTRY_SIZE || c->len < SIGS_ENTRY_SIZE)
		return;
	uint64_t what = chance(r, 6);
	if (what == 0)
		memcpy(a->stored, b->stored, SIGS_ENTRY_SIZE);
	if (what == 1)
		memcpy(a->stored, c->stored, SIGS_ENTRY_SIZE);
	if (what == 2 || what == 3) {
		unsigned carry = 0;
		uint8_t *s = (what == 2 ? a : b)->stored + 40 + 32;
		for (unsigned i = 0; i < 32; i++, carry >>= 8)
			s[i] = (uint8_t)(carry += s[i] + order[i]);
	}
	if (what == 4) { /* the neutral element as a key, and as R with S = 0 */
		memset(a->stored + 8, 0, 96);
		a->stored[8] = a->stored[40] = 1;
	}
	if (what == 5)
		a->stored[chance(r, 8)] = (uint8_t)chance(r, 256);
	did(r, "played with signatures", "");
}

/* Records of other chunks, by a location table that is right in itself. */
static void mix_places(struct run *r, struct target *t, struct image *x, const struct image *donor)
{
	struct part *y = part_of(x, t->is_file ? "INDX" : "LOCS");
	uint8_t was[16];

	(void)donor;
	if (!y)
		return;
	unpack(y);
	uint64_t size = t->is_file ? 8 : 16, nr = y->len / size;
	if (nr < 3)
		return;
	uint8_t *a = y->stored + size * chance(r, nr), *b = y->stored + size * chance(r, nr);
	memcpy(was, a, size);
	memcpy(a, b, size);
	memcpy(b, was, size);
	did(r, "mixed up", y->type);
}

static mutator *const mutators[] = { roll_back, pretend, pretend, edit, edit, edit, exchange, exchange, exchange, drop_or_move, sign_again, sign_again,
	play_with_signatures, mix_places };

static uint8_t *mutate(struct run *r, struct target *t, uint64_t *ret_len)
{
	struct image x = { .nr = 0 };

	r->what[0] = '\0';
	image_copy(&x, t->donors[0]);
	bool raw = chance(r, 5) == 0;
	for (uint64_t n = raw ? 0 : 1 + chance(r, 3); n && x.nr; n--)
		mutators[chance(r, sizeof(mutators) / sizeof(*mutators))](r, t, &x, t->donors[chance(r, t->nr_donors)]);
	if (!raw && chance(r, 4))
		fix_root(&x);
	uint8_t *p = assemble(&x, ret_len);
	image_release(&x);
	if (raw && chance(r, 2)) {
		*ret_len = chance(r, *ret_len);
		did(r, "cut short", "");
	} else if (raw) {
		for (uint64_t n = 1 + chance(r, 3); n; n--)
			p[chance(r, *ret_len)] ^= (uint8_t)(1U << chance(r, 8));
		did(r, "flipped bits", "");
	}
	return p;
}

/* ---- is it taken for good? */

static struct img_reader *open_mutant(struct run *r, struct target *t, const struct img_access *a, int fd, bool as_pipe, struct err *e)
{
	if (t->is_file)
		return img_reader_examine("mutant", fd, as_pipe, a, NULL, NULL, e);
	struct repo *repo = repo_open(r->repo, e);
	if (!repo)
		fs_die("the repository cannot be opened: %s", e->msg);
	return version_open_own(repo, &r->version, a, NULL, e);
}

/* 1: it is the image itself; 0: refused; -1: something else was believed */
static int judge_mutant(struct run *r, struct target *t, int fd, bool as_pipe, bool signer_alone)
{
	struct img_access a = { .trust = { .signers = (const uint8_t(*)[CRYPT_KEY_SIZE])r->owner, .nr_signers = r->trusts_all ? 0 : 1 } };
	struct err e = ERR_INIT;
	uint64_t len;

	if (!signer_alone) {
		a.trust.min_version = r->number;
		a.trust.lineage = t->lineage;
	}
	AUTO(img_reader) struct img_reader *reader = open_mutant(r, t, &a, fd, as_pipe, &e);
	if (!reader || !read_version(&r->judge, reader, &len, &e))
		return 0;
	const struct img_manifest *m = img_reader_manifest(reader);
	bool same = !memcmp(m->root, t->root, 32) && m->version == r->number && !strcmp(m->name, t->name) && len == r->disk->len &&
		!memcmp(r->judge.disk, r->disk->bytes, len);
	return same ? 1 : -1;
}

static void put_bytes(int fd, const uint8_t *p, uint64_t len)
{
	if (ftruncate(fd, 0) < 0 || pwrite(fd, p, len, 0) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		fs_die("a mutant cannot be written: %s", strerror(errno));
}

static void one_mutant(struct run *r, int memory)
{
	struct target *t = &r->targets[chance(r, 4) == 0];
	uint64_t len;
	uint8_t *p = mutate(r, t, &len);

	if (len != t->len || memcmp(p, t->bytes, len)) {
		/* Of a file another one that the owner signed is rightly taken when nothing but the signer is asked for. */
		bool signer_alone = !t->is_file && chance(r, 4) == 0;
		int fd = t->is_file ? memory : open(t->path, O_RDWR | O_CLOEXEC);
		put_bytes(fd, p, len);
		int judged = judge_mutant(r, t, fd, t->is_file && chance(r, 2), signer_alone);
		if (!t->is_file) {
			put_bytes(fd, t->bytes, t->len);
			close(fd);
		}
		r->nr_mutants++;
		r->nr_refused += judged == 0;
		r->nr_same += judged == 1;
		if (judged < 0) {
			FILE *f = fopen("accepted-mutant", "wb");
			if (f)
				fwrite(p, 1, len, f), fclose(f);
			fprintf(stderr, "mutant %llu of %s was taken for good (see accepted-mutant): %s\n", (unsigned long long)r->nr_mutants, t->path, r->what);
			exit(1);
		}
	}
	free(p);
}

static void add_donors(struct target *t, const char *dir, const char *ending, unsigned depth)
{
	DIR *d = opendir(dir);
	uint8_t *bytes;
	uint64_t len;

	for (struct dirent *x; d && (x = readdir(d));) {
		char path[PATH_MAX];
		struct stat st;
		size_t n = strlen(x->d_name);
		if (x->d_name[0] == '.' || snprintf(path, sizeof(path), "%s/%s", dir, x->d_name) >= PATH_MAX || lstat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth)
			add_donors(t, path, ending, depth - 1);
		if (n < strlen(ending) || strcmp(x->d_name + n - strlen(ending), ending) || t->nr_donors == MAX_DONORS)
			continue;
		t->donors[t->nr_donors++] = image_read(path, &bytes, &len);
		free(bytes);
	}
	if (d)
		closedir(d);
}

static void begin(struct run *r, char **args)
{
	char *at = strchr(args[1], '@'), folder[PATH_MAX];
	struct err e = ERR_INIT;

	if (!at)
		fs_die("'%s' is not NAME@N", args[1]);
	r->repo = args[0];
	r->version.number = r->number = strtoull(at + 1, NULL, 10);
	snprintf(r->version.name, sizeof(r->version.name), "%.*s", (int)(at - args[1]), args[1]);
	snprintf(r->targets[0].path, PATH_MAX, "%s/images/%s/%s.version", r->repo, r->version.name, at + 1);
	snprintf(r->targets[1].path, PATH_MAX, "%s", args[2]);
	r->targets[1].is_file = true;
	for (int i = 0; i < 2; i++) {
		struct target *t = &r->targets[i];
		t->donors[t->nr_donors++] = image_read(t->path, &t->bytes, &t->len);
	}
	snprintf(folder, sizeof(folder), "%s/images", r->repo);
	add_donors(&r->targets[0], folder, ".version", 1);
	snprintf(folder, sizeof(folder), "%s", args[2]);
	*strrchr(folder, '/') = '\0';
	add_donors(&r->targets[1], folder, ".calco", 0);
	judge_begin(&r->judge);
	judge_content(&r->judge, args[3]);
	r->disk = &r->judge.contents[0];
	if (key_read_signer(args[4], r->owner[0], NULL, &e) < 0 || key_read(args[5], &r->other, NULL, &e) < 0)
		fs_die("%s", e.msg);
	r->trusts_all = getenv("MUTANTS_TRUST") != NULL;
	r->chance.seed = (strtoull(args[7], NULL, 10) + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

/* What is not changed is believed, or nothing is proved by what is not. */
static void check_originals(struct run *r)
{
	for (int i = 0; i < 2; i++) {
		struct target *t = &r->targets[i];
		struct err e = ERR_INIT;
		struct img_access a = { .locked = NULL };
		int fd = open(t->path, O_RDONLY | O_CLOEXEC);
		AUTO(img_reader) struct img_reader *reader = open_mutant(r, t, &a, fd, false, &e);
		if (!reader)
			fs_die("%s: %s", t->path, e.msg);
		const struct img_manifest *m = img_reader_manifest(reader);
		memcpy(t->root, m->root, 32);
		memcpy(t->lineage, m->lineage, 16);
		snprintf(t->name, sizeof(t->name), "%s", m->name);
		for (int pipe = 0; pipe <= i; pipe++)
			if (lseek(fd, 0, SEEK_SET) < 0 || judge_mutant(r, t, fd, pipe, false) != 1)
				fs_die("%s is not taken for good", t->path);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	int memory = memfd_create("mutant", MFD_CLOEXEC);

	if (argc != 9 || !r || memory < 0)
		fs_die("usage: mutants REPO NAME@N FILE DISK OWNER.pub OTHER COUNT SEED");
	begin(r, argv + 1);
	check_originals(r);
	for (uint64_t n = strtoull(argv[7], NULL, 10); r->nr_mutants < n;)
		one_mutant(r, memory);
	printf("%llu mutants: %llu refused, %llu still the image itself, 0 others believed\n", (unsigned long long)r->nr_mutants,
		(unsigned long long)r->nr_refused, (unsigned long long)r->nr_same);
	return 0;
}
