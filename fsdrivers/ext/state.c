/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Is it safe to copy this ext file system now? One function per reason, in the order in which they win.
 *
 * What is not a reason: a list of orphan inodes (s_last_orphan, or orphan_present of the orphan file) in a file
 * system whose journal is empty. The bitmaps are true, the next mount finishes the deletions, on the copy as on the
 * original. A frozen file system (fsfreeze, LVM snapshot) looks like that and is clean.
 */
#include "fsdrivers/ext/ext.h"

#include "base/span.h"

#include <stdarg.h>
#include <stdio.h>

#define MMP_MAGIC     0x004D4D50U
#define MMP_SEQ_CLEAN 0xFF4D4D50U
#define MMP_SEQ_FSCK  0xE24D4D50U
#define MMP_SIZE      1024U

/* Sets state and reason; the detail is formatted here, the advice by the caller. */
static void set_state(struct fsd_info *i, enum fsd_state state, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void set_state(struct fsd_info *i, enum fsd_state state, const char *reason, const char *fmt, ...)
{
	va_list ap;

	i->state = state;
	snprintf(i->reason, sizeof(i->reason), "%s", reason);
	va_start(ap, fmt);
	vsnprintf(i->detail, sizeof(i->detail), fmt, ap);
	va_end(ap);
}

static void advise(struct ext_volume *v, const char *advice)
{
	struct fsd_info *i = &v->base.info;

	snprintf(i->advice, sizeof(i->advice), "%s", advice);
}

/* A name from the disk for a sentence: printable ASCII only, everything else as '?'. */
static void copy_printable(char *dst, size_t room, struct span *s, size_t off, size_t max)
{
	size_t n = 0;

	for (; n < max && n + 1 < room; n++) {
		uint8_t c = span_u8(s, off + n);
		if (!c)
			break;
		dst[n] = c >= 0x20 && c < 0x7F ? (char)c : '?';
	}
	dst[n] = '\0';
}

/*
 * Multiple mount protection (ext4 docs, mmp.rst). A mounted file system shows a running number, and so does one whose
 * host crashed: telling them apart takes waiting, which is the mounter's business.
 */
static int judge_mmp(struct ext_volume *v, bool *ret_decided, struct err *e)
{
	const struct ext_super *sb = &v->sb;
	uint8_t raw[MMP_SIZE];
	char node[65], dev[33];

	*ret_decided = false;
	if (!(sb->incompat & EXT_INCOMPAT_MMP))
		return 0;
	if (sb->mmp_block <= sb->first_data_block || sb->mmp_block >= sb->nr_blocks)
		return err_set(
			e, ERR_CORRUPT, 0, "ext mmp block %llu is out of range", (unsigned long long)sb->mmp_block);
	if (blk_read(v->src, sb->mmp_block * sb->block_size, raw, sizeof(raw), e) < 0)
		return err_wrap(e, "reading the ext mmp block");
	struct span s = span_of(raw, sizeof(raw));
	if (span_le32(&s, 0) != MMP_MAGIC)
		return err_set(e, ERR_CORRUPT, 0, "ext mmp block %llu has no magic number",
			(unsigned long long)sb->mmp_block);
	if (ext_has_metadata_csum(sb) && ext_crc32c(&v->crc, sb->csum_seed, raw, 0x3FC) != span_le32(&s, 0x3FC))
		return err_set(e, ERR_CORRUPT, 0, "ext mmp block %llu has a wrong checksum",
			(unsigned long long)sb->mmp_block);
	uint32_t seq = span_le32(&s, 4);
	if (seq == MMP_SEQ_CLEAN)
		return 0;
	copy_printable(node, sizeof(node), &s, 0x10, 64);
	copy_printable(dev, sizeof(dev), &s, 0x50, 32);
	set_state(&v->base.info, FSD_IN_USE, "mmp", "%s on host '%s' as '%s' (multiple mount protection)",
		seq == MMP_SEQ_FSCK ? "e2fsck is or was running" : "it is or was mounted", node, dev);
	advise(v, "unmount it there; if that host is down for good, run tune2fs -f -E clear_mmp " FSD_DEVICE);
	*ret_decided = true;
	return 0;
}

static bool judge_recovery(struct ext_volume *v)
{
	struct fsd_info *i = &v->base.info;
	bool recover = v->sb.incompat & EXT_INCOMPAT_RECOVER;

	if (recover && v->journal.kind == EXT_JOURNAL_EXTERNAL) {
		set_state(i, FSD_SET_MEMBER, "external-journal", "its journal, on another device, must be replayed");
		advise(v, "attach the journal device, then run e2fsck -p " FSD_DEVICE ", or mount and unmount it");
	} else if (recover) {
		set_state(i, FSD_REPLAYABLE, "dirty-journal",
			"it was not unmounted cleanly: its journal must be replayed");
		advise(v, "run e2fsck -p " FSD_DEVICE ", or mount and unmount it");
		i->can_replay = true;
	} else if (v->journal.has_transactions) {
		/* The kernel would drop these transactions, e2fsck offers to replay them: not for us to decide. */
		set_state(i, FSD_REPLAYABLE, "dirty-journal",
			"its journal holds transactions although the superblock says that none are due");
		advise(v, "run e2fsck -f " FSD_DEVICE);
	} else {
		return false;
	}
	return true;
}

static bool judge_damage(struct ext_volume *v, uint32_t nr_bad_groups)
{
	struct fsd_info *i = &v->base.info;

	if (!(v->sb.state & EXT_STATE_VALID)) {
		set_state(i, FSD_DAMAGED, "dirty", "it was not unmounted cleanly%s",
			v->journal.kind == EXT_JOURNAL_NONE ? " and has no journal" : "");
		advise(v, "run e2fsck -f " FSD_DEVICE);
	} else if (v->sb.csum_bad) {
		set_state(i, FSD_DAMAGED, "checksum", "its superblock has a wrong checksum");
		advise(v, "run e2fsck -f " FSD_DEVICE);
	} else if (nr_bad_groups) {
		set_state(i, FSD_DAMAGED, "checksum", "%u of its %u group descriptors have a wrong checksum",
			nr_bad_groups, v->sb.nr_groups);
		advise(v, "run e2fsck -f " FSD_DEVICE);
	} else {
		return false;
	}
	return true;
}

static void note_journal(struct ext_volume *v)
{
	struct fsd_info *i = &v->base.info;

	if (v->journal.kind == EXT_JOURNAL_EXTERNAL)
		snprintf(i->notice, sizeof(i->notice),
			"its journal is on another device, which is not part of this volume");
	else if (v->journal.odd[0])
		snprintf(i->notice, sizeof(i->notice), "journal kept whole: %s", v->journal.odd);
}

int ext_judge(struct ext_volume *v, uint32_t nr_bad_groups, struct err *e)
{
	bool decided;

	note_journal(v);
	if (judge_mmp(v, &decided, e) < 0)
		return -1;
	if (decided)
		return 0;
	if (v->sb.state & EXT_STATE_ERRORS || v->journal.has_error) {
		set_state(&v->base.info, FSD_DAMAGED, "errors", "the kernel found errors in it%s",
			v->sb.incompat & EXT_INCOMPAT_RECOVER ? ", and its journal must be replayed" : "");
		advise(v, "run e2fsck -f " FSD_DEVICE);
	} else if (!judge_recovery(v)) {
		judge_damage(v, nr_bad_groups);
	}
	return 0;
}
