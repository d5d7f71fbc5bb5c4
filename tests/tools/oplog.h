/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log that tests/preload/oplog.c writes and repocrash replays: heads with up to two strings of bytes behind each. */
#ifndef CALCO_TESTS_TOOLS_OPLOG_H
#define CALCO_TESTS_TOOLS_OPLOG_H

#include <stdint.h>

enum oplog_kind {
	OPLOG_CREATE = 'C',   /* a: path; ino */
	OPLOG_MKDIR = 'M',    /* a: path; ino */
	OPLOG_WRITE = 'W',    /* a: data; ino, off */
	OPLOG_TRUNCATE = 'T', /* ino, off: the new size */
	OPLOG_SYNC = 'S',     /* ino, of a file or a folder */
	OPLOG_RENAME = 'R',   /* a: from, b: to */
	OPLOG_UNLINK = 'U',   /* a: path */
	OPLOG_EXPECT = 'E',   /* a: what must be true from here on, a line as repocrash.c explains; the test writes these */
};

struct oplog_head {
	uint32_t kind, a_len, b_len, reserved;
	uint64_t ino, off;
};

#endif
