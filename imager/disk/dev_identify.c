/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a disk is: model, serial number, world wide name, bus.
 *
 * sysfs is asked first and udev only fills what is missing, so that a disk has the same name in an installed system
 * and in a small live system without udev: fingerprints of unattended jobs depend on it.
 */
#include "imager/disk/dev_env.h"

#include "base/span.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* SPC-4, Unit Serial Number VPD page: page code in byte 1, length in bytes 2..3 (big endian), text from byte 4 */
static bool serial_from_vpd(const char *device, char *out, size_t size)
{
	uint8_t page[512];
	struct span s = span_of(page, dev_attr_raw(device, "vpd_pg80", page, sizeof(page)));
	uint8_t code = span_u8(&s, 1);
	size_t len = (size_t)span_u8(&s, 2) << 8 | span_u8(&s, 3);
	const uint8_t *text = span_at(&s, 4, len);

	if (s.bad || code != 0x80)
		return false;
	dev_clean(out, size, text, len);
	return out[0];
}

/*
 * The INQUIRY data of an ATA disk cuts its model to 16 characters. The whole of it is in page 89h
 * (SAT, ATA Information VPD page): IDENTIFY DEVICE data from byte 60, in it the model as words 27..46, the first
 * character of each word in its high byte (ATA/ACS, IDENTIFY DEVICE).
 */
static bool model_from_ata(const char *device, char *out, size_t size)
{
	uint8_t page[576], text[40];
	struct span s = span_of(page, dev_attr_raw(device, "vpd_pg89", page, sizeof(page)));
	uint8_t code = span_u8(&s, 1);

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = span_u8(&s, 60 + 2 * 27 + (i ^ 1));
	if (s.bad || code != 0x89)
		return false;
	dev_clean(out, size, text, sizeof(text));
	return out[0];
}

static void model_from_inquiry(const char *device, char *out, size_t size)
{
	char vendor[32], model[64];

	dev_attr(device, "vendor", vendor, sizeof(vendor));
	if (!dev_attr(device, "model", model, sizeof(model))) /* virtio has a "vendor" number and no model */
		dev_attr(device, "name", out, size);          /* MMC and SD cards */
	else if (!vendor[0] || !strcmp(vendor, "ATA") || !strncmp(vendor, "0x", 2) ||
		 !strncmp(model, vendor, strlen(vendor)))
		snprintf(out, size, "%s", model);
	else
		snprintf(out, size, "%s %.*s", vendor, (int)(size - strlen(vendor) - 2), model);
}

/* The folder of the USB device a disk hangs on has "idVendor"; its "serial" is what stands on the stick. */
static bool serial_from_usb(const char *device, char *out, size_t size)
{
	char dir[PATH_MAX], text[16];

	if (!dev_real(device, dir))
		return false;
	for (char *slash; (slash = strrchr(dir, '/')) && slash != dir; *slash = '\0')
		if (dev_attr(dir, "idVendor", text, sizeof(text)))
			return dev_attr(dir, "serial", out, size);
	return false;
}

static void find_wwn(const char *disk_dir, const char *device, char *out, size_t size)
{
	static const char *const kinds[] = { "naa.", "eui.", "nvme.", "uuid." };
	char text[128];

	if (!dev_attr(disk_dir, "wwid", text, sizeof(text)) && !dev_attr(device, "wwid", text, sizeof(text)))
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(text, kinds[i], strlen(kinds[i])))
			snprintf(out, size, "%.*s", (int)size - 1, text);
}

static const struct {
	const char *start;
	const char *bus;
} bus_by_name[] = {
	{"nvme", "nvme"},
	{"vd", "virtio"},
	{"loop", "loop"},
	{"mmcblk", "mmc"},
	{"md", "md"},
	{"dm-", "dm"},
	{"nbd", "nbd"},
	{"xvd", "xen"},
	{"zram", "ram"},
	{"ram", "ram"},
	{"pmem", "pmem"},
	{"rbd", "rbd"},
};

/* A piece of the device's place in /sys/devices; tried in this order because a USB or SAS disk may speak ATA as well. */
static const struct {
	const char *piece;
	const char *bus;
} bus_by_path[] = {
	{ "/usb", "usb" }, { "/end_device-", "sas" }, { "/session", "iscsi" }, { "/rport-", "fc" }, { "/ata", "sata" },
};

static void find_bus(const char *disk_dir, char *out, size_t size)
{
	const char *name = strrchr(disk_dir, '/') + 1;

	for (size_t i = 0; i < sizeof(bus_by_name) / sizeof(bus_by_name[0]); i++) {
		if (!strncmp(name, bus_by_name[i].start, strlen(bus_by_name[i].start))) {
			snprintf(out, size, "%s", bus_by_name[i].bus);
			return;
		}
	}
	for (size_t i = 0; i < sizeof(bus_by_path) / sizeof(bus_by_path[0]); i++) {
		const char *p = strstr(disk_dir, bus_by_path[i].piece);
		if (p && isdigit((unsigned char)p[strlen(bus_by_path[i].piece)])) {
			snprintf(out, size, "%s", bus_by_path[i].bus);
			return;
		}
	}
	if (!strncmp(name, "sd", 2))
		snprintf(out, size, "scsi");
}

static void fill_from_udev(const struct dev_env *env, const char *disk_dir, struct dev_info *ret)
{
	struct err ignored = ERR_INIT;
	unsigned major_, minor_;

	if (dev_number_sure(disk_dir, &major_, &minor_, &ignored) < 0)
		return;
	if (!ret->model[0] && !dev_udev(env, major_, minor_, "ID_MODEL_ENC", ret->model, sizeof(ret->model)))
		dev_udev(env, major_, minor_, "ID_MODEL", ret->model, sizeof(ret->model));
	if (!ret->serial[0])
		dev_udev(env, major_, minor_, "ID_SERIAL_SHORT", ret->serial, sizeof(ret->serial));
	if (!ret->wwn[0] && !dev_udev(env, major_, minor_, "ID_WWN_WITH_EXTENSION", ret->wwn, sizeof(ret->wwn)))
		dev_udev(env, major_, minor_, "ID_WWN", ret->wwn, sizeof(ret->wwn));
	if (!ret->bus[0])
		dev_udev(env, major_, minor_, "ID_BUS", ret->bus, sizeof(ret->bus));
}

void dev_identify(const struct dev_env *env, const char *disk_dir, struct dev_info *ret)
{
	char device[PATH_MAX];

	find_bus(disk_dir, ret->bus, sizeof(ret->bus));
	if (dev_join(device, disk_dir, "device")) {
		if (!model_from_ata(device, ret->model, sizeof(ret->model)))
			model_from_inquiry(device, ret->model, sizeof(ret->model));
		if (!dev_attr(disk_dir, "serial", ret->serial, sizeof(ret->serial)) /* virtio-blk */
			&& !dev_attr(device, "serial", ret->serial, sizeof(ret->serial)) /* NVMe, MMC */
			&& !serial_from_vpd(device, ret->serial, sizeof(ret->serial)))
			serial_from_usb(device, ret->serial, sizeof(ret->serial));
		find_wwn(disk_dir, device, ret->wwn, sizeof(ret->wwn));
	}
	fill_from_udev(env, disk_dir, ret);
}
