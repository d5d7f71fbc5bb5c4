/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an image is opened with: whom to believe. Borrowed by whoever reads; NULL where nothing was given. */
#ifndef CALCO_IMAGER_IMAGE_ACCESS_H
#define CALCO_IMAGER_IMAGE_ACCESS_H

#include "imager/image/sigs.h"

struct img_access {
	struct img_trust trust;
};

#endif
