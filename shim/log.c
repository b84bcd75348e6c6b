/* The container's log: one JSON object a line, {"log":"text\n","stream":"stdout","time":"…"}.
 *
 * Bytes that are not UTF-8 are kept as lone surrogates \udc80 to \udcff, so that a reader can have the
 * exact bytes back and every JSON parser can read the rest. A line longer than LINE_MAX_BYTES is written in
 * parts, all but the last without the newline. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static void log_name(char *name, size_t cap, u32 number)
{
	if (number)
		snprintf(name, cap, "log.json.%u", number);
	else
		snprintf(name, cap, "log.json");
}

void log_open(struct log *log, int dir, u64 limit, u32 files)
{
	struct stat st;

	log->dir = dir;
	log->limit = limit;
	log->files = files;
	log->fd = openat(dir, "log.json", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (u64)st.st_size : 0;
}

static void rotate(struct log *log)
{
	char from[32], to[32];

	for (u32 n = log->files; n > 0; n--) {
		log_name(from, sizeof(from), n - 1);
		log_name(to, sizeof(to), n);
		renameat(log->dir, from, log->dir, to); /* may not be there yet */
	}
	if (log->files == 0)
		unlinkat(log->dir, "log.json", 0);
	close(log->fd);
	log_open(log, log->dir, log->limit, log->files);
}

static void put(struct log *log, const char *text, size_t size)
{
	while (size && log->fd >= 0) {
		ssize_t n = write(log->fd, text, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			log->lost += size; /* a full disk must not stop the workload */
			return;
		}
		log->size += n;
		text += n;
		size -= n;
	}
}

/* How many bytes of valid UTF-8 start at s: 1 to 4, or 0. */
static int utf8_length(const unsigned char *s, size_t left)
{
	u32 value;
	int n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, value = s[0] & 0x1f;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3, value = s[0] & 0x0f;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, value = s[0] & 0x07;
	else
		return 0;
	if ((size_t)n > left)
		return 0;
	for (int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (s[i] & 0x3f);
	}
	if (n == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff)))
		return 0;
	if (n == 4 && (value < 0x10000 || value > 0x10ffff))
		return 0;
	return n;
}

/* Writes text as the inside of a JSON string. out has room for six bytes for each of text. */
static size_t escape(char *out, const char *text, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)text;
	char *o = out;

	for (size_t i = 0; i < size;) {
		int n = utf8_length(s + i, size - i);
		unsigned char b = s[i];
		if (n == 1 && b >= 0x20 && b != '"' && b != '\\') {
			*o++ = b;
		} else if (n > 1) {
			memcpy(o, s + i, n);
			o += n;
		} else if (n == 1 && (b == '"' || b == '\\')) {
			*o++ = '\\';
			*o++ = b;
		} else if (b == '\n' || b == '\r' || b == '\t') {
			*o++ = '\\';
			*o++ = b == '\n' ? 'n' : b == '\r' ? 'r' : 't';
		} else {
			const char *prefix = n == 0 ? "\\udc" : "\\u00";
			memcpy(o, prefix, 4);
			o[4] = hex[b >> 4];
			o[5] = hex[b & 15];
			o += 6;
		}
		i += n ? n : 1;
	}
	return o - out;
}

static void entry(struct log *log, int stream, const char *text, size_t size)
{
	static char out[LINE_MAX_BYTES * 6 + 128];
	struct timespec now;
	struct tm tm;
	size_t n;

	if (log->limit && log->size >= log->limit)
		rotate(log);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	memcpy(out, "{\"log\":\"", 8);
	n = 8 + escape(out + 8, text, size);
	n += snprintf(out + n, 120,
		      "\",\"stream\":\"%s\",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"}\n",
		      stream == 2 ? "stderr" : "stdout", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		      tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
	put(log, out, n);
}

void log_output(struct log *log, struct line *line, int stream, const char *data, size_t size)
{
	if (log->fd < 0)
		return;
	while (size) {
		const char *newline = memchr(data, '\n', size);
		size_t n = newline ? (size_t)(newline - data) + 1 : size;
		if (n > LINE_MAX_BYTES - line->used)
			n = LINE_MAX_BYTES - line->used, newline = NULL;
		if (line->used == 0 && (newline || n == LINE_MAX_BYTES)) {
			entry(log, stream, data, n);
		} else {
			if (!line->text && !(line->text = malloc(LINE_MAX_BYTES))) {
				log->lost += size;
				return;
			}
			memcpy(line->text + line->used, data, n);
			line->used += n;
			if (newline || line->used == LINE_MAX_BYTES)
				log_flush(log, line, stream);
		}
		data += n;
		size -= n;
	}
}

void log_flush(struct log *log, struct line *line, int stream)
{
	if (line->used)
		entry(log, stream, line->text, line->used);
	line->used = 0;
}
