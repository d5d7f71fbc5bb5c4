/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The journal, $LogFile: is there something to be replayed? NTFS docs, "$LogFile", "LogFile Restart"; judged as ntfs-3g
 * does before it mounts for writing.
 *
 * The first two pages are restart pages, written in turn; the younger counts. A journal of nothing but 0xff was emptied
 * by a mkfs, a chkdsk or ntfs-3g, who do that only where nothing is to be replayed.
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define MIN_PAGE        512U
#define MAX_PAGE        (64U << 10)
#define NO_CLIENT       0xFFFFU
#define FLAG_CLEAN      0x0002U
#define VERSION_OF_FAST 2U /* Windows 8 and later; at a full shutdown it turns the log back into version 1.1 */

struct restart {
	uint64_t lsn;
	uint32_t page_size;
	uint16_t major, client, flags;
	bool by_chkdsk;
};

static bool is_restart_mark(const uint8_t *p)
{
	return !memcmp(p, "RSTR", 4) || !memcmp(p, "CHKD", 4);
}

/* A restart page at off; 0 where none stands. */
static int read_page(struct ntfs_volume *v, const struct ntfs_stream *log, uint64_t off, struct restart *ret, struct err *e)
{
	uint8_t head[MIN_PAGE];

	if (!range_inside(off, sizeof(head), log->size))
		return 0;
	if (ntfs_stream_read(v, log, off, head, sizeof(head), e) < 0)
		return err_wrap(e, "reading $LogFile");
	uint32_t size = get_le32(head + 0x10);
	if (!is_restart_mark(head) || !is_pow2(size) || size < MIN_PAGE || size > MAX_PAGE || !range_inside(off, size, log->size))
		return 0;
	AUTO_FREE uint8_t *page = alloc_array(1, size);
	if (!page)
		return err_nomem(e, "a page of $LogFile");
	if (ntfs_stream_read(v, log, off, page, size, e) < 0)
		return err_wrap(e, "reading $LogFile");
	bool is_whole = ntfs_fixup(page, size);
	struct span s = span_of(page, size);
	size_t area = span_le16(&s, 0x18);
	*ret = (struct restart){
		.lsn = span_le64(&s, area),
		.page_size = size,
		.major = span_le16(&s, 0x1C),
		.client = span_le16(&s, area + 0x0C),
		.flags = span_le16(&s, area + 0x0E),
		.by_chkdsk = head[0] == 'C',
	};
	return is_whole && !s.bad;
}

/* The second page stands behind the first; where that is damaged, a page's own size must tell its place. */
static int find_second(struct ntfs_volume *v, const struct ntfs_stream *log, uint32_t first_size, struct restart *ret, struct err *e)
{
	int r = 0;

	if (first_size)
		return read_page(v, log, first_size, ret, e);
	for (uint32_t off = MIN_PAGE; off <= MAX_PAGE && r == 0; off *= 2) {
		r = read_page(v, log, off, ret, e);
		if (r > 0 && ret->page_size != off)
			r = 0;
	}
	return r;
}

/* Nothing but 0xff where a restart page or a log record could begin. */
static int is_emptied(struct ntfs_volume *v, const struct ntfs_stream *log, struct err *e)
{
	uint8_t head[MIN_PAGE];

	for (uint64_t off = 0; off <= MAX_PAGE && range_inside(off, sizeof(head), log->size); off += MIN_PAGE) {
		if (ntfs_stream_read(v, log, off, head, sizeof(head), e) < 0)
			return err_wrap(e, "reading $LogFile");
		for (size_t i = 0; i < sizeof(head); i++)
			if (head[i] != 0xFF)
				return 0;
	}
	return log->size >= sizeof(head);
}

static enum ntfs_log judge(const struct restart *r)
{
	if (r->by_chkdsk)
		return NTFS_LOG_CLEAN;
	if (r->client != NO_CLIENT && !(r->flags & FLAG_CLEAN))
		return NTFS_LOG_OPEN;
	return r->major >= VERSION_OF_FAST && r->major != 0xFFFF ? NTFS_LOG_KEPT : NTFS_LOG_CLEAN;
}

static int read_log(struct ntfs_volume *v, const struct ntfs_stream *log, enum ntfs_log *ret, struct err *e)
{
	struct restart first, second;

	int has_first = read_page(v, log, 0, &first, e);
	if (has_first < 0)
		return -1;
	int has_second = find_second(v, log, has_first ? first.page_size : 0, &second, e);
	if (has_second < 0)
		return -1;
	if (has_first && (!has_second || first.lsn >= second.lsn)) {
		*ret = judge(&first);
	} else if (has_second) {
		*ret = judge(&second);
	} else {
		int emptied = is_emptied(v, log, e);
		if (emptied < 0)
			return -1;
		*ret = emptied ? NTFS_LOG_CLEAN : NTFS_LOG_BROKEN;
	}
	return 0;
}

int ntfs_log_read(struct ntfs_volume *v, enum ntfs_log *ret, struct err *e)
{
	struct ntfs_stream log = { 0 };

	if (ntfs_metadata_open(v, NTFS_FILE_LOGFILE, NTFS_AT_DATA, "", &log, e) < 0)
		return -1;
	int r = read_log(v, &log, ret, e);
	ntfs_stream_release(&log);
	return r;
}
