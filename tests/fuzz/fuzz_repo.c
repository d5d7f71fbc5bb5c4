/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fuzz target of a repository's folder: the calco-repo file, tags, packs with their tables, unfinished packs, leaf caches, retired packs, versions.
 * The first byte of an input: 1 make the CRCs of packs and versions right again. Then files: u8 which (the table below), u32 length, content.
 * Everything that looks at a repository looks at it: the list, a check that makes tables anew, an index for a capture, adopting, prune.
 */
#include "imager/repo/known.h"
#include "imager/repo/maintain.h"
#include "imager/repo/pack.h"
#include "imager/repo/retired.h"
#include "imager/repo/versions.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/repair.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACK_A "00112233445566778899aabbccddeeff"
#define PACK_B "a0112233445566778899aabbccddeeff"

enum repair { NO_REPAIR, REPAIR_PACK, REPAIR_VERSION };

static const struct {
	const char *path;
	enum repair repair;
} names[] = {
	{ "calco-repo", NO_REPAIR },
	{ "images/a/1.version", REPAIR_VERSION },
	{ "images/a/2.version", REPAIR_VERSION },
	{ "images/a/stable.tag", NO_REPAIR },
	{ "packs/" PACK_A ".pack", REPAIR_PACK },
	{ "packs/" PACK_B ".pack", REPAIR_PACK },
	{ "leaves/" PACK_A, NO_REPAIR },
	{ "leaves/" PACK_B, NO_REPAIR },
	{ "new/" PACK_B ".pack", REPAIR_PACK },
	{ "new/" PACK_B ".leaves", NO_REPAIR },
	{ "retired/" PACK_A, NO_REPAIR },
	{ "leases/" PACK_A, NO_REPAIR },
};
#define NR_NAMES (sizeof(names) / sizeof(names[0]))

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void put_file(const char *dir, unsigned which, const uint8_t *p, size_t len, bool repair)
{
	char path[300];
	uint8_t *copy = malloc(len + 1);

	FUZZ_CHECK(copy);
	memcpy(copy, p, len);
	if (repair && names[which].repair == REPAIR_PACK)
		repair_pack(copy, len);
	if (repair && names[which].repair == REPAIR_VERSION)
		repair_image(copy, len);
	snprintf(path, sizeof(path), "%s/%s", dir, names[which].path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, copy, len) == (ssize_t)len);
	close(fd);
	free(copy);
}

static void make_folder(const char *dir, const uint8_t *data, size_t size)
{
	static const char *const folders[] = { "", "images", "images/a", "packs", "retired", "leases", "new", "leaves" };
	char path[300];

	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		FUZZ_CHECK(mkdir(path, 0700) == 0);
	}
	for (size_t at = 1; at + 5 <= size;) {
		size_t len = get_le32(data + at + 1), left = size - at - 5;
		len = len < left ? len : left;
		put_file(dir, data[at] % NR_NAMES, data + at + 5, len, data[0] & 1);
		at += 5 + len;
	}
}

static void look_at_versions(struct repo *r)
{
	struct err e = ERR_INIT;
	struct repo_version *list = NULL;
	struct repo_tag *tags = NULL;
	size_t nr = 0;
	struct known *k = known_open(r, NULL, &e);

	e = (struct err)ERR_INIT;
	if (tags_list(r, NULL, &tags, &nr, &e) == 0)
		free(tags);
	FUZZ_CHECK(versions_list(r, NULL, &list, &nr, &e) == 0 && nr <= 2);
	for (size_t i = 0; i < nr; i++) {
		struct img_reader *reader = version_open(r, &list[i], NULL, &e);
		if (reader && k)
			known_add_base(k, reader, NULL, &e);
		img_reader_close(reader);
	}
	known_close(k);
	free(list);
}

static bool check(struct repo *r, bool rebuild)
{
	struct check_options o = { .read_data = true, .sample = 100, .threads = 1, .rebuild_index = rebuild };
	struct err e = ERR_INIT;
	struct check_result ret;
	bool fine = repo_check(r, &o, &ret, NULL, &e) == 0;

	/* REFUSED: it is encrypted, or only a part of it is */
	FUZZ_CHECK(fine || e.code == ERR_CORRUPT || e.code == ERR_UNSUPPORTED || e.code == ERR_FAILED || e.code == ERR_REFUSED);
	FUZZ_CHECK(!fine || ret.nr_whole == ret.nr_versions);
	check_result_release(&ret);
	return fine;
}

/* What was whole stays whole whatever is done to the rest. */
static void use_folder(const char *dir)
{
	struct prune_options o = { .max_unused = 0, .unfinished = true };
	struct err e = ERR_INIT;
	struct prune_result ret;
	struct repo *r = repo_open(dir, &e);
	uint64_t bytes;

	if (!r)
		return;
	look_at_versions(r);
	bool was_fine = check(r, false);
	repo_close(r);
	FUZZ_CHECK((r = repo_open(dir, &e)) != NULL);
	FUZZ_CHECK(check(r, true) || !was_fine);
	e = (struct err)ERR_INIT;
	if (repo_lock(r, NULL, &e) == 0)
		packs_adopt(r, &bytes, &e);
	repo_close(r);
	FUZZ_CHECK((r = repo_open(dir, &e)) != NULL);
	e = (struct err)ERR_INIT;
	bool pruned = repo_prune(r, &o, &ret, NULL, &e) == 0;
	repo_close(r);
	FUZZ_CHECK((r = repo_open(dir, &e)) != NULL);
	FUZZ_CHECK(!was_fine || !pruned || check(r, false));
	repo_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[100];

	if (size < 6 || size > (1U << 20))
		return 0;
	snprintf(dir, sizeof(dir), "%s/calco-fuzz-repo.%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	make_folder(dir, data, size);
	use_folder(dir);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
