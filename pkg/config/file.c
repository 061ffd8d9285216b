/* SPDX-License-Identifier: Apache-2.0
 * A file that holds a value: whole, and not larger than a value can be. */
#include "config/file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool read_whole(int fd, struct buf *into);

bool config_read_file(struct scope *s, int directory, const char *path, struct str *text)
{
	struct buf bytes = buf_new(s->arena);
	const int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
	const bool read_it = fd >= 0 && read_whole(fd, &bytes);
	const int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	*text = buf_str(&bytes);
	if (str_ends(*text, STR("\n")))
		text->len--;
	if (str_ends(*text, STR("\r")))
		text->len--;
	return read_it;
}

static bool read_whole(int fd, struct buf *into)
{
	for (;;) {
		char *room = buf_room(into, 4096);
		const ssize_t got = read(fd, room, 4096);

		if (got < 0)
			return false;
		if (got == 0)
			return true;
		into->len += (size_t)got;
		if (into->len > CONFIG_FILE_BYTES_MAX) {
			errno = EFBIG;
			return false;
		}
	}
}
