/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of the state record share. Private to imager/job/state*.c; state.h is the face. */
#ifndef CALCO_IMAGER_JOB_STATE_INNER_H
#define CALCO_IMAGER_JOB_STATE_INNER_H

#include "imager/job/state.h"

#include <limits.h>
#include <pthread.h>

#define ENTRY_HEADER 24U
#define FIRST_ENTRY  2048U
#define MAX_ENTRY    (16U << 20)
#define NAME_SIZE    512U

struct saved_range {
	uint64_t start, len;
	uint64_t place; /* of the bytes in the file */
};

/* "SEEN" or "LEFT": what stood in a place, or was about to be written there. */
struct known_note {
	uint64_t start;
	uint32_t len, crc;
	bool is_left;
};

struct state {
	char path[PATH_MAX];
	char target[NAME_SIZE];
	uint64_t target_size;
	int fd; /* -1 until something is saved */
	bool is_new;   /* this attempt began it */
	bool is_usual; /* it lies where state_default() says: the folder is ours */
	bool is_other; /* of another file of the target's name, or of another size */
	uint64_t end; /* where the next entry goes */
	uint64_t mark, mark_seq;
	uint64_t old_mark; /* of earlier attempts */
	struct saved_range *saved;
	size_t nr_saved, nr_old; /* nr_old: of them by earlier attempts */
	struct state_part *parts;
	size_t nr_parts;
	struct known_note *notes;
	size_t nr_notes, notes_room, nr_sorted; /* nr_sorted: of them by earlier attempts, sorted by kind and start */
	pthread_mutex_t lock;       /* of what the workers of a restore reach: notes, places, end, mark */
	struct saved_range *places; /* all that is saved or noted, sorted and merged; NULL: to be made */
	size_t nr_places;
	bool is_stale;              /* something was seen since they were made; the next state_sync() forgets them */
};

/* state_write_at, state_read_at - of the file. Read: 1, all of it; 0, the file ends before; -1: what lies there may be whole and must not be written over. */
int state_write_at(const struct state *s, uint64_t off, const void *bytes, size_t len, struct err *e);
int state_read_at(const struct state *s, uint64_t off, void *bytes, size_t len, struct err *e);

/* state_init - a record that is not open yet. state_load - read all of an open one, whatever it is of; ERR_REFUSED, ERR_CORRUPT. */
int state_init(struct state *s, const char *path, struct err *e);
int state_load(struct state *s, bool *ret_finished, struct err *e);

/*
 * state_name_target - what a record calls its target: a disk by its serial number and model, which stay when /dev/sda is /dev/sdb after the next start;
 * a loop device by its file; anything else, and a partition, by its path
 */
void state_name_target(const char *target, char ret[NAME_SIZE]);

/* state_identify - which file a plain file is, also one behind a loop device: inode, and time of birth where that is known. Zeros for a device. */
#define STATE_ID_SIZE 24U
void state_identify(const char *name, uint8_t ret[STATE_ID_SIZE]);

/* state_read_entries - all that stand in the file, from s->end on. -1: not readable, or no memory */
int state_read_entries(struct state *s, struct err *e);
/* state_append - save bytes of the target: "SAVE", or "LATE" below the mark. Not synced. */
int state_append(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e);

/* state_remember_note - an entry without bytes that stands in the file at s->end, which moves on */
int state_remember_note(struct state *s, const struct known_note *n, struct err *e);
/* state_sort_notes - all that were read */
void state_sort_notes(struct state *s);

#endif
