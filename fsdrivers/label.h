/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Volume labels as they stand on disks, made fit for struct fsd_info. */
#ifndef CALCO_FSDRIVERS_LABEL_H
#define CALCO_FSDRIVERS_LABEL_H

#include <stddef.h>

/*
 * fsd_label_copy - the label in len bytes (it may end earlier with NUL) into dst, trailing blanks cut
 *
 * What is not UTF-8 is in a code page that nothing on the disk names: its bytes above 0x7f become '?'.
 */
void fsd_label_copy(char *dst, size_t size, const void *label, size_t len);

#endif
