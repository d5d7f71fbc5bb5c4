/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chunks made of leaves that are there already (docs/repository.md section 2). Any thread. */
#ifndef CALCO_IMAGER_REPO_COMPOSE_H
#define CALCO_IMAGER_REPO_COMPOSE_H

#include "imager/image/store.h"
#include "imager/repo/reuse.h"

/*
 * compose_chunk - if enough of its leaves are known, in sound records: 1, c->head, c->fresh and payload (CHUNK_SIZE of room) are a composed record; else 0
 * @no_recheck: do not decompress and compare what was compressed
 */
int compose_chunk(const struct reuse *u, struct chunk_codec *codec, const uint8_t *content, struct packed_chunk *c, bool no_recheck, uint8_t *payload,
	struct err *e);

#endif
