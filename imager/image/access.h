/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an image is opened with: keys, and whom to believe. Borrowed by whoever reads; NULL where nothing was given. */
#ifndef CALCO_IMAGER_IMAGE_ACCESS_H
#define CALCO_IMAGER_IMAGE_ACCESS_H

#include "imager/image/sigs.h"
#include "imager/image/slots.h"

/* What can be told of an image that could not be opened for want of a key. */
struct img_locked {
	bool is_locked;
	uint64_t core_bytes;      /* of its description, decompressed */
	uint64_t file_bytes;      /* 0: a pipe */
	struct slots_count slots;
};

struct img_access {
	struct img_trust trust;
	struct img_keys keys;
	struct img_locked *locked; /* NULL, or filled when opening fails with the reason "locked" */
};

#endif
