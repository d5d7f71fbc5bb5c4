/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state record of a target: the bytes a restore cleared before it wrote anything, and how far it may have written. It lies
 * on another disk than the target, grows only, and is synced before the target changes.
 */
#ifndef CALCO_IMAGER_JOB_STATE_H
#define CALCO_IMAGER_JOB_STATE_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blk_source;
struct state;

/* state_default - the usual place for the record of a target, in the local state directory. ERR_FAILED when there is none. */
int state_default(const char *target, char *ret, size_t size, struct err *e);

/* state_folder - where the records lie that state_default() names */
int state_folder(char *ret, size_t size, struct err *e);

/* What is in a record, whatever it is of. */
struct state_entry {
	char path[4096];
	char target[512];      /* as the record calls it */
	uint64_t target_size, saved_bytes, mark;
	uint64_t changed;      /* when it was written last, seconds since 1970 */
	bool is_finished, is_damaged, is_aside, in_use;
	bool is_other;         /* another file has the target's name now */
};

/* state_peek - one record. ERR_REFUSED "state": that is none; a damaged one is no error. */
int state_peek(const char *path, struct state_entry *ret, struct err *e);

/* state_list - all in the usual folder, the newest first; without one there are none. Free *ret with free(). */
int state_list(struct state_entry **ret, size_t *nr, struct err *e);

/* state_forget - remove a record, whatever is in it, but nothing else; ERR_REFUSED "in-use" while a restore has it */
int state_forget(const char *path, struct err *e);

/*
 * state_cut_short - does the usual folder hold the record of a restore to this disk, or to the disk this partition is of, that did not end?
 * @src: what stands there now: when that is another disk by now, or was used anew, it does not count
 * @ret: its path
 */
bool state_cut_short(const char *disk, struct blk_source *src, char *ret, size_t size);

/*
 * state_open - open or begin the record of a target
 * @target, @target_size: what it is the record of; an unfinished record of another target is ERR_REFUSED ("state")
 *
 * An unfinished record is continued: what it saved stays. Of another file or size (state_is_other), it must be set aside first. A finished one (state_finish) begins anew; a damaged one is ERR_CORRUPT, since
 * what it saved may be in it. The file is made by the first state_save() or state_sync().
 */
int state_open(const char *path, const char *target, uint64_t target_size, struct state **ret, struct err *e);

/*
 * state_open_unfinished - open the record of a restore that did not end, to undo it
 *
 * ERR_USAGE ("no-record"): there is no such file; ERR_REFUSED: it is finished ("finished"), of another target or no record at all ("state");
 * ERR_CORRUPT: its header is damaged.
 */
int state_open_unfinished(const char *path, const char *target, uint64_t target_size, struct state **ret, struct err *e);

/*
 * state_is_other - was the unfinished record begun for another file of the target's name (also that behind a loop device), or when the target had
 * another size?
 */
bool state_is_other(const struct state *s);

/*
 * state_set_aside - what the record saved is not of what stands on the target now: it gets another name, FILE.old-1 or so, and a new one may begin
 * @ret: that name
 */
int state_set_aside(struct state *s, char *ret, size_t size, struct err *e);

/*
 * state_parts - how the target was divided before the first attempt, in order; none: nobody added any
 * state_add_part - the next one; not synced
 */
struct state_part {
	uint64_t start, len;
	unsigned partition; /* its number; 0: a gap, or the whole disk */
};
const struct state_part *state_parts(const struct state *s, size_t *ret_nr);
int state_add_part(struct state *s, uint64_t start, uint64_t len, unsigned partition, struct err *e);

/* state_get_mark - nothing at or behind this offset of the target was written since its bytes were saved; 0: nothing at all */
uint64_t state_get_mark(const struct state *s);

/*
 * state_each - every saved piece in the order in which it was saved, up to 16 MiB each; stops when fn returns -1
 * @fn: is_late: an earlier attempt may have written there before the bytes were saved
 */
typedef int (*state_saved_fn)(void *arg, uint64_t start, const uint8_t *bytes, size_t len, bool is_late, struct err *e);
int state_each(struct state *s, state_saved_fn fn, void *arg, struct err *e);

/* state_remove - all was put back: the record is of no more use */
int state_remove(struct state *s, struct err *e);

/*
 * state_save - keep bytes of the target. Not synced.
 *
 * What is saved already is left as it is. At or behind the mark the bytes given now must be those or what holds_could_leave() of them
 * (else ERR_REFUSED "state": the target was used meanwhile). What lies below the mark is saved as late: an earlier attempt may have
 * written there.
 */
int state_save(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e);

/*
 * state_see - note, to know the target again, what stands in a place that is not saved; what the record knows there already is left as it is. One
 * thread; state_sync() must follow before the target is written by several.
 * state_note_write - before bytes are written (NULL: zeros): where the record knows the place, note them. 1: something was, state_sync() must
 * follow before they are written; 0: nothing. Any thread.
 * state_will_write - both, note and sync
 */
int state_see(struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e);
int state_note_write(struct state *s, uint64_t start, const uint8_t *bytes, uint64_t len, struct err *e);
int state_will_write(struct state *s, uint64_t start, const uint8_t *bytes, uint64_t len, struct err *e);

/* state_saved_now - has this attempt saved anything of this range? state_knows - is anything of it saved or seen, by any attempt? */
bool state_saved_now(const struct state *s, uint64_t start, uint64_t len);
bool state_knows(struct state *s, uint64_t start, uint64_t len);

/*
 * state_compare - is the target as the restores of the record left it?
 * @fn: may be NULL; told of each piece that stands neither as it was saved or seen, nor cleared, nor as a restore would write it
 *
 * As long as nothing differs, it is. That pieces which are not zero stand as they were is proof that it is this target at all.
 */
struct state_match {
	size_t nr_differing, nr_proofs;
};
typedef int (*state_differs_fn)(void *arg, uint64_t start, uint64_t len, bool is_seen, struct err *e);
int state_compare(struct state *s, struct blk_source *target, struct state_match *ret, state_differs_fn fn, void *arg, struct err *e);

/* state_sync - the record is on disk with everything saved, even if that is nothing, when this returns 0 */
int state_sync(struct state *s, struct err *e);

/* state_mark - before writing below `upto`: make the high-water mark at least that, synced. Cheap when it is already. */
int state_mark(struct state *s, uint64_t upto, struct err *e);

/*
 * state_settle - the restore ends before it is finished: nothing was written at or behind `reached` by it, so the mark goes back there
 *
 * Never below where it stood when the record was opened. When it fails the mark may be higher than need be.
 */
int state_settle(struct state *s, uint64_t reached, struct err *e);

/* state_withdraw - nothing was cleared of what this attempt saved: a record that it began is of no use, and is removed */
void state_withdraw(struct state *s);

/* state_finish - the target is complete: the record is closed and will not be continued; one that saved nothing is removed */
int state_finish(struct state *s, const uint8_t root[32], struct err *e);

/*
 * state_lock_folder - nobody else begins or removes records in a folder until the descriptor is closed; -1: that cannot be had
 * state_prune - of the finished records (*.state) in a locked folder the newest stay, the others are removed; what cannot be removed stays
 */
int state_lock_folder(const char *folder);
void state_prune(int folder, size_t keep);

/* state_fd_is_finished - is this file, beyond doubt, the record of a restore that was finished? */
bool state_fd_is_finished(int fd);

/* state_is_open - is this an unfinished record of an earlier attempt? */
bool state_is_open(const struct state *s);

/* state_is_begun - does the record tell of anything that was done to the target, or was to be done? */
bool state_is_begun(const struct state *s);
/* state_saved_bytes - how many bytes of the target it holds */
uint64_t state_saved_bytes(const struct state *s);

/* state_path - where the record lies, "" when nothing had to be saved */
const char *state_path(const struct state *s);

void state_close(struct state *s);
AUTO_DEFINE(state, state_close)

#endif
