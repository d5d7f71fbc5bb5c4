/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words for what stands in a partition table: kinds, types, GUIDs, names. */
#include "imager/disk/pt_internal.h"

#include <stdio.h>
#include <string.h>

struct guid_name {
	const char *guid;
	const char *name;
};

/* UEFI 2.10 table 5.7, the Discoverable Partitions Specification, and what the makers of each system publish. */
static const struct guid_name guid_names[] = {
	{ "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EFI System" },
	{ "024DEE41-33E7-11D3-9D69-0008C781F39F", "MBR partition scheme" },
	{ "21686148-6449-6E6F-744E-656564454649", "BIOS boot" },
	{ "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "Linux filesystem" },
	{ "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "Linux swap" },
	{ "E6D6D379-F507-44C2-A23C-238F2A3DF928", "Linux LVM" },
	{ "A19D880F-05FC-4D3B-A006-743F0F84911E", "Linux RAID" },
	{ "CA7D7CCB-63ED-4C53-861C-1742536059CC", "Linux LUKS" },
	{ "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7", "Linux dm-crypt" },
	{ "BC13C2FF-59E6-4262-A352-B275FD6F7172", "Linux extended boot" },
	{ "8DA63339-0007-60C0-C436-083AC8230908", "Linux reserved" },
	{ "933AC7E1-2EB4-4F13-B844-0E14E2AEF915", "Linux home" },
	{ "3B8F8425-20E0-4F3B-907F-1A25A76F98E8", "Linux server data" },
	{ "4D21B016-B534-45C2-A9FB-5C16E091FD2D", "Linux variable data" },
	{ "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1", "Linux temporary data" },
	{ "44479540-F297-41B2-9AF7-D131D5F0458A", "Linux root (x86)" },
	{ "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "Linux root (x86-64)" },
	{ "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3", "Linux root (ARM)" },
	{ "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "Linux root (ARM64)" },
	{ "72EC70A6-CF74-40E6-BD49-4BDA08E8F224", "Linux root (RISC-V 64)" },
	{ "75250D76-8CC6-458E-BD66-BD47CC81A812", "Linux /usr (x86)" },
	{ "8484680C-9521-48C6-9C11-B0720656F69E", "Linux /usr (x86-64)" },
	{ "B0E01050-EE5F-4390-949A-9101B17104E9", "Linux /usr (ARM64)" },
	{ "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5", "Linux root verity (x86-64)" },
	{ "E3C9E316-0B5C-4DB8-817D-F92DF00215AE", "Microsoft reserved" },
	{ "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "Microsoft basic data" },
	{ "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", "Microsoft LDM metadata" },
	{ "AF9B60A0-1431-4F62-BC68-3311714A69AD", "Microsoft LDM data" },
	{ "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "Windows recovery environment" },
	{ "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D", "Microsoft Storage Spaces" },
	{ "37AFFC90-EF7D-4E96-91C3-2D7AE055B174", "IBM General Parallel File System" },
	{ "48465300-0000-11AA-AA11-00306543ECAC", "Apple HFS/HFS+" },
	{ "7C3457EF-0000-11AA-AA11-00306543ECAC", "Apple APFS" },
	{ "426F6F74-0000-11AA-AA11-00306543ECAC", "Apple boot" },
	{ "53746F72-6167-11AA-AA11-00306543ECAC", "Apple Core Storage" },
	{ "52414944-0000-11AA-AA11-00306543ECAC", "Apple RAID" },
	{ "83BD6B9D-7F41-11DC-BE0B-001560B84F0F", "FreeBSD boot" },
	{ "516E7CB4-6ECF-11D6-8FF8-00022D09712B", "FreeBSD data" },
	{ "516E7CB5-6ECF-11D6-8FF8-00022D09712B", "FreeBSD swap" },
	{ "516E7CB6-6ECF-11D6-8FF8-00022D09712B", "FreeBSD UFS" },
	{ "516E7CBA-6ECF-11D6-8FF8-00022D09712B", "FreeBSD ZFS" },
	{ "49F48D5A-B10E-11DC-B99B-0019D1879648", "NetBSD FFS" },
	{ "824CC7A0-36A8-11E3-890A-952519AD3F61", "OpenBSD data" },
	{ "6A898CC3-1DD2-11B2-99A6-080020736631", "Solaris /usr and Apple ZFS" },
	{ "FE3A2A5D-4F32-41A7-B725-ACCC3285A309", "ChromeOS kernel" },
	{ "3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC", "ChromeOS root" },
	{ "AA31E02A-400F-11DB-9590-000C2911D1B8", "VMware VMFS" },
	{ "9D275380-40AD-11DB-BF97-000C2911D1B8", "VMware diagnostic" },
};

struct mbr_name {
	uint8_t type;
	const char *name;
};

/* From Andries Brouwer's list of partition types, those still met; the words are those of fdisk where it has one. */
static const struct mbr_name mbr_names[] = {
	{ 0x00, "Empty" },          { 0x01, "FAT12" },           { 0x04, "FAT16 <32M" },
	{ 0x05, "Extended" },       { 0x06, "FAT16" },           { 0x07, "HPFS/NTFS/exFAT" },
	{ 0x0B, "W95 FAT32" },      { 0x0C, "W95 FAT32 (LBA)" }, { 0x0E, "W95 FAT16 (LBA)" },
	{ 0x0F, "W95 Extended (LBA)" }, { 0x11, "Hidden FAT12" }, { 0x12, "Compaq diagnostics" },
	{ 0x14, "Hidden FAT16 <32M" }, { 0x16, "Hidden FAT16" }, { 0x17, "Hidden HPFS/NTFS" },
	{ 0x1B, "Hidden W95 FAT32" }, { 0x1C, "Hidden W95 FAT32 (LBA)" }, { 0x1E, "Hidden W95 FAT16 (LBA)" },
	{ 0x27, "Hidden NTFS WinRE" }, { 0x39, "Plan 9" },       { 0x42, "Windows dynamic disk" },
	{ 0x63, "GNU HURD or SysV" }, { 0x81, "Minix / old Linux" }, { 0x82, "Linux swap" },
	{ 0x83, "Linux" },          { 0x84, "OS/2 hidden or Intel hibernation" }, { 0x85, "Linux extended" },
	{ 0x86, "NTFS volume set" }, { 0x87, "NTFS volume set" }, { 0x88, "Linux plaintext" },
	{ 0x8E, "Linux LVM" },      { 0xA5, "FreeBSD" },         { 0xA6, "OpenBSD" },
	{ 0xA8, "Darwin UFS" },     { 0xA9, "NetBSD" },          { 0xAB, "Darwin boot" },
	{ 0xAF, "HFS / HFS+" },     { 0xBE, "Solaris boot" },    { 0xBF, "Solaris" },
	{ 0xDA, "Non-FS data" },    { 0xDE, "Dell Utility" },    { 0xEA, "Linux extended boot" },
	{ 0xEB, "BeOS fs" },        { 0xEE, "GPT" },             { 0xEF, "EFI (FAT-12/16/32)" },
	{ 0xFB, "VMware VMFS" },    { 0xFC, "VMware VMKCORE" },  { 0xFD, "Linux raid autodetect" },
};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

const char *pt_kind_name(enum pt_kind k)
{
	return k == PT_GPT ? "gpt" : k == PT_MBR ? "mbr" : "none";
}

const char *pt_type_name(const struct pt_table *t, const struct pt_entry *en)
{
	char guid[37];

	if (t->kind == PT_MBR) {
		for (size_t i = 0; i < NR(mbr_names); i++)
			if (mbr_names[i].type == en->mbr_type)
				return mbr_names[i].name;
		return "";
	}
	pt_format_guid(en->type_guid, guid);
	for (size_t i = 0; i < NR(guid_names); i++)
		if (!strcmp(guid_names[i].guid, guid))
			return guid_names[i].name;
	return "";
}

bool pt_is_boot(const struct pt_table *t, const struct pt_entry *en)
{
	static const uint8_t esp[16] = {
		0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B,
	};

	if (en->active)
		return true;
	if (t->kind == PT_MBR)
		return en->mbr_type == MBR_TYPE_ESP;
	return t->kind == PT_GPT && !memcmp(en->type_guid, esp, sizeof(esp));
}

void pt_format_guid(const uint8_t g[16], char out[37])
{
	/* The first three groups are little-endian (UEFI 2.10 appendix A). */
	snprintf(out, 37, "%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X", g[3], g[2], g[1],
		g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}
