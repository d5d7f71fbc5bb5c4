/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Partition tables: what sfdisk and sgdisk wrote is read as sfdisk reads it; damage and oddities. */
#include "tests/unit/table_check.h"
#include "tests/unit/table_util.h"

#include "base/arith.h"

/*
 * Each script makes the file "d". All run at once before the tests, each in a folder of its own, since sgdisk sleeps
 * for a second after it wrote.
 */
struct layout {
	const char *name;
	const char *script;
	enum pt_kind kind;
	unsigned nr; /* partitions, the extended one not counted */
	const char *notice; /* one that must be there; NULL: none at all may be */
};

#define DOS(size, lines)    "truncate -s " size " d; printf 'label: dos\\n" lines "' | sfdisk -q d"
#define SGDISK(size, args)  "truncate -s " size " d; sgdisk " args " d"
#define ODD_SGDISK(args)    "truncate -s 64M d; sgdisk " args " d; truncate -s +1000 d"
#define LOGICALS            "1 : size=5M\\n2 : size=40M,type=5\\n5 : size=4M,type=83\\n6 : size=3M,type=82\\n7 : size=2M,type=7\\n"

static const struct layout layouts[] = {
	{ "dos one", DOS("64M", "size=10M,type=c,bootable\\n"), PT_MBR, 1, NULL },
	{ "dos four", DOS("64M", "size=5M\\nsize=5M,type=82\\nsize=5M,type=ef\\nsize=5M,type=7,bootable\\n"), PT_MBR, 4, NULL },
	{ "dos sector 63", DOS("64M", "start=63,size=20000,type=6\\n"), PT_MBR, 1, NULL },
	{ "dos not in order", DOS("64M", "start=60000,size=10000\\nstart=2048,size=2048\\n"), PT_MBR, 2, NULL },
	{ "dos hole in the numbers", DOS("64M", "3 : start=2048,size=2048\\n4 : start=8192,size=100\\n"), PT_MBR, 2, NULL },
	{ "dos logicals 05", DOS("64M", LOGICALS), PT_MBR, 4, NULL },
	{ "dos logicals 0f", DOS("64M", "1 : size=40M,type=f\\n3 : size=5M\\n5 : size=4M\\n6 : size=3M\\n"), PT_MBR, 3, NULL },
	{ "dos logicals 85", DOS("64M", "2 : size=40M,type=85\\n5 : size=4M\\n6 : size=3M\\n7 : size=1M\\n"), PT_MBR, 3, NULL },
	{ "dos empty extended", DOS("64M", "size=4M\\nsize=40M,type=5\\n"), PT_MBR, 1, NULL },
	{ "dos logical deleted", DOS("64M", LOGICALS) "; sfdisk -q --delete d 5", PT_MBR, 3, NULL },
	{ "dos logical in the middle deleted", DOS("64M", LOGICALS) "; sfdisk -q --delete d 6", PT_MBR, 3, NULL },
	{ "dos logicals not in order", DOS("64M", "1 : start=2048,size=100000,type=5\\n5 : start=60000,size=2048\\n"
		"6 : start=8192,size=2048\\n"), PT_MBR, 2, NULL },
	{ "dos to the end", DOS("2200G", "size=10M\\nstart=2000G,size=48G\\n"), PT_MBR, 2, NULL },
	{ "gpt two", SGDISK("64M", "-n1:0:+10M -t1:ef00 -c1:'EFI system' -n2:0:0 -t2:8300 -c2:'h\303\244\303\237\360\237\230\200'"),
		PT_GPT, 2, NULL },
	{ "gpt attributes", SGDISK("64M", "-n1:0:+10M -A1:set:2 -n2:0:+9M -A2:set:63 -A2:set:0 -n3:0:0"), PT_GPT, 3, NULL },
	{ "gpt odd numbers", SGDISK("64M", "-n5:0:+1M -n128:0:+1M -n17:0:+1M"), PT_GPT, 3, NULL },
	{ "gpt 256 entries", SGDISK("64M", "-S 256 -n1:0:+10M -n200:0:+1M"), PT_GPT, 2, NULL },
	{ "gpt main table moved", SGDISK("64M", "-j 2000 -n1:0:+10M"), PT_GPT, 1, NULL },
	{ "gpt empty", SGDISK("64M", "-o"), PT_GPT, 0, NULL },
	{ "gpt unaligned", SGDISK("64M", "-a1 -n1:34:34 -n2:35:99 -n3:131000:131038"), PT_GPT, 3, NULL },
	{ "gpt by sfdisk", "truncate -s 64M d; printf 'label: gpt\\nsize=5M,type=U\\nsize=6M,type=L,attrs=\"LegacyBIOSBootable\"\\n'"
		" | sfdisk -q d", PT_GPT, 2, NULL },
	{ "gpt by sfdisk, 4 entries", "truncate -s 64M d; printf 'label: gpt\\ntable-length: 4\\nsize=5M\\nsize=6M\\n' | sfdisk -q d",
		PT_GPT, 2, NULL },
	{ "gpt hybrid", SGDISK("64M", "-n1:0:+10M -t1:ef00 -n2:0:0 -h 1"), PT_GPT, 2, "hybrid" },
	{ "gpt hybrid, 0xEE last", SGDISK("64M", "-n1:0:+10M -n2:0:+9M -h 1:2:EE"), PT_GPT, 2, "hybrid" },
	{ "gpt odd file", ODD_SGDISK("-n1:0:+10M"), PT_GPT, 1, "not at the end" },
	{ "gpt in a grown file", SGDISK("64M", "-n1:0:+10M -n2:0:0") "; truncate -s 100M d", PT_GPT, 2, "not at the end" },
	{ "gpt primary header lost", SGDISK("64M", "-n1:0:+10M -n2:0:0")
		"; dd if=/dev/zero of=d bs=512 seek=1 count=1 conv=notrunc", PT_GPT, 2, "primary GPT is damaged" },
	{ "gpt primary entries damaged", SGDISK("64M", "-S 144 -n1:0:+10M -n2:0:0")
		"; printf X | dd of=d bs=1 seek=1060 conv=notrunc", PT_GPT, 2, "primary GPT is damaged" },
	{ "gpt backup lost", SGDISK("64M", "-n1:0:+10M -n2:0:0")
		"; dd if=/dev/zero of=d bs=512 seek=131071 count=1 conv=notrunc", PT_GPT, 2, "backup GPT is missing" },
	{ "gpt backup entries damaged", SGDISK("64M", "-n1:0:+10M -n2:0:0")
		"; printf X | dd of=d bs=512 seek=131039 conv=notrunc", PT_GPT, 2, "backup GPT is missing or damaged (the entries" },
	{ "nothing", "truncate -s 64M d", PT_NONE, 0, NULL },
	{ "fat12", "truncate -s 1440K d; mkfs.fat d", PT_NONE, 0, NULL },
	{ "fat16", "truncate -s 40M d; mkfs.fat -F16 d", PT_NONE, 0, NULL },
	{ "fat32", "truncate -s 64M d; mkfs.fat -F32 d", PT_NONE, 0, NULL },
	{ "fat with a pretended table", "truncate -s 64M d; mkfs.fat --mbr=y d", PT_NONE, 0, NULL },
	{ "ext4", "truncate -s 8M d; mkfs.ext4 -q d", PT_NONE, 0, NULL },
	{ "dos over a forgotten fat", "truncate -s 64M d; mkfs.fat d; printf 'label: dos\\nsize=5M\\n' | sfdisk -q --wipe never d",
		PT_MBR, 1, "also a FAT boot sector" },
	{ "dos over a forgotten gpt", SGDISK("64M", "-n1:0:+10M") "; cp d e;" DOS("64M", "start=8192,size=5M\\n")
		"; dd if=e of=d bs=512 skip=1 seek=1 count=33 conv=notrunc", PT_MBR, 1, "without a protective MBR" },
	{ "gpt without its mbr", SGDISK("64M", "-n1:0:+10M") "; dd if=/dev/zero of=d bs=512 count=1 conv=notrunc",
		PT_NONE, 0, "without a protective MBR" },
};

static void make_layouts(void)
{
	AUTO_FREE char *script = NULL;
	size_t size;
	FILE *f = open_memstream(&script, &size);

	scratch_setup();
	ck_assert_ptr_nonnull(f);
	fprintf(f, "PATH=$PATH:/usr/sbin:/sbin; export PATH\n");
	for (size_t i = 0; i < NR(layouts); i++)
		fprintf(f, "mkdir %zu; (cd %zu; set -eu; { %s; } >log 2>&1; touch made) &\n", i, i, layouts[i].script);
	fprintf(f, "wait\n");
	fclose(f);
	ck_assert_int_eq(system(script), 0);
}

static void enter_layout(int i)
{
	char folder[16];

	snprintf(folder, sizeof(folder), "%d", i);
	ck_assert_int_eq(chdir(folder), 0);
	if (access("made", F_OK) != 0) {
		(void)!system("cat log >&2");
		ck_abort_msg("failed: %s", layouts[i].script);
	}
}

static void compare_gpt_fields(const char *json, const struct pt_entry *en)
{
	char value[256], guid[37];

	pt_format_guid(en->guid, guid);
	ck_assert(json_value(json, "uuid", value, sizeof(value)));
	ck_assert_str_eq(value, guid);
	pt_format_guid(en->type_guid, guid);
	ck_assert(json_value(json, "type", value, sizeof(value)));
	ck_assert_str_eq(value, guid);
	if (!json_value(json, "name", value, sizeof(value)))
		value[0] = '\0';
	ck_assert_str_eq(value, en->name);
	if (!json_value(json, "attrs", value, sizeof(value)))
		value[0] = '\0';
	ck_assert_int_eq(strstr(value, "LegacyBIOSBootable") != NULL, en->active);
	ck_assert_int_eq(strstr(value, "RequiredPartition") != NULL, en->attributes & 1);
	ck_assert_int_eq(strstr(value, "63") != NULL, en->attributes >> 63);
}

static void compare_mbr_fields(const char *json, const struct pt_entry *en)
{
	char value[64];

	ck_assert(json_value(json, "type", value, sizeof(value)));
	ck_assert_int_eq((int)strtoul(value, NULL, 16), en->mbr_type);
	ck_assert_int_eq(json_value(json, "bootable", value, sizeof(value)), en->active);
	ck_assert_int_eq(en->is_logical, en->number > 4);
}

static const struct pt_entry *entry_of(const struct pt_table *t, unsigned number)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->entries[i].number == number)
			return &t->entries[i];
	return NULL;
}

static bool is_extended_json(const char *json)
{
	char type[64];

	return json_value(json, "type", type, sizeof(type)) && (!strcmp(type, "5") || !strcmp(type, "f") || !strcmp(type, "85"));
}

/* Every partition that "sfdisk --json" shows in the file "json" is one of ours and the other way round. */
static void compare_with_sfdisk(const struct pt_table *t, const char *device)
{
	static char text[1 << 18];
	char value[64];
	FILE *f = fopen("json", "r");
	size_t found = 0, n = strlen(device);

	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	const char *p = strstr(text, "\"partitions\"");
	while (p && (p = strstr(p, "\"node\": ")) != NULL) {
		const char *json = p;
		p += 8;
		ck_assert(json_value(json, "node", value, sizeof(value)));
		ck_assert_int_eq(strncmp(value, device, n), 0);
		if (t->kind == PT_MBR && is_extended_json(json))
			continue;
		unsigned number = (unsigned)strtoul(value + n + (value[n] == 'p'), NULL, 10);
		const struct pt_entry *en = entry_of(t, number);
		ck_assert_msg(en != NULL, "partition %u is missing", number);
		ck_assert(json_value(json, "start", value, sizeof(value)));
		ck_assert_uint_eq(strtoull(value, NULL, 10) * t->sector_size, en->start);
		ck_assert(json_value(json, "size", value, sizeof(value)));
		ck_assert_uint_eq(strtoull(value, NULL, 10) * t->sector_size, en->len);
		(t->kind == PT_GPT ? compare_gpt_fields : compare_mbr_fields)(json, en);
		found++;
	}
	ck_assert_uint_eq(found, t->nr);
}

START_TEST(reads_what_the_tools_wrote)
{
	const struct layout *l = &layouts[_i];

	enter_layout(_i);
	AUTO(pt_table) struct pt_table *t = must_read("d", 0);
	ck_assert_msg(t->kind == l->kind, "%s: %s", l->name, pt_kind_name(t->kind));
	ck_assert_msg(t->nr == l->nr, "%s: %zu partitions", l->name, t->nr);
	if (l->notice)
		ck_assert_msg(has_notice(t, l->notice), "%s: %s", l->name, t->nr_notices ? t->notices[0] : "no notice");
	else
		ck_assert_msg(t->nr_notices == 0, "%s: %s", l->name, t->notices[0]);
	if (t->kind != PT_NONE) {
		ck_assert_uint_eq(t->sector_size, 512);
		shell("sfdisk --json d >json 2>/dev/null");
		compare_with_sfdisk(t, "d");
	}
	AUTO(blk_source) struct blk_source *src = blk_open("d", 0, false, &(struct err)ERR_INIT);
	check_regions(t, src->size, false);
	check_regions(t, src->size, true);
}
END_TEST

/* The kernel's own idea of a 4096 byte sector, through a loop device; skipped where there are none. */
START_TEST(reads_4096_byte_sectors)
{
	static const char *const labels[] = {
		"label: gpt\\nsize=10M,type=U,name=eins\\nsize=20M\\n",
		"label: dos\\nsize=10M,type=c,bootable\\nsize=40M,type=f\\nsize=5M\\nsize=6M,type=82\\n",
	};
	char script[1024];

	snprintf(script, sizeof(script), "truncate -s 64M d; L=$(losetup -f --show -b 4096 d); trap 'losetup -d $L' EXIT; "
		"ln -sf \"$L\" dev; printf '%s' | sfdisk -q --no-tell-kernel --no-reread \"$L\"; sfdisk --json \"$L\" >json 2>/dev/null", labels[_i]);
	if (try_shell("truncate -s 8M probe; L=$(losetup -f --show -b 4096 probe); losetup -d $L") != 0)
		return;
	shell(script);
	AUTO(pt_table) struct pt_table *t = must_read("d", _i == 0 ? 0 : 4096);
	ck_assert_uint_eq(t->sector_size, 4096);
	char device[64] = "";
	ck_assert_int_gt(readlink("dev", device, sizeof(device) - 1), 0);
	compare_with_sfdisk(t, device);
	ck_assert_uint_eq(t->structures[0].len % 4096, 0);
}
END_TEST

/* On a device the sector size is known: a table for another one is damage, with a hint, not a guess. */
START_TEST(does_not_guess_on_devices)
{
	struct gpt_maker g = new_gpt(8 * MIB, 4096);
	char device[64] = "";
	struct err e = ERR_INIT;
	struct pt_table *t = NULL;

	make_gpt(&g);
	shell("truncate -s 8M d");
	poke("d", 0, g.disk, g.size);
	free(g.disk);
	if (try_shell("L=$(losetup -f --show d); ln -s $L dev") != 0)
		return;
	ck_assert_int_gt(readlink("dev", device, sizeof(device) - 1), 0);
	struct blk_source *src = blk_open(device, 0, false, &e);
	int found = src ? pt_read(src, 0, &t, &e) : 1;
	blk_close(src);
	shell("losetup -d $(readlink dev)");
	ck_assert_int_eq(found, -1);
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.hint, "sectors of 4096 bytes"));
	AUTO(pt_table) struct pt_table *as_file = must_read("d", 0);
	ck_assert_uint_eq(as_file->sector_size, 4096);
}
END_TEST

START_TEST(remembers_places)
{
	shell(SGDISK("64M", "-n1:0:+10M -n2:0:0 -h 1:2") "; printf X | dd of=d bs=1 seek=5 conv=notrunc");
	AUTO(pt_table) struct pt_table *t = must_read("d", 0);
	ck_assert(t->gpt_primary_ok && t->gpt_backup_ok && t->is_hybrid && t->boot_code);
	ck_assert_uint_eq(t->gpt_header, 512);
	ck_assert_uint_eq(t->gpt_entries, 1024);
	ck_assert_uint_eq(t->gpt_backup_header, 64 * MIB - 512);
	ck_assert_uint_eq(t->gpt_backup_entries, 64 * MIB - 33 * 512);
	ck_assert_uint_eq(t->gpt_nr_entries, 128);
	ck_assert_uint_eq(t->gpt_entry_size, 128);
	/* MBR, header and array touch, as do the backup's: two structures. */
	ck_assert_uint_eq(t->nr_structures, 2);
	ck_assert_uint_eq(t->structures[0].start, 0);
	ck_assert_uint_eq(t->structures[0].len, 34 * 512);
	ck_assert_uint_eq(t->structures[1].start, 64 * MIB - 33 * 512);
	ck_assert_uint_eq(t->structures[1].len, 33 * 512);

	shell("rm d; " DOS("64M", "label-id: 0x12345678\\n" LOGICALS));
	AUTO(pt_table) struct pt_table *m = must_read("d", 0);
	ck_assert_uint_eq(m->mbr_signature, 0x12345678);
	ck_assert(!m->boot_code);
	ck_assert_uint_eq(m->nr_structures, 4);
	ck_assert_uint_eq(m->structures[1].start, 6 * MIB);
	ck_assert_uint_eq(m->structures[1].len, 512);
}
END_TEST

START_TEST(reads_odd_gpts)
{
	static const struct {
		uint32_t ss, nr_entries, entry_size, header_size;
		uint64_t entries_lba;
		bool is_read;
	} odd[] = {
		{ 512, 128, 128, 92, 2, true },    { 512, 4, 128, 92, 2, true },     { 512, 1, 128, 92, 2, true },
		{ 512, 128, 256, 92, 2, true },    { 512, 33, 4096, 92, 2, true },   { 512, 128, 128, 512, 2, true },
		{ 512, 128, 128, 200, 50, true },  { 512, 1024, 128, 92, 2, true },  { 4096, 128, 128, 92, 2, true },
		{ 4096, 129, 128, 4096, 9, true }, { 2048, 128, 128, 92, 2, true },  { 512, 1025, 128, 92, 2, false },
		{ 512, 8, 8192, 92, 2, false },    { 512, 128, 192, 92, 2, false },  { 512, 128, 64, 92, 2, false },
		{ 512, 0, 128, 92, 2, false },     { 512, 128, 128, 91, 2, false },  { 512, 128, 128, 513, 2, false },
	};
	struct gpt_maker g = new_gpt(8 * MIB, odd[_i].ss);
	struct err e = ERR_INIT;

	g.nr_entries = odd[_i].nr_entries;
	g.entry_size = odd[_i].entry_size;
	g.header_size = odd[_i].header_size;
	g.entries_lba = odd[_i].entries_lba;
	make_entry(&g, 0, 1000, 1199);
	make_gpt(&g);
	AUTO(pt_table) struct pt_table *t = read_memory(g.disk, g.size, g.ss == 2048 ? 2048 : 0, &e);
	ck_assert_msg((t != NULL) == odd[_i].is_read, "case %d: %s", _i, e.msg);
	if (t) {
		ck_assert_uint_eq(t->sector_size, g.ss);
		ck_assert_uint_eq(t->entries[0].start, 1000 * g.ss);
		ck_assert_uint_eq(t->entries[0].len, 200 * g.ss);
		ck_assert_uint_eq(t->gpt_nr_entries, g.nr_entries);
		check_regions(t, g.size, false);
	} else {
		bool is_too_big = odd[_i].nr_entries > 1024 || odd[_i].entry_size > 4096;
		ck_assert_int_eq(e.code, is_too_big ? ERR_UNSUPPORTED : ERR_CORRUPT);
	}
	free(g.disk);
}
END_TEST

START_TEST(refuses_two_damaged_copies)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;

	make_entry(&g, 0, 2048, 4095);
	make_gpt(&g);
	g.disk[2 * 512 + 0x20]++;
	g.disk[8 * MIB - 500]++;
	ck_assert_ptr_null(read_memory(g.disk, g.size, 0, &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.msg, "entries' checksum"));
	/* A forced sector size that is the wrong one: corrupt too, and the hint knows why. */
	g.disk[2 * 512 + 0x20]--;
	ck_assert_ptr_null(read_memory(g.disk, g.size, 4096, &e));
	ck_assert_int_eq(e.code, ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(e.hint, "512"));
	ck_assert_ptr_null(read_memory(g.disk, g.size, 1000, &e));
	ck_assert_int_eq(e.code, ERR_USAGE);
	free(g.disk);
}
END_TEST

START_TEST(finds_the_backup_of_a_grown_disk)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;

	make_entry(&g, 0, 2048, 4095);
	g.size = 6 * MIB;
	make_gpt(&g);
	/* The primary header is gone, the last sector of the disk knows nothing: only the protective MBR says where to look. */
	memset(g.disk + 512, 0, 512);
	AUTO(pt_table) struct pt_table *t = read_memory(g.disk, 8 * MIB, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_uint_eq(t->gpt_backup_header, 6 * MIB - 512);
	ck_assert_uint_eq(t->gpt_header, 512);
	ck_assert_uint_eq(t->gpt_entries, 1024);
	ck_assert(!t->gpt_primary_ok && t->gpt_backup_ok);
	free(g.disk);
}
END_TEST

START_TEST(ignores_the_backup_of_another_disk)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;

	make_entry(&g, 0, 2048, 4095);
	make_gpt(&g);
	uint8_t *last = g.disk + 8 * MIB - 512;
	memset(last + 0x38, 0x55, 16);
	put_le32(last, 0x10, 0);
	put_le32(last, 0x10, libdeflate_crc32(0, last, 92));
	AUTO(pt_table) struct pt_table *t = read_memory(g.disk, g.size, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert(t->gpt_primary_ok && !t->gpt_backup_ok);
	ck_assert_uint_eq(t->gpt_backup_header, 0);
	free(g.disk);
}
END_TEST

START_TEST(cuts_what_is_beyond_the_end)
{
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;

	make_entry(&g, 0, 2048, 8191);
	make_entry(&g, 1, 9000, 9999);
	make_entry(&g, 2, 5000, 100);                     /* ends before it starts */
	make_entry(&g, 3, 5000, UINT64_MAX);
	make_entry(&g, 4, UINT64_MAX / 512, UINT64_MAX / 512 + 5);
	make_gpt(&g);
	AUTO(pt_table) struct pt_table *t = read_memory(g.disk, 3 * MIB + 100, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_uint_eq(t->nr, 2);
	ck_assert(has_notice(t, "made for a larger disk"));
	check_regions(t, 3 * MIB + 100, false);
	ck_assert(has_notice(t, "partition 1 reaches 1048476 bytes beyond"));
	ck_assert(has_notice(t, "partition 2 lies beyond"));
	free(g.disk);
}
END_TEST

/* All partitions of an MBR behind the end of the disk: what is on the disk must not be lost for it. */
START_TEST(an_mbr_without_a_place)
{
	uint8_t disk[64 * 1024] = { 0 };
	struct err e = ERR_INIT;

	put_le16(disk, 510, 0xAA55);
	disk[446 + 4] = 0x83;
	put_le32(disk, 446 + 8, 128);
	put_le32(disk, 446 + 12, 100);
	AUTO(pt_table) struct pt_table *outside = read_memory(disk, sizeof(disk), 0, &e);
	ck_assert_msg(outside != NULL, "%s", e.msg);
	ck_assert_int_eq(outside->kind, PT_NONE);
	ck_assert_uint_eq(outside->nr, 0);
	ck_assert(has_notice(outside, "no partition of the MBR lies on the disk"));
	check_regions(outside, sizeof(disk), false);
	put_le32(disk, 446 + 8, 127);
	AUTO(pt_table) struct pt_table *inside = read_memory(disk, sizeof(disk), 0, &e);
	ck_assert_int_eq(inside->kind, PT_MBR);
	ck_assert_uint_eq(inside->nr, 1);
}
END_TEST

START_TEST(decodes_names)
{
	static const uint8_t name[72] = { 'a', 0, 0x3D, 0xD8, 0x00, 0xDE, 0x3D, 0xD8, 'b', 0, 0x00, 0xDE, 0x1B, 0, 0xAC, 0x20 };
	struct gpt_maker g = new_gpt(8 * MIB, 512);
	struct err e = ERR_INIT;

	make_entry(&g, 0, 2048, 4095);
	make_entry(&g, 1, 4096, 4099);
	memcpy(g.disk + 1024 + 0x38, name, sizeof(name));
	for (int i = 0; i < 36; i++)
		put_le16(g.disk + 1024 + 128 + 0x38, (size_t)i * 2, 0x20AC);
	make_gpt(&g);
	AUTO(pt_table) struct pt_table *t = read_memory(g.disk, g.size, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_str_eq(t->entries[0].name, "a\360\237\230\200\357\277\275b\357\277\275\357\277\275\342\202\254");
	ck_assert_uint_eq(strlen(t->entries[1].name), 108);
	free(g.disk);
}
END_TEST

START_TEST(stops_broken_chains)
{
	static const struct {
		uint32_t link;
		uint8_t type;
		bool has_ebr;
		const char *notice;
	} cases[] = {
		{ 0, 0x05, true, "leads back" },      /* to the first EBR */
		{ 100, 0x0F, true, "leads back" },    /* to itself */
		{ 200, 0x85, false, "record is missing" },
		{ 5000000, 0x05, false, "beyond the end" },
		{ UINT32_MAX, 0x05, false, "beyond the end" },
	};
	uint8_t *disk = calloc(1, 4 * MIB);
	struct err e = ERR_INIT;

	make_slot(disk, 0, 0x83, 1000, 500);
	make_slot(disk, 1, cases[_i].type, 2000, 4000);
	make_slot(disk + 2000 * 512, 0, 0x83, 1, 50);
	make_slot(disk + 2000 * 512, 1, 0x05, 100, 200);
	make_slot(disk + 2100 * 512, 0, 0x82, 1, 60);
	make_slot(disk + 2100 * 512, 1, 0x05, cases[_i].link, 200);
	make_slot(disk + 2100 * 512, 2, 0x83, 1, UINT32_MAX); /* garbage in the third slot */
	AUTO(pt_table) struct pt_table *t = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_uint_eq(t->nr, 3);
	ck_assert_uint_eq(t->entries[2].number, 6);
	ck_assert_uint_eq(t->entries[2].start, 2101 * 512);
	ck_assert_uint_eq(t->nr_structures, 3);
	ck_assert_msg(has_notice(t, cases[_i].notice), "%s", t->nr_notices ? t->notices[0] : "no notice");
	check_regions(t, 4 * MIB, false);
	free(disk);
}
END_TEST

START_TEST(limits_long_chains)
{
	uint8_t *disk = calloc(1, 4 * MIB);
	struct err e = ERR_INIT;

	make_slot(disk, 0, 0x05, 10, 8000);
	for (uint32_t i = 0; i < 2000; i++) {
		uint8_t *ebr = disk + (10 + 2 * i) * 512;
		make_slot(ebr, 0, 0x83, 1, 1);
		make_slot(ebr, 1, 0x05, 2 * (i + 1), 2);
	}
	AUTO(pt_table) struct pt_table *t = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_msg(t != NULL, "%s", e.msg);
	ck_assert_uint_eq(t->nr, 1024);
	ck_assert(has_notice(t, "too long"));
	check_regions(t, 4 * MIB, false);
	free(disk);
}
END_TEST

START_TEST(mbr_or_not)
{
	uint8_t *disk = calloc(1, 4 * MIB);
	struct err e = ERR_INIT;

	put_le16(disk, 510, 0xAA55);
	AUTO(pt_table) struct pt_table *empty = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(empty->kind, PT_NONE);
	make_slot(disk, 3, 0x83, 1, 1);
	disk[446] = 0x01;
	AUTO(pt_table) struct pt_table *bad = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(bad->kind, PT_NONE);
	disk[446] = 0x80;
	AUTO(pt_table) struct pt_table *good = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(good->kind, PT_MBR);
	memcpy(disk + 3, "NTFS    \0\2\10", 11);
	make_slot(disk, 3, 0x83, 1, 100000);
	AUTO(pt_table) struct pt_table *ntfs = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(ntfs->kind, PT_NONE);
	memcpy(disk + 3, "EXFAT   ", 8);
	AUTO(pt_table) struct pt_table *exfat = read_memory(disk, 4 * MIB, 0, &e);
	ck_assert_int_eq(exfat->kind, PT_NONE);
	for (size_t n = 0; n < 513; n += 511) {
		AUTO(pt_table) struct pt_table *tiny = read_memory(disk, n, 0, &e);
		ck_assert_int_eq(tiny->kind, PT_NONE);
		check_regions(tiny, n, false);
	}
	free(disk);
}
END_TEST

START_TEST(names_types)
{
	struct pt_table t = { .kind = PT_GPT };
	struct pt_entry en = { .mbr_type = 0xEF };

	memcpy(en.type_guid, "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b", 16);
	ck_assert_str_eq(pt_type_name(&t, &en), "EFI System");
	ck_assert(pt_is_boot(&t, &en));
	en.type_guid[0]++;
	ck_assert_str_eq(pt_type_name(&t, &en), "");
	ck_assert(!pt_is_boot(&t, &en));
	t.kind = PT_MBR;
	ck_assert_str_eq(pt_type_name(&t, &en), "EFI (FAT-12/16/32)");
	ck_assert(pt_is_boot(&t, &en));
	en.mbr_type = 0x83;
	ck_assert(!pt_is_boot(&t, &en));
	en.active = true;
	ck_assert(pt_is_boot(&t, &en));
	ck_assert_str_eq(pt_kind_name(PT_NONE), "none");
}
END_TEST

static TCase *case_of(Suite *s, const char *name)
{
	TCase *c = tcase_create(name);

	tcase_add_checked_fixture(c, scratch_setup, scratch_teardown);
	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	return c;
}

int main(void)
{
	Suite *s = suite_create("table");
	TCase *layout = tcase_create("layouts"), *tools = case_of(s, "tools"), *hand = case_of(s, "by hand");

	tcase_add_unchecked_fixture(layout, make_layouts, scratch_teardown);
	tcase_add_loop_test(layout, reads_what_the_tools_wrote, 0, NR(layouts));
	suite_add_tcase(s, layout);
	tcase_add_loop_test(tools, reads_4096_byte_sectors, 0, 2);
	tcase_add_test(tools, does_not_guess_on_devices);
	tcase_add_test(tools, remembers_places);
	tcase_add_loop_test(hand, reads_odd_gpts, 0, 18);
	tcase_add_test(hand, refuses_two_damaged_copies);
	tcase_add_test(hand, finds_the_backup_of_a_grown_disk);
	tcase_add_test(hand, ignores_the_backup_of_another_disk);
	tcase_add_test(hand, cuts_what_is_beyond_the_end);
	tcase_add_test(hand, an_mbr_without_a_place);
	tcase_add_test(hand, decodes_names);
	tcase_add_loop_test(hand, stops_broken_chains, 0, 5);
	tcase_add_test(hand, limits_long_chains);
	tcase_add_test(hand, mbr_or_not);
	tcase_add_test(hand, names_types);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
