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

struct state;

/* state_default - the usual place for the record of a target, in the local state directory. ERR_FAILED when there is none. */
int state_default(const char *target, char *ret, size_t size, struct err *e);

/*
 * state_open - open or begin the record of a target
 * @target, @target_size: what it is the record of; an unfinished record of another target is ERR_REFUSED ("state")
 *
 * An unfinished record is continued: what it saved stays. A finished one (state_finish) begins anew; a damaged one is ERR_CORRUPT, since
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

/* state_check - would state_save() refuse these bytes? Nothing is written. */
int state_check(const struct state *s, uint64_t start, const uint8_t *bytes, size_t len, struct err *e);

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

/* state_forget - nothing was cleared of what this attempt saved: a record that it began is of no use, and is removed */
void state_forget(struct state *s);

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

/* state_is_of_file - was the record begun for this very plain file, and not for another one of its name? */
bool state_is_of_file(const struct state *s, const char *path);

/* state_path - where the record lies, "" when nothing had to be saved */
const char *state_path(const struct state *s);

void state_close(struct state *s);
AUTO_DEFINE(state, state_close)

#endif
