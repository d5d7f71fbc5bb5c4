/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Declarations that release what they hold when they go out of scope (gcc and clang "cleanup" attribute). */
#ifndef CALCO_BASE_AUTO_H
#define CALCO_BASE_AUTO_H

#include <stdlib.h>
#include <unistd.h>

static inline void auto_free_(void *p)
{
	free(*(void **)p);
}

static inline void auto_close_fd_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* AUTO_FREE uint8_t *buf = NULL; */
#define AUTO_FREE     __attribute__((cleanup(auto_free_)))
/* AUTO_CLOSE_FD int fd = open(...); */
#define AUTO_CLOSE_FD __attribute__((cleanup(auto_close_fd_)))

/* AUTO_DEFINE(img_reader, img_reader_close) once behind the declaration; then AUTO(img_reader) struct img_reader *r = NULL; */
#define AUTO_DEFINE(type, release)                                                                 \
	static inline void auto_##type##_(struct type **p)                                         \
	{                                                                                          \
		release(*p);                                                                       \
	}
#define AUTO(type) __attribute__((cleanup(auto_##type##_)))

/* take(&p) - give up ownership: returns the pointer and sets p to NULL. */
#define take(pp)                                                                                   \
	({                                                                                         \
		__typeof__(*(pp)) taken_ = *(pp);                                                  \
		*(pp) = NULL;                                                                      \
		taken_;                                                                            \
	})

#endif
