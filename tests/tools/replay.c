/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * replay: bring a copy of a target to where a power cut would have left it, from the log that writelog made.
 *
 *   replay points LOG                    DISARMED ARM BOOT END: the steps at which the stages begin
 *   replay list LOG                      one line for each step
 *   replay apply LOG DISK FROM TO [CUT]  do the steps FROM to TO-1, and of step TO the first CUT bytes
 *   replay state LOG STEP synced|latest FILE
 *                                        the state record as it was before step STEP, or no file when there was none
 */
#include "tests/tools/crashlog.h"

static size_t number(const char *text, size_t max)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end || n > max)
		log_die("'%s' is not a number up to %zu", text, max);
	return (size_t)n;
}

static void list(const struct log *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		const struct log_record *r = l->steps[i].rec;
		printf("%zu %c %u %llu %llu %s\n", i, r->kind, r->disk, (unsigned long long)r->off, (unsigned long long)r->len, l->steps[i].phase);
	}
}

static void apply(const struct log *l, char **args)
{
	size_t from = number(args[1], l->nr), to = number(args[2], l->nr);
	int fd = open(args[0], O_RDWR | O_CLOEXEC);

	if (fd < 0)
		log_die("%s: %s", args[0], strerror(errno));
	for (size_t i = from; i < to; i++)
		if (l->steps[i].rec->disk == log_disk())
			log_apply(&l->steps[i], fd, UINT64_MAX);
	if (args[3] && to < l->nr && l->steps[to].rec->disk == log_disk())
		log_apply(&l->steps[to], fd, number(args[3], SIZE_MAX));
	close(fd);
}

static void write_state(const struct log *l, char **args)
{
	const struct log_step *s = &l->steps[number(args[0], l->nr)];
	const struct log_record *r = strcmp(args[1], "synced") ? s->latest : s->synced;

	unlink(args[2]);
	if (!r)
		return;
	FILE *out = fopen(args[2], "wb");
	if (!out || fwrite(log_data(r), 1, r->data_len, out) != r->data_len || fclose(out))
		log_die("%s: %s", args[2], strerror(errno));
}

int main(int argc, char **argv)
{
	struct log l = { .nr = 0 };

	if (argc < 3)
		log_die("usage: replay points|list|apply|state LOG ...");
	log_open(&l, argv[2]);
	if (!strcmp(argv[1], "points")) {
		struct log_points p = log_find_points(&l);
		printf("%zu %zu %zu %zu\n", p.disarmed, p.arm, p.boot, p.end);
	} else if (!strcmp(argv[1], "list")) {
		list(&l);
	} else if (!strcmp(argv[1], "apply") && argc >= 6) {
		apply(&l, argv + 3);
	} else if (!strcmp(argv[1], "state") && argc == 6) {
		write_state(&l, argv + 3);
	} else {
		log_die("usage: replay points|list|apply|state LOG ...");
	}
	free(l.steps);
	return 0;
}
