/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Check notes every assertion that holds in a file, with one write(2), to be able to say which was the last before a crash or a timeout. In a loop over
 * all units of a volume these millions of writes took most of the time of the tests. The Makefile includes this before each test: a place that is among
 * the latest that were noted is not noted again, so that a loop is noted once. Assertions that fail are told as ever, with their own place.
 */
#ifndef CALCO_TESTS_UNIT_CHECK_MARKS_H
#define CALCO_TESTS_UNIT_CHECK_MARKS_H

#include <check.h>

__attribute__((unused)) static void mark_place(const char *file, int line)
{
	static struct { const char *file; int line; } latest[16];
	static unsigned next;

	for (unsigned i = 0; i < 16; i++)
		if (latest[i].line == line && latest[i].file == file)
			return;
	latest[next].file = file;
	latest[next].line = line;
	next = (next + 1) % 16;
	_mark_point(file, line);
}

#define _mark_point mark_place

#endif
