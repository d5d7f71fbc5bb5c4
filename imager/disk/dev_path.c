/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a disk is plugged in, by the names udev gives in /dev/disk/by-path ("pci-0000:00:17.0-ata-1").
 *
 * Where udev runs its database answers. In a live system without it the name is put together from the folders of the
 * device in sysfs, for the buses that computers boot from: PCI with NVMe, virtio, ATA, and SCSI over USB.
 */
#include "imager/disk/dev_env.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is one of the "S:disk/by-path/..." links of udev's database this name? */
static bool udev_says(const struct dev_env *env, const struct dev_info *dev, const char *name)
{
	static const char prefix[] = "S:disk/by-path/";
	char path[PATH_MAX], line[4096];
	bool found = false;

	snprintf(path, sizeof(path), "%s/udev/data/b%u:%u", env->run, dev->dev_major, dev->dev_minor);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, prefix, strlen(prefix)) && !strcmp(line + strlen(prefix), name);
	}
	fclose(f);
	return found || (dev_udev(env, dev->dev_major, dev->dev_minor, "ID_PATH", path, sizeof(path)) &&
				!strcmp(path, name));
}

/* "0000:00:17.0" */
static bool is_pci_address(const char *s, size_t len)
{
	static const char shape[] = "xxxx:xx:xx.x";

	if (len != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < len; i++)
		if (shape[i] == 'x' ? !isxdigit((unsigned char)s[i]) : s[i] != shape[i])
			return false;
	return true;
}

/* The last folder of the path that @match accepts: the device nearest to the disk. NULL when there is none. */
static const char *last_folder(const char *dir, bool (*match)(const char *s, size_t len), size_t *ret_len)
{
	const char *found = NULL;

	for (const char *p = dir; (p = strchr(p, '/'));) {
		size_t len = strcspn(++p, "/");
		if (match(p, len)) {
			found = p;
			*ret_len = len;
		}
	}
	return found;
}

static bool is_ata_port(const char *s, size_t len)
{
	return len > 3 && !strncmp(s, "ata", 3) && strspn(s + 3, "0123456789") == len - 3;
}

static bool is_scsi_address(const char *s, size_t len)
{
	unsigned a, b, c, d;
	int used = 0;

	return sscanf(s, "%u:%u:%u:%u%n", &a, &b, &c, &d, &used) == 4 && (size_t)used == len;
}

/* A USB interface, "1-2.1:1.0": bus 1, ports 2 and 1, configuration 1, interface 0. */
static bool is_usb_interface(const char *s, size_t len)
{
	return isdigit((unsigned char)*s) && strspn(s, "0123456789-.:") == len && memchr(s, '-', len) &&
	       memchr(s, ':', len);
}

/* Compares with both spellings of an ATA name: old versions of udev write "ata-1", newer ones "ata-1.0" too. */
static bool is_ata_name(const char *dir, const char *port, size_t port_len, const char *rest)
{
	char attr[PATH_MAX], old[64], new[64];
	unsigned target = 0;
	size_t len;

	snprintf(attr, sizeof(attr), "%.*s/ata_port/%.*s", (int)(port + port_len - dir), dir, (int)port_len, port);
	unsigned number = (unsigned)dev_attr_u64(attr, "port_no", strtoul(port + 3, NULL, 10));
	const char *scsi = last_folder(dir, is_scsi_address, &len);
	if (scsi)
		sscanf(scsi, "%*u:%*u:%u", &target);
	snprintf(old, sizeof(old), "-ata-%u", number);
	snprintf(new, sizeof(new), "-ata-%u.%u", number, target);
	return !strcmp(rest, new) || (target == 0 && !strcmp(rest, old));
}

static bool is_usb_name(const char *dir, const char *usb, size_t usb_len, const char *rest)
{
	char want[128];
	unsigned channel = 0, target = 0, lun = 0;
	size_t len;
	const char *ports = (const char *)memchr(usb, '-', usb_len) + 1;
	const char *scsi = last_folder(dir, is_scsi_address, &len);

	if (!scsi || sscanf(scsi, "%*u:%u:%u:%u", &channel, &target, &lun) != 3)
		return false;
	/* The host number is counted from the first host of the same adapter; a USB disk has one of its own: 0. */
	snprintf(want, sizeof(want), "-usb-0:%.*s-scsi-0:%u:%u:%u", (int)(usb + usb_len - ports), ports, channel,
		target, lun);
	return !strcmp(rest, want);
}

static bool sysfs_says(const struct dev_env *env, const struct dev_info *dev, const char *name)
{
	char link[PATH_MAX], dir[PATH_MAX], want[64];
	size_t pci_len, len;
	const char *p;

	snprintf(link, sizeof(link), "%s/dev/block/%u:%u", env->sys, dev->dev_major, dev->dev_minor);
	if (strncmp(name, "pci-", 4) || !dev_real(link, dir))
		return false;
	const char *pci = last_folder(dir, is_pci_address, &pci_len);
	if (!pci || strncmp(name + 4, pci, pci_len))
		return false;
	const char *rest = name + 4 + pci_len;
	if (!strcmp(dev->bus, "virtio"))
		return !*rest;
	if (!strcmp(dev->bus, "nvme")) {
		snprintf(want, sizeof(want), "-nvme-%u", (unsigned)dev_attr_u64(dir, "nsid", 1));
		return !strcmp(rest, want);
	}
	if ((p = last_folder(dir, is_usb_interface, &len)))
		return is_usb_name(dir, p, len, rest);
	if ((p = last_folder(dir, is_ata_port, &len)))
		return is_ata_name(dir, p, len, rest);
	return false;
}

bool dev_is_at_path(const struct dev_env *env, const struct dev_info *dev, const char *name)
{
	return udev_says(env, dev, name) || sysfs_says(env, dev, name);
}
