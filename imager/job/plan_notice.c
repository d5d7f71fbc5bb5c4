/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Notices are sentences for people in fields of a fixed size: one that does not fit ends behind a whole word. */
#include "imager/job/plan_volumes.h"

#include <stdio.h>
#include <string.h>

#define MORE " ..."

void plan_notice(char *out, size_t size, const char *first, const char *between, const char *rest)
{
	char all[1200];

	snprintf(all, sizeof(all), "%.500s%.10s%.600s", first, first[0] && rest[0] ? between : "", rest);
	if (strlen(all) >= size) {
		size_t end = size - sizeof(MORE);
		while (end && all[end] != ' ')
			end--;
		while (end && strchr(" ,;:", all[end - 1]))
			end--;
		strcpy(all + end, MORE);
	}
	memcpy(out, all, strlen(all) + 1);
}
