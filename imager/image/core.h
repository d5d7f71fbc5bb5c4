/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Section numbers of the CORE and ENVL parts (docs/format.md sections 3 and 4). Private to imager/image. */
#ifndef CALCO_IMAGER_IMAGE_CORE_H
#define CALCO_IMAGER_IMAGE_CORE_H

#define SECTION_HEADER 16U

enum core_section { SEC_IMAGE = 1, SEC_DISKS, SEC_REGIONS, SEC_VOLUMES, SEC_TABLES, SEC_EXTENTS };
enum envelope_section { ENV_CREATED = 1, ENV_TOOL, ENV_LEVEL, ENV_NOTE, ENV_READ };

#endif
