/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text for a terminal: labels and names come from hostile disks, so nothing is shown before it went through here. */
#ifndef CALCO_CMD_TEXT_H
#define CALCO_CMD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * text_clean - s without anything that could move a cursor, colour, reorder or fake a line
 *
 * Control characters (C0, DEL, C1), bidirectional overrides and bytes that are not UTF-8 become U+FFFD. Cut to size at
 * a character's border. Returns out.
 */
char *text_clean(const char *s, char *out, size_t size);

/* text_width - characters of a cleaned text, which is as many columns for what labels usually hold */
size_t text_width(const char *s);

/* text_cut - clean, and in at most width (>= 3) columns: what is longer ends with "..". Returns out. */
char *text_cut(const char *s, size_t width, char *out, size_t size);

/* text_put - clean and write to f, padded with spaces to width columns, on the left for right-aligned numbers */
void text_put(FILE *f, const char *s, size_t width, bool right);

/* text_use_colour - f is a terminal that takes colours, and NO_COLOR (no-color.org) is not set */
bool text_use_colour(FILE *f);

/* text_uuid - 16 bytes in the order they are printed, as "0f8b0aab-…": 36 characters and NUL. Returns out. */
char *text_uuid(const uint8_t bytes[16], char out[37]);

/* text_duration - "12.3 s", "4:07 min", "1:02:03 h". Returns out. */
char *text_duration(double seconds, char out[32]);

/* text_time - seconds since 1970 as "2024-05-31 12:00" in local time, or with utc as "2024-05-31T10:00:00Z". Returns out. */
char *text_time(uint64_t seconds, bool utc, char out[32]);

#endif
