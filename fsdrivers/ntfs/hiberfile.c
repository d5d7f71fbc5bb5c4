/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A Windows that was suspended, or shut down with "fast startup", keeps its memory in hiberfil.sys of the root folder
 * and will go on with what it remembers of the volume. The file's first bytes tell: "hibr" when it waits, "wake" or
 * zeros when it was resumed (libhibr, "Windows Hibernation File format").
 */
#include "fsdrivers/ntfs/ntfs.h"

#include <string.h>

#define HEADER_SIZE 4096U

/* A short one marks a volume without Windows that a suspended Windows uses (ntfs-3g, volume.c). */
static int judge_content(struct ntfs_volume *v, const struct ntfs_stream *s, struct err *e)
{
	uint8_t head[HEADER_SIZE];

	if (s->size < sizeof(head))
		return 1;
	if (ntfs_stream_read(v, s, 0, head, sizeof(head), e) < 0)
		return err_wrap(e, "reading hiberfil.sys");
	return !memcmp(head, "hibr", 4) || !memcmp(head, "HIBR", 4);
}

int ntfs_is_hibernated(struct ntfs_volume *v, struct err *e)
{
	struct ntfs_stream s = { 0 };
	uint64_t number;

	int r = ntfs_root_find(v, "hiberfil.sys", &number, e);
	if (r <= 0)
		return r;
	r = ntfs_stream_open(v, number, NTFS_AT_DATA, "", &s, e);
	if (r > 0)
		r = judge_content(v, &s, e);
	ntfs_stream_release(&s);
	return r;
}
