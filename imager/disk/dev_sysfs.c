/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading attributes of sysfs and of udev's database; see dev_env.h. Missing files are ordinary here. */
#include "imager/disk/dev_env.h"

#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const struct dev_env dev_env_system = { .sys = "/sys", .proc = "/proc", .run = "/run", .dev = "/dev" };

bool dev_join(char out[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < PATH_MAX;
}

bool dev_real(const char *path, char out[PATH_MAX])
{
	return realpath(path, out) != NULL;
}

bool dev_is_absent(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ENODEV || error == ENXIO || error == ESRCH || error == EACCES || error == EPERM;
}

int dev_attr_sure(const char *dir, const char *name, void *buf, size_t size, size_t *ret_len, struct err *e)
{
	char path[PATH_MAX];

	*ret_len = 0;
	if (!dev_join(path, dir, name))
		return err_set(e, ERR_FAILED, ENAMETOOLONG, "opening '%s' in '%s'", name, dir);
	AUTO_CLOSE_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return dev_is_absent(errno) ? 0 : err_set(e, ERR_FAILED, errno, "opening '%s'", path);
	while (*ret_len < size) {
		ssize_t n = read(fd, (char *)buf + *ret_len, size - *ret_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !dev_is_absent(errno))
			return err_set(e, ERR_FAILED, errno, "reading '%s'", path);
		if (n <= 0)
			break;
		*ret_len += (size_t)n;
	}
	return 0;
}

size_t dev_attr_raw(const char *dir, const char *name, void *buf, size_t size)
{
	struct err ignored = ERR_INIT;
	size_t len;

	return dev_attr_sure(dir, name, buf, size, &len, &ignored) < 0 ? 0 : len;
}

void dev_clean(char *out, size_t size, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t used = 0;

	while (len && (p[len - 1] <= ' ' || p[len - 1] >= 0x7f))
		len--;
	for (; len && (*p <= ' ' || *p >= 0x7f); len--)
		p++;
	for (; len && used + 1 < size; p++, len--)
		out[used++] = *p >= ' ' && *p < 0x7f ? (char)*p : '?';
	out[used] = '\0';
}

bool dev_attr(const char *dir, const char *name, char *out, size_t size)
{
	char buf[4096];
	size_t n = dev_attr_raw(dir, name, buf, sizeof(buf));

	dev_clean(out, size, buf, n);
	return out[0];
}

/* As dev_attr(), but what cannot be read is an error. */
static int text_sure(const char *dir, const char *name, char *out, size_t size, struct err *e)
{
	char buf[64];
	size_t len;

	if (dev_attr_sure(dir, name, buf, sizeof(buf), &len, e) < 0)
		return -1;
	dev_clean(out, size, buf, len);
	return 0;
}

int dev_attr_u64_sure(const char *dir, const char *name, uint64_t dflt, uint64_t *ret, struct err *e)
{
	char text[32], *end;

	if (text_sure(dir, name, text, sizeof(text), e) < 0)
		return -1;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (text[0] && (errno || *end || text[0] == '-'))
		return err_set(e, ERR_FAILED, 0, "'%s/%s' is not a number: '%s'", dir, name, text);
	*ret = text[0] ? v : dflt;
	return 0;
}

uint64_t dev_attr_u64(const char *dir, const char *name, uint64_t dflt)
{
	struct err ignored = ERR_INIT;
	uint64_t v;

	return dev_attr_u64_sure(dir, name, dflt, &v, &ignored) < 0 ? dflt : v;
}

int dev_number_sure(const char *dir, unsigned *ret_major, unsigned *ret_minor, struct err *e)
{
	char text[32], rest;

	if (text_sure(dir, "dev", text, sizeof(text), e) < 0)
		return -1;
	*ret_major = *ret_minor = 0;
	if (text[0] && sscanf(text, "%u:%u%c", ret_major, ret_minor, &rest) != 2)
		return err_set(e, ERR_FAILED, 0, "'%s/dev' is not a device number: '%s'", dir, text);
	return 0;
}

/* udev writes blanks and odd bytes of the *_ENC properties as \x20. */
static void decode_hex(char *s)
{
	char *out = s;
	unsigned v;

	while (*s) {
		if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &v) == 1 && s[2] && s[3]) {
			*out++ = v ? (char)v : '?';
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

bool dev_udev(const struct dev_env *env, unsigned dev_major, unsigned dev_minor, const char *key, char *out,
	size_t size)
{
	char path[PATH_MAX], line[4096];
	size_t key_len = strlen(key);
	bool found = false;

	snprintf(path, sizeof(path), "%s/udev/data/b%u:%u", env->run, dev_major, dev_minor);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "E:", 2) || strncmp(line + 2, key, key_len) || line[2 + key_len] != '=')
			continue;
		char *value = line + 3 + key_len;
		decode_hex(value);
		dev_clean(out, size, value, strlen(value));
		found = out[0];
	}
	fclose(f);
	return found;
}
