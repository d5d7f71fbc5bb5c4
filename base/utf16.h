/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names as GPT, exFAT and NTFS keep them (UTF-16, little-endian), made fit for messages. */
#ifndef CALCO_BASE_UTF16_H
#define CALCO_BASE_UTF16_H

#include <stddef.h>
#include <stdint.h>

/*
 * utf16_text - UTF-16LE, ended by NUL or after nr_units, to UTF-8, ended by NUL
 * @size: of out, at least 1; a character that does not fit whole ends the text
 *
 * Lone surrogates and control characters become U+FFFD.
 */
void utf16_text(const uint8_t *in, size_t nr_units, char *out, size_t size);

#endif
