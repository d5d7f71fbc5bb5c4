/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disks described, listed, selected and their users found, on a machine that is not at hand: a tree of sysfs, procfs
 * and udev's database with NVMe, SATA, USB, virtio, md, device-mapper and btrfs over several disks.
 */
#include "imager/disk/dev_env.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char top[64], dirs[4][80];
static struct dev_env env;
static struct err e;

static void make_folders(char *path)
{
	for (char *p = path + strlen(top) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
}

static void put_bytes(const char *name, const void *bytes, size_t len)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	make_folders(path);
	FILE *f = fopen(path, "w");
	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	put_bytes(path, text, strlen(text));
}

static void put_link(const char *name, const char *to)
{
	char path[512], target[512];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	snprintf(target, sizeof(target), "%s/%s", top, to);
	make_folders(path);
	ck_assert_msg(symlink(target, path) == 0, "%s", path);
}

/* A folder without attributes, such as an entry of "holders". */
static void put_folder(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/%s/", top, dir, name);
	make_folders(path);
}

static void put_number(const char *dir, const char *name, unsigned long long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", n);
	put(dir, name, text);
}

/* One disk: its folder below sys/devices/@where, linked from sys/block and sys/dev/block. */
static void put_disk(const char *where, const char *name, unsigned dev_major, unsigned dev_minor, unsigned long long sectors)
{
	char dir[256], link[128], number[32];

	snprintf(dir, sizeof(dir), "sys/devices/%s/%s", where, name);
	snprintf(number, sizeof(number), "%u:%u\n", dev_major, dev_minor);
	put(dir, "dev", number);
	put_number(dir, "size", sectors);
	put_number(dir, "ro", 0);
	put_number(dir, "removable", 0);
	put(dir, "queue/logical_block_size", "512\n");
	put(dir, "queue/physical_block_size", "4096\n");
	put(dir, "queue/rotational", "0\n");
	snprintf(link, sizeof(link), "sys/block/%s", name);
	put_link(link, dir);
	snprintf(link, sizeof(link), "sys/dev/block/%u:%u", dev_major, dev_minor);
	put_link(link, dir);
}

static void put_part(const char *disk, const char *name, unsigned number, unsigned dev_major, unsigned dev_minor, unsigned long long start,
	unsigned long long sectors)
{
	char dir[256], link[128], text[32];

	snprintf(dir, sizeof(dir), "sys/block/%s/%s", disk, name);
	snprintf(text, sizeof(text), "%u:%u\n", dev_major, dev_minor);
	put(dir, "dev", text);
	put_number(dir, "partition", number);
	put_number(dir, "start", start);
	put_number(dir, "size", sectors);
	put_number(dir, "ro", 0);
	snprintf(link, sizeof(link), "sys/dev/block/%u:%u", dev_major, dev_minor);
	put_link(link, dir);
}

static void put_vpd_serial(const char *dir, const char *serial)
{
	uint8_t page[64] = { 0, 0x80, 0, (uint8_t)strlen(serial) };
	char name[300];

	memcpy(page + 4, serial, strlen(serial));
	snprintf(name, sizeof(name), "%s/vpd_pg80", dir);
	put_bytes(name, page, 4 + strlen(serial));
}

#define ATA "pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0"
#define USB "pci0000:00/0000:00:14.0/usb1/1-4/1-4.2/1-4.2:1.0/host6/target6:0:0/6:0:0:0"
#define NVM "pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme0"
#define VIO "pci0000:00/0000:00:05.0/virtio2"

static void put_sata(void)
{
	static const char model[] = "Samsung SSD 870 EVO 500GB               "; /* 40 characters */
	uint8_t page[572] = { 0, 0x89, 2, 0x38 };

	put_disk(ATA "/block", "sda", 8, 0, 976773168);
	put_link("sys/devices/" ATA "/block/sda/device", "sys/devices/" ATA);
	put("sys/devices/" ATA, "vendor", "ATA     \n");
	put("sys/devices/" ATA, "model", "Samsung SSD 870 \n");
	put("sys/devices/" ATA, "wwid", "naa.5002538f00000001\n");
	put_vpd_serial("sys/devices/" ATA, "      S6PXNM0T123456");
	for (size_t i = 0; i < 40; i++)
		page[60 + 54 + i] = (uint8_t)model[i ^ 1];
	put_bytes("sys/devices/" ATA "/vpd_pg89", page, sizeof(page));
	put("sys/devices/pci0000:00/0000:00:17.0/ata3/ata_port/ata3", "port_no", "1\n");
	put_part("sda", "sda1", 1, 8, 1, 2048, 1048576);
	put_part("sda", "sda2", 2, 8, 2, 1050624, 8388608);
	put_part("sda", "sda3", 3, 8, 3, 9439232, 900000000);
}

static void put_usb(void)
{
	put_disk(USB "/block", "sdb", 8, 16, 60062500);
	put_link("sys/devices/" USB "/block/sdb/device", "sys/devices/" USB);
	put("sys/devices/" USB, "vendor", "SanDisk \n");
	put("sys/devices/" USB, "model", "Ultra\x1b[2J        \n"); /* hostile */
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4.2", "idVendor", "0781\n");
	put("sys/devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4.2", "serial", "4C530001230810117294\n");
	put("sys/block/sdb", "removable", "1\n");
	put_part("sdb", "sdb1", 1, 8, 17, 2048, 60000000);
}

static void put_nvme(void)
{
	put_disk(NVM, "nvme0n1", 259, 0, 2000409264);
	put_link("sys/devices/" NVM "/nvme0n1/device", "sys/devices/" NVM);
	put("sys/devices/" NVM, "model", "KINGSTON SNV2S1000G                     \n");
	put("sys/devices/" NVM, "serial", "50026B7785A1B2C3    \n");
	put("sys/block/nvme0n1", "wwid", "eui.00000000000000000026b7785a1b2c35\n");
	put("sys/block/nvme0n1", "nsid", "1\n");
	put_part("nvme0n1", "nvme0n1p1", 1, 259, 1, 2048, 1000000);
	put_part("nvme0n1", "nvme0n1p2", 2, 259, 2, 1002048, 1000000000);
	/* p2 -> dm-0 (opened LUKS) -> dm-1, dm-2 (its logical volumes) */
	put_disk("virtual/block", "dm-0", 253, 0, 999996000);
	put_disk("virtual/block", "dm-1", 253, 1, 500000000);
	put_disk("virtual/block", "dm-2", 253, 2, 8388608);
	put_folder("sys/block/nvme0n1/nvme0n1p2/holders", "dm-0");
	put_folder("sys/block/dm-0/slaves", "nvme0n1p2");
	put_folder("sys/block/dm-0/holders", "dm-1");
	put_folder("sys/block/dm-0/holders", "dm-2");
	put_folder("sys/block/dm-1/slaves", "dm-0");
	put_folder("sys/block/dm-2/slaves", "dm-0");
	put_disk("virtual/nvme", "nvme0c0n1", 259, 9, 2000409264);
	put("sys/block/nvme0c0n1", "hidden", "1\n");
}

static void put_virtio(void)
{
	put_disk(VIO "/block", "vda", 254, 0, 41943040);
	put_link("sys/devices/" VIO "/block/vda/device", "sys/devices/" VIO);
	put("sys/devices/" VIO, "vendor", "0x1af4\n");
	put("sys/block/vda", "serial", "golden-1");
	put_disk(VIO "/block", "vdz", 254, 16, 41943040);
	put_disk(VIO "/block", "vdaa", 254, 32, 41943040);
}

/* Two SCSI disks without VPD pages, of which udev knows more; md0 over both, with one partition. */
static void put_raid(void)
{
	static const char *const name[] = { "sdc", "sdd" };
	char dir[128], link[128];

	put_disk("virtual/block", "md0", 9, 0, 200000000);
	put_part("md0", "md0p1", 1, 259, 20, 2048, 100000000);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(dir, sizeof(dir), "pci0000:00/0000:00:02.0/host%u/target%u:0:0/%u:0:0:0/block", i + 8, i + 8, i + 8);
		put_disk(dir, name[i], 8, 32 + 16 * i, 100000000);
		snprintf(link, sizeof(link), "%s1", name[i]);
		put_part(name[i], link, 1, 8, 33 + 16 * i, 2048, 99000000);
		snprintf(dir, sizeof(dir), "sys/block/%s/%s1/holders", name[i], name[i]);
		put_folder(dir, "md0");
		put_folder("sys/block/md0/slaves", link);
	}
	put("run/udev/data", "b8:32",
		"S:disk/by-path/pci-0000:00:02.0-scsi-0:0:0:0\nE:ID_MODEL=WDC_WD40\nE:ID_MODEL_ENC=WDC\\x20WD40EFRX\\x20\\x20\n"
		"E:ID_SERIAL=WDC_WD40_WD-1\nE:ID_SERIAL_SHORT=WD-WCC4E0000001\nE:ID_WWN=0x50014ee2b0000001\nE:ID_BUS=ata\n");
}

/* btrfs over sde and sdf; a loop device with a partition over a plain file; what is never listed. */
static void put_others(void)
{
	char path[128];

	put_disk("virtual/a", "sde", 8, 64, 4000000);
	put_disk("virtual/a", "sdf", 8, 80, 4000000);
	put_folder("sys/fs/btrfs/01234567-89ab-cdef-0123-456789abcdef/devices", "sde");
	put_folder("sys/fs/btrfs/01234567-89ab-cdef-0123-456789abcdef/devices", "sdf");
	put_folder("sys/fs/btrfs", "features");
	put_disk("virtual/block", "loop7", 7, 7, 20480);
	snprintf(path, sizeof(path), "%s/disk.img\n", top);
	put("sys/block/loop7", "loop/backing_file", path);
	put("sys/block/loop7", "loop/offset", "1048576\n");
	put("", "disk.img", "");
	put_part("loop7", "loop7p1", 1, 259, 70, 2048, 10000);
	put_part("loop7", "loop7p2", 2, 259, 71, 12048, 8000);
	put_disk("virtual/block", "loop8", 7, 8, 20480); /* nothing attached */
	put_disk("virtual/block", "sdg", 8, 96, 0);      /* a card reader without a card */
	put_disk("virtual/block", "ram0", 1, 0, 8192);
	put_disk("virtual/block", "zram0", 252, 0, 8192);
	put_disk("virtual/block", "sr0", 11, 0, 8192);
	put_disk("virtual/block", "mmcblk0", 179, 0, 61000000);
	put_disk("virtual/block", "mmcblk0boot0", 179, 8, 8192);
	put_disk("virtual/block", "nvme10n1", 259, 100, 61000000);
	put_disk("virtual/block", "nvme2n1", 259, 101, 61000000);
}

static void put_proc(void)
{
	put("proc/self", "mountinfo",
		"22 1 0:20 / /proc rw - proc proc rw\n"
		"25 1 8:1 / /boot/efi rw,relatime shared:1 - vfat /dev/sda1 rw,fmask=0022\n"
		"26 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw,errors=remount-ro\n"
		"27 26 253:1 /srv /srv rw - ext4 /dev/mapper/vg-root rw\n"
		"28 26 259:20 / /mnt/my\\040raid ro - xfs /dev/md0p1 ro\n"
		"29 26 0:50 /@ /pool rw - btrfs /dev/sde rw,subvol=/@\n"
		"30 26 259:70 / /mnt/loop ro,relatime - ext4 /dev/loop7p1 rw\n"
		"31 26 0:60 / /net rw - nfs4 /dev/sdb rw\n"
		"32 26 0:61 / /nothing rw -  none rw\n");
	put("proc/1234", "mountinfo", "90 80 8:17 / /media/\\033]0;x rw - exfat /dev/sdb1 rw\n91 80 8:1 / /efi rw - vfat /dev/sda1 rw\n");
	put("proc/1234/ns", "mnt", "");
	put("proc", "swaps",
		"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		"/dev/dm-2                               partition\t4194300\t\t0\t\t-2\n"
		"/dev/sda2\\040(deleted)                  partition\t4194300\t\t0\t\t-3\n");
}

static void put_node(const char *name, unsigned dev_major, unsigned dev_minor)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/dev/%s", top, name);
	make_folders(path);
	/* What has such a number here is at most read. Where nodes cannot be made the tests that need them are skipped. */
	if (mknod(path, S_IFBLK | 0600, makedev(dev_major, dev_minor)) < 0)
		fprintf(stderr, "SKIP what needs the node %s: %s\n", name, strerror(errno));
}

static void setup(void)
{
	static const char *const sub[] = { "sys", "proc", "run", "dev" };

	snprintf(top, sizeof(top), "/tmp/calco-device.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	for (size_t i = 0; i < 4; i++)
		snprintf(dirs[i], sizeof(dirs[i]), "%s/%s", top, sub[i]);
	env = (struct dev_env){ .sys = dirs[0], .proc = dirs[1], .run = dirs[2], .dev = dirs[3] };
	put_sata();
	put_usb();
	put_nvme();
	put_virtio();
	put_raid();
	put_others();
	put_proc();
	put_node("sde", 8, 64);
	put_node("dm-2", 253, 2);
	put_node("sda", 8, 0);
	put_node("sda3", 8, 3);
	e = (struct err)ERR_INIT;
}

static void teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", top);
	ck_assert_int_eq(system(cmd), 0);
}

static struct dev_info *find(struct dev_info *v, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(strrchr(v[i].path, '/') + 1, name))
			return &v[i];
	ck_abort_msg("%s is not listed", name);
	return NULL;
}

START_TEST(list)
{
	static const char *const want[] = { "loop7", "md0", "mmcblk0", "nvme0n1", "nvme2n1", "nvme10n1", "sda", "sdb", "sdc", "sdd", "sde",
		"sdf", "vda", "vdz", "vdaa" };
	struct dev_info *v;
	size_t nr;

	ck_assert_msg(dev_list_env(&env, &v, &nr, &e) == 0, "%s", e.msg);
	ck_assert_uint_eq(nr, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < nr; i++)
		ck_assert_str_eq(strrchr(v[i].path, '/') + 1, want[i]);
	free(v);
}
END_TEST

static const struct {
	const char *name, *model, *serial, *wwn, *bus;
	uint64_t size;
} known[] = {
	{ "sda", "Samsung SSD 870 EVO 500GB", "S6PXNM0T123456", "naa.5002538f00000001", "sata", 500107862016 },
	{ "sdb", "SanDisk Ultra?[2J", "4C530001230810117294", "", "usb", 30752000000 },
	{ "nvme0n1", "KINGSTON SNV2S1000G", "50026B7785A1B2C3", "eui.00000000000000000026b7785a1b2c35", "nvme", 1024209543168 },
	{ "vda", "", "golden-1", "", "virtio", 21474836480 },
	{ "sdc", "WDC WD40EFRX", "WD-WCC4E0000001", "0x50014ee2b0000001", "scsi", 51200000000 },
	{ "sdd", "", "", "", "scsi", 51200000000 },
	{ "md0", "", "", "", "md", 102400000000 },
	{ "loop7", "", "", "", "loop", 10485760 },
};

START_TEST(identity)
{
	struct dev_info *v;
	size_t nr;

	ck_assert_msg(dev_list_env(&env, &v, &nr, &e) == 0, "%s", e.msg);
	struct dev_info *d = find(v, nr, known[_i].name);
	ck_assert_str_eq(d->model, known[_i].model);
	ck_assert_str_eq(d->serial, known[_i].serial);
	ck_assert_str_eq(d->wwn, known[_i].wwn);
	ck_assert_str_eq(d->bus, known[_i].bus);
	ck_assert_uint_eq(d->size, known[_i].size);
	ck_assert_uint_eq(d->sector_size, 512);
	ck_assert_uint_eq(d->phys_sector_size, 4096);
	ck_assert(d->removable == !strcmp(known[_i].name, "sdb"));
	ck_assert(!d->is_file && !d->is_partition && !d->rotational && !d->read_only);
	free(v);
}
END_TEST

START_TEST(inspect_partition)
{
	char path[128];
	struct stat st;
	struct dev_info d;

	snprintf(path, sizeof(path), "%s/dev/sda3", top);
	if (stat(path, &st) < 0)
		return;
	ck_assert_msg(dev_inspect_env(&env, path, &d, &e) == 0, "%s", e.msg);
	ck_assert(d.is_partition && !d.is_file);
	ck_assert_str_eq(d.path, path);
	ck_assert_str_eq(d.serial, "S6PXNM0T123456"); /* its disk's */
	ck_assert_uint_eq(d.size, 900000000ULL * 512);
	ck_assert_uint_eq(d.dev_minor, 3);
	/* A protected disk protects its partitions. */
	put_number("sys/block/sda", "ro", 1);
	ck_assert_int_eq(dev_inspect_env(&env, path, &d, &e), 0);
	ck_assert(d.read_only);
	/* A node without a device. */
	put_node("ghost", 8, 200);
	snprintf(path, sizeof(path), "%s/dev/ghost", top);
	ck_assert_int_eq(dev_inspect_env(&env, path, &d, &e), -1);
	ck_assert_int_eq(e.code, ERR_USAGE);
}
END_TEST

/* Pages that are cut short, lie about their length, or are of another kind say nothing. */
START_TEST(hostile_pages)
{
	static const uint8_t longer[] = { 0, 0x80, 0xff, 0xff, 'x' }, other[] = { 0, 0x83, 0, 1, 'x' }, cut[] = { 0, 0x80 };
	static const struct {
		const uint8_t *p;
		size_t len;
	} pages[] = { { longer, sizeof(longer) }, { other, sizeof(other) }, { cut, sizeof(cut) }, { cut, 0 } };
	struct dev_info *v;
	size_t nr;

	put_bytes("sys/devices/" ATA "/vpd_pg80", pages[_i].p, pages[_i].len);
	put_bytes("sys/devices/" ATA "/vpd_pg89", pages[_i].p, pages[_i].len);
	ck_assert_int_eq(dev_list_env(&env, &v, &nr, &e), 0);
	ck_assert_str_eq(find(v, nr, "sda")->serial, "");
	ck_assert_str_eq(find(v, nr, "sda")->model, "Samsung SSD 870");
	free(v);
}
END_TEST

static const struct {
	const char *text, *name; /* NULL: a usage error */
} selections[] = {
	{ "serial=S6PXNM0T123456", "sda" },
	{ "serial=s6pxnm0t123456", "sda" },
	{ "serial=golden-1", "vda" },
	{ "serial=golden", NULL },
	{ "serial=", NULL },
	{ "wwn=naa.5002538f00000001", "sda" },
	{ "wwn=0x5002538F00000001", "sda" },
	{ "wwn=0x50014ee2b0000001", "sdc" },
	{ "wwn=0x", NULL },
	{ "model~870 evo", "sda" },
	{ "model~s", NULL },
	{ "model~Seagate", NULL },
	{ "by-path=pci-0000:00:02.0-scsi-0:0:0:0", "sdc" },
	{ "by-path=pci-0000:00:17.0-ata-1", "sda" },
	{ "by-path=pci-0000:00:17.0-ata-1.0", "sda" },
	{ "by-path=pci-0000:00:17.0-ata-2", NULL },
	{ "by-path=pci-0000:02:00.0-nvme-1", "nvme0n1" },
	{ "by-path=pci-0000:00:14.0-usb-0:4.2:1.0-scsi-0:0:0:0", "sdb" },
	{ "by-path=pci-0000:00:05.0", NULL }, /* three disks in this tree */
	{ "by-path=pci-0000:00:05", NULL },
	{ "model=Samsung", NULL }, /* a mistake, not a file */
	{ "uuid=1234", NULL },
	{ "", NULL },
};

START_TEST(select_disk)
{
	char path[256] = "unchanged";
	int r = dev_resolve_env(&env, selections[_i].text, path, sizeof(path), &e);

	if (selections[_i].name) {
		ck_assert_msg(r == 0, "%s", e.msg);
		ck_assert_str_eq(strrchr(path, '/') + 1, selections[_i].name);
	} else {
		ck_assert_int_eq(r, -1);
		ck_assert_int_eq(e.code, ERR_USAGE);
		ck_assert_str_eq(path, "unchanged");
	}
}
END_TEST

START_TEST(select_says)
{
	char path[256];

	ck_assert_int_eq(dev_resolve_env(&env, "model~a", path, sizeof(path), &e), -1);
	ck_assert_ptr_nonnull(strstr(e.msg, "matches 2 disks: "));
	ck_assert_ptr_nonnull(strstr(e.msg, "sda (Samsung SSD 870 EVO 500GB, serial S6PXNM0T123456, 465.8 GiB)"));
	ck_assert_ptr_null(strstr(e.msg, "nvme"));
	ck_assert_int_eq(dev_resolve_env(&env, "serial=nope", path, sizeof(path), &e), -1);
	ck_assert_ptr_nonnull(strstr(e.msg, "no disk matches"));
	ck_assert_ptr_nonnull(strstr(e.msg, "loop7"));
	/* Paths are kept as they are, also of files that are still to be made. */
	ck_assert_int_eq(dev_resolve_env(&env, "/no/such=file", path, sizeof(path), &e), 0);
	ck_assert_str_eq(path, "/no/such=file");
	ck_assert_int_eq(dev_resolve_env(&env, "./model=x", path, sizeof(path), &e), 0);
	ck_assert_int_eq(dev_resolve_env(&env, "/a/long/path", path, 8, &e), -1);
}
END_TEST

/* The users of a disk as one line: "reason: text; reason: text". */
static const char *users_of(const char *name, unsigned dev_major, unsigned dev_minor, bool rw_only)
{
	static char out[1024];
	struct dev_info d = { .dev_major = dev_major, .dev_minor = dev_minor, .is_file = !dev_major };
	struct dev_user *v;
	size_t nr;

	snprintf(d.path, sizeof(d.path), "%s/%s", top, name);
	ck_assert_msg(dev_users_env(&env, &d, rw_only, &v, &nr, &e) == 0, "%s", e.msg);
	out[0] = '\0';
	for (size_t i = 0; i < nr; i++) {
		size_t used = strlen(out);
		snprintf(out + used, sizeof(out) - used, "%s%s: %s", i ? "; " : "", v[i].reason, v[i].text);
	}
	free(v);
	return out;
}

static const struct {
	const char *name;
	unsigned dev_major, dev_minor;
	bool rw_only;
	const char *users;
} uses[] = {
	{ "sda", 8, 0, false, "mounted: /dev/sda1 is mounted on /boot/efi; swap: /dev/sda2 is in use as swap" },
	{ "sda1", 8, 1, false, "mounted: /dev/sda1 is mounted on /boot/efi" },
	{ "sda2", 8, 2, false, "swap: /dev/sda2 is in use as swap" },
	{ "sda3", 8, 3, false, "" },
	{ "sdb", 8, 16, false, "mounted: /dev/sdb1 is mounted on /media/?]0;x (in the mount namespace of process 1234)" },
	{ "nvme0n1", 259, 0, false,
		"mounted: mounted through /dev/dm-1 on /; swap: in use as swap through /dev/dm-2; held: /dev/nvme0n1p2 is held by dm-0" },
	{ "nvme0n1p1", 259, 1, false, "" },
	{ "nvme0n1p2", 259, 2, false,
		"mounted: mounted through /dev/dm-1 on /; swap: in use as swap through /dev/dm-2; held: /dev/nvme0n1p2 is held by dm-0" },
	{ "dm-0", 253, 0, false,
		"mounted: mounted through /dev/dm-1 on /; swap: in use as swap through /dev/dm-2; held: /dev/dm-0 is held by dm-1; "
		"held: /dev/dm-0 is held by dm-2" },
	{ "dm-1", 253, 1, false, "mounted: /dev/dm-1 is mounted on /" },
	{ "dm-2", 253, 2, false, "swap: /dev/dm-2 is in use as swap" },
	{ "sdc", 8, 32, false, "mounted: mounted read-only through /dev/md0p1 on /mnt/my raid; held: /dev/sdc1 is held by md0" },
	{ "sdd1", 8, 49, false, "mounted: mounted read-only through /dev/md0p1 on /mnt/my raid; held: /dev/sdd1 is held by md0" },
	{ "sdd", 8, 48, true, "held: /dev/sdd1 is held by md0" },
	{ "md0", 9, 0, false, "mounted: /dev/md0p1 is mounted read-only on /mnt/my raid" },
	{ "md0", 9, 0, true, "" },
	{ "sde", 8, 64, false, "mounted: /dev/sde is mounted on /pool" },
	{ "sdf", 8, 80, false, "mounted: /dev/sdf is mounted on /pool" },
	{ "disk.img", 0, 0, false, "mounted: mounted through /dev/loop7p1 on /mnt/loop; in-use: /dev/loop7 is attached to it" },
	{ "loop7", 7, 7, false, "mounted: /dev/loop7p1 is mounted on /mnt/loop" },
	{ "loop7p2", 259, 71, false, "" },
	{ "vda", 254, 0, false, "" },
};

START_TEST(users)
{
	char node[128];

	snprintf(node, sizeof(node), "%s/dev/sde", top);
	if (access(node, F_OK) < 0) /* sde and swap on dm-2 are known by their nodes */
		return;
	ck_assert_str_eq(users_of(uses[_i].name, uses[_i].dev_major, uses[_i].dev_minor, uses[_i].rw_only), uses[_i].users);
}
END_TEST

/* Mounted where we cannot see it: sysfs still says so. */
START_TEST(btrfs_unseen)
{
	put("proc/self", "mountinfo", "22 1 0:20 / /proc rw - proc proc rw\n");
	ck_assert_str_eq(users_of("sdf", 8, 80, true),
		"mounted: /dev/sdf belongs to the mounted btrfs 01234567-89ab-cdef-0123-456789abcdef");
}
END_TEST

/* Overlapping partitions are the same bytes under two names. */
START_TEST(overlapping_partition)
{
	put_part("sda", "sda4", 4, 8, 4, 4096, 1024);
	ck_assert_str_eq(users_of("sda4", 8, 4, false), "mounted: /dev/sda1 is mounted on /boot/efi");
}
END_TEST

/* What cannot be read must not look like "nobody". */
START_TEST(blind)
{
	static const char *const broken[] = { "not a line of mountinfo\n", "25 1 8:1 / - vfat\n", "25 1 8-1 / / rw - vfat /dev/sda1 rw\n" };
	struct dev_info d = { .dev_major = 8, .dev_minor = 0 };
	struct dev_user *v;
	size_t nr;
	char path[128];

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		put("proc/self", "mountinfo", broken[i]);
		ck_assert_int_eq(dev_users_env(&env, &d, false, &v, &nr, &e), -1);
		ck_assert_int_eq(e.code, ERR_FAILED);
	}
	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", top);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(dev_users_env(&env, &d, false, &v, &nr, &e), -1);
	ck_assert_int_eq(e.code, ERR_FAILED);
	put_proc();
	env.sys = "/nowhere";
	ck_assert_int_eq(dev_users_env(&env, &d, false, &v, &nr, &e), -1);
	ck_assert_int_eq(dev_list_env(&env, &(struct dev_info *){ NULL }, &nr, &e), -1);
}
END_TEST

static const struct {
	const char *dir, *name;
	bool for_users, for_device; /* who asks for it */
} attributes[] = {
	{ "sys/block/sda", "dev", true, true },
	{ "sys/block/sda", "size", true, true },
	{ "sys/block/sda", "ro", false, true },
	{ "sys/block/sda", "partition", false, true },
	{ "sys/block/sda/queue", "logical_block_size", false, true },
	{ "sys/block/sda/queue", "physical_block_size", false, true },
	{ "sys/block/sda/sda1", "dev", true, false },
	{ "sys/block/sda/sda1", "size", true, false },
	{ "sys/block/sda/sda1", "start", true, false },
	{ "sys/block/sda/sda1", "partition", true, false },
	{ "sys/block/loop7/loop", "offset", true, false },
};

/* Nor an attribute that cannot be read, or says what no kernel says. */
START_TEST(blind_to_one_attribute)
{
	static const char *const nonsense[] = { "x\n", "-1\n", "99999999999999999999\n", "8:\n", "1 2\n", NULL };
	struct dev_info d = { .dev_major = 8, .dev_minor = 0 }, seen;
	struct dev_user *v;
	char path[300], dir[PATH_MAX];
	size_t nr;

	snprintf(path, sizeof(path), "%s/sys/block/sda", top);
	ck_assert(dev_real(path, dir));
	ck_assert_int_eq(dev_describe(&env, dir, &seen, &e), 0);
	for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", top, attributes[_i].dir, attributes[_i].name);
		unlink(path);
		if (nonsense[i])
			put(attributes[_i].dir, attributes[_i].name, nonsense[i]);
		else /* read() fails with EISDIR */
			put_folder(attributes[_i].dir, attributes[_i].name);
		e = (struct err)ERR_INIT;
		if (attributes[_i].for_users) {
			ck_assert_int_eq(dev_users_env(&env, &d, false, &v, &nr, &e), -1);
			ck_assert_int_eq(e.code, ERR_FAILED);
		}
		e = (struct err)ERR_INIT;
		if (attributes[_i].for_device) {
			ck_assert_int_eq(dev_describe(&env, dir, &seen, &e), -1);
			ck_assert_int_eq(e.code, ERR_FAILED);
		}
	}
}
END_TEST

/* A target of which the layers above or below are what the job needs. */
START_TEST(stacked_source)
{
	struct guard_verdict verdict;
	char disk[128], volume[128];
	const char *needed[] = { volume, NULL };
	struct guard_request rq = { .target = disk, .in_use = needed };

	/* Numbers of devices that this machine may have are only opened for reading. */
	put_node("nvme0n1", 259, 0);
	put_node("dm-1", 253, 1);
	snprintf(disk, sizeof(disk), "%s/dev/nvme0n1", top);
	snprintf(volume, sizeof(volume), "%s/dev/dm-1", top);
	if (access(volume, F_OK) < 0)
		return;
	ck_assert_int_eq(guard_check_env(&env, &rq, &verdict, &e), -1);
	ck_assert_str_eq(e.reason, "is-source");
	ck_assert_str_eq(verdict.confirm_text, "B2C3");
	ck_assert_str_eq(verdict.confirm_what, "the last 4 characters of its serial number");
	/* And the other way round: the disk below is the source, the volume the target. */
	rq.target = volume;
	needed[0] = disk;
	ck_assert_int_eq(guard_check_env(&env, &rq, &verdict, &e), -1);
	ck_assert_str_eq(e.reason, "is-source");
}
END_TEST

#define LOOP(name, table) tcase_add_loop_test(t, name, 0, (int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *s = suite_create("device");
	TCase *t = tcase_create("device");

	tcase_set_timeout(t, 30);
	tcase_add_unchecked_fixture(t, setup, teardown); /* one tree for all that only read it */
	tcase_add_test(t, list);
	LOOP(identity, known);
	LOOP(select_disk, selections);
	tcase_add_test(t, select_says);
	LOOP(users, uses);
	suite_add_tcase(s, t);
	t = tcase_create("changed tree");
	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, inspect_partition);
	tcase_add_loop_test(t, hostile_pages, 0, 4);
	tcase_add_test(t, btrfs_unseen);
	tcase_add_test(t, overlapping_partition);
	tcase_add_test(t, blind);
	LOOP(blind_to_one_attribute, attributes);
	tcase_add_test(t, stacked_source);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
