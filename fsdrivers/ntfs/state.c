/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is it safe to copy this NTFS volume now, and what is it called? NTFS docs, "$Volume". */
#include "fsdrivers/ntfs/ntfs.h"

#include <stdio.h>
#include <string.h>

#define FLAG_DIRTY  0x0001U
#define FLAG_CHKDSK 0x4000U /* chkdsk was not finished */

struct volume_info {
	uint8_t major, minor;
	uint16_t flags;
};

/* One character as UTF-8; its length. */
static size_t put_utf8(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = 0x80 | (c & 0x3F);
		c >>= 6;
	}
	out[0] = (uint8_t)(0xF00 >> n | c); /* as many ones as bytes */
	return n;
}

/* UTF-16 from the disk may hold half a surrogate pair: that becomes U+FFFD. What does not fit is cut between characters. */
static void copy_label(char *dst, size_t room, struct span *s)
{
	size_t used = 0;

	for (size_t i = 0; i + 1 < s->len; i += 2) {
		uint32_t c = span_le16(s, i);
		uint32_t next = i + 3 < s->len ? span_le16(s, i + 2) : 0;
		uint8_t out[4];
		if (!c)
			break;
		if (c >= 0xD800 && c < 0xDC00 && next >= 0xDC00 && next < 0xE000) {
			c = 0x10000 + ((c - 0xD800) << 10) + (next - 0xDC00);
			i += 2;
		} else if (c >= 0xD800 && c < 0xE000) {
			c = 0xFFFD;
		}
		size_t n = put_utf8(c, out);
		if (used + n >= room)
			break;
		memcpy(dst + used, out, n);
		used += n;
	}
	dst[used] = '\0';
}

static int read_volume(struct ntfs_volume *v, struct volume_info *ret, struct err *e)
{
	AUTO_FREE uint8_t *buf = alloc_array(1, v->boot.record_size);
	struct fsd_info *i = &v->base.info;
	struct ntfs_record r;
	struct ntfs_attr a;

	if (!buf)
		return err_nomem(e, "a record of the $MFT");
	if (ntfs_record_read(v, NTFS_FILE_VOLUME, buf, &r, e) < 0)
		return -1;
	int found = ntfs_attr_find(&r, NTFS_AT_VOLUME_NAME, &a, e);
	if (found > 0 && a.is_resident)
		copy_label(i->label, sizeof(i->label), &a.value);
	if (found >= 0)
		found = ntfs_attr_find(&r, NTFS_AT_VOLUME_INFO, &a, e);
	if (found < 0)
		return -1;
	if (!found || !a.is_resident || a.value.len < 12)
		return err_set(e, ERR_CORRUPT, 0, "$Volume lacks its information");
	ret->major = span_u8(&a.value, 8);
	ret->minor = span_u8(&a.value, 9);
	ret->flags = span_le16(&a.value, 10);
	if (ret->major < 1 || ret->major > 3)
		return err_set(e, ERR_UNSUPPORTED, 0, "NTFS version %u.%u is unknown", ret->major, ret->minor);
	return 0;
}

static void set_state(struct ntfs_volume *v, enum fsd_state state, const char *reason, const char *detail, const char *advice)
{
	struct fsd_info *i = &v->base.info;

	i->state = state;
	snprintf(i->reason, sizeof(i->reason), "%s", reason);
	snprintf(i->detail, sizeof(i->detail), "%s", detail);
	snprintf(i->advice, sizeof(i->advice), "%s", advice);
}

static void judge_log(struct ntfs_volume *v, enum ntfs_log log)
{
	static const char *const detail[] = {
		[NTFS_LOG_OPEN] = "it was not unmounted cleanly: its journal must be replayed",
		[NTFS_LOG_KEPT] = "Windows was not shut down fully: it may go on with metadata that it keeps elsewhere",
		[NTFS_LOG_BROKEN] = "its journal is damaged",
	};

	if (log != NTFS_LOG_CLEAN)
		set_state(v, FSD_REPLAYABLE, "dirty-journal", detail[log], log == NTFS_LOG_BROKEN ?
			"run chkdsk /f on it in Windows and shut down" :
			"start Windows and shut it down fully: shutdown /s /f /t 0; or eject the disk in Windows");
}

/* The order is that of the advice: whoever is hibernated must not run chkdsk from elsewhere first. */
int ntfs_judge(struct ntfs_volume *v, struct err *e)
{
	struct fsd_info *i = &v->base.info;
	struct volume_info info = { 0 };
	enum ntfs_log log;

	if (read_volume(v, &info, e) < 0 || ntfs_log_read(v, &log, e) < 0)
		return -1;
	int is_hibernated = ntfs_is_hibernated(v, e);
	if (is_hibernated < 0)
		return -1;
	snprintf(i->detail, sizeof(i->detail), "NTFS %u.%u, clusters of %u bytes", info.major, info.minor, v->boot.cluster_size);
	if (is_hibernated)
		set_state(v, FSD_HIBERNATED, "hibernated", "Windows is hibernated, or was shut down with fast startup, and will go on with it",
			"in Windows run shutdown /s /f /t 0, or switch fast startup off with powercfg /h off and shut down");
	else if (info.flags & (FLAG_DIRTY | FLAG_CHKDSK))
		set_state(v, FSD_DAMAGED, "dirty", info.flags & FLAG_DIRTY ? "it is marked dirty" : "a chkdsk of it was not finished",
			"run chkdsk /f on it in Windows and shut down (ntfsfix -d only removes the mark)");
	else
		judge_log(v, log);
	return 0;
}
