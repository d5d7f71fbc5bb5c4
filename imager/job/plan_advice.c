/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What to do about a volume, in words that work: a driver's advice speaks of FSD_DEVICE, and only here it is known what that is on this
 * machine. Of what is no device yet it is told how it becomes one.
 */
#include "imager/job/plan_volumes.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A word for the place of FSD_DEVICE, and a remark behind the advice, which may be "". */
struct device_words {
	char device[280], remark[400];
};

static bool is_block(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

/* A path as it must be typed; what has a quote in it is left as it is. */
static void quoted(const char *path, char *out, size_t size)
{
	bool plain = !path[strcspn(path, " \t\n*?[]{}()<>|&;$\"\\`!#~")] || strchr(path, '\'');

	snprintf(out, size, plain ? "%.250s" : "'%.250s'", path);
}

/* The kernel's rule: "sda2", but "nvme0n1p2" and "loop0p2". */
static bool partition_node(const char *disk, unsigned number, char *out, size_t size)
{
	char real[PATH_MAX];

	if (!realpath(disk, real) || !real[0])
		return false;
	const char *separator = isdigit((unsigned char)real[strlen(real) - 1]) ? "p" : "";
	return snprintf(out, size, "%s%s%u", real, separator, number) < (int)size && is_block(out);
}

static void name_region(const struct plan *p, const struct img_region *r, struct device_words *w)
{
	const char *disk = blk_name(p->disks[r->disk]);
	char path[260];

	quoted(disk, path, sizeof(path));
	if (!r->number) {
		snprintf(w->device, sizeof(w->device), "%s", path);
	} else if (!is_block(disk)) {
		snprintf(w->device, sizeof(w->device), "/dev/loopNp%u", r->number);
		snprintf(w->remark, sizeof(w->remark), " (losetup -fP --show %s attaches it as loopN)", strlen(path) > 80 ? "FILE" : path);
	} else if (!partition_node(disk, r->number, w->device, sizeof(w->device))) {
		snprintf(w->device, sizeof(w->device), "its device");
		snprintf(w->remark, sizeof(w->remark), " (partition %u of %.80s; partx -a or kpartx -a makes its device)", r->number, path);
	}
}

/* What lies on other volumes has a device only when these were activated. */
static void name_made(const struct plan *p, const struct plan_device *d, struct device_words *w)
{
	const struct plan_set *set = p->sets[d->set];

	switch (set->kind->shape) {
	case STACK_GROUP:
		snprintf(w->device, sizeof(w->device), "/dev/%.250s", d->made->name);
		snprintf(w->remark, sizeof(w->remark), " (vgchange -ay %.128s activates it)", set->s.name);
		break;
	case STACK_CONTAINER:
		snprintf(w->device, sizeof(w->device), "/dev/mapper/NAME");
		snprintf(w->remark, sizeof(w->remark), " (cryptsetup open makes it)");
		break;
	default:
		snprintf(w->device, sizeof(w->device), "the array's device");
		snprintf(w->remark, sizeof(w->remark), " (mdadm --assemble --scan makes it)");
	}
}

void plan_advice(const struct plan *p, size_t dev, const char *advice, char *out, size_t size)
{
	const struct plan_device *d = p->devices[dev];
	const char *at = strstr(advice, FSD_DEVICE);
	struct device_words w = { "", "" };

	if (!at) {
		snprintf(out, size, "%s", advice);
		return;
	}
	if (d->region == IMG_NO_INDEX)
		name_made(p, d, &w);
	else
		name_region(p, &p->m->regions[d->region], &w);
	snprintf(out, size, "%.*s%s%s%s", (int)(at - advice), advice, w.device, at + strlen(FSD_DEVICE), w.remark);
}
