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

/* An entry that a crash has cut off gets a line of its own: no reader takes it for one. */
static void end_torn_line(struct log *log)
{
	char last;

	if (log->size && pread(log->fd, &last, 1, log->size - 1) == 1 && last != '\n' &&
	    write(log->fd, "\n", 1) == 1)
		log->size++;
}

static void open_file(struct log *log)
{
	struct stat st;

	log->fd = openat(log->dir, "log.json", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (u64)st.st_size : 0;
	if (log->fd >= 0)
		end_torn_line(log);
}

void log_open(struct log *log, int dir, u64 limit, u32 files)
{
	*log = (struct log){ .wanted = true, .dir = dir, .limit = limit, .files = files };
	open_file(log);
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
	open_file(log);
}

/* Writes whole entries. What cannot be written is counted: a full disk must not stop the workload. */
static void put(struct log *log, const char *text, size_t size)
{
	size_t done = 0;

	if (log->fd < 0)
		open_file(log);
	while (log->fd >= 0 && done < size) {
		ssize_t n = write(log->fd, text + done, size - done);
		if (n >= 0)
			done += n;
		else if (errno != EINTR)
			break;
	}
	if (done == size) {
		log->size += size;
		return;
	}
	/* No half entries: the next one would be read as a part of it. */
	log->lost += size;
	if (log->fd >= 0 && done && ftruncate(log->fd, log->size) < 0)
		log->size += done;
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

/* Entries are gathered and written together: a chunk of output is usually many short lines. */
static struct {
	char text[LINE_MAX_BYTES * 6 + 128];
	size_t used;
} batch;

enum { BATCH_BYTES = 16384 };

static void write_batch(struct log *log)
{
	if (batch.used)
		put(log, batch.text, batch.used);
	batch.used = 0;
}

/* The time as entries end with it, which is the same for all that was read at once. */
static const char *stamp(void)
{
	static char text[64];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"}\n", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
	return text;
}

static char *append(char *to, const char *text, size_t size)
{
	memcpy(to, text, size);
	return to + size;
}

static void entry(struct log *log, int stream, const char *text, size_t size, const char *time)
{
	static const char out[] = "\",\"stream\":\"stdout\",\"time\":\"";
	static const char err[] = "\",\"stream\":\"stderr\",\"time\":\"";

	if (batch.used > BATCH_BYTES || batch.used + size * 6 + 128 > sizeof(batch.text))
		write_batch(log);
	if (log->limit && log->size + batch.used >= log->limit) {
		write_batch(log);
		rotate(log);
	}
	char *at = append(batch.text + batch.used, "{\"log\":\"", 8);
	at += escape(at, text, size);
	at = append(at, stream == 2 ? err : out, sizeof(out) - 1);
	at = append(at, time, strlen(time));
	batch.used = at - batch.text;
}

void log_output(struct log *log, struct line *line, int stream, const char *data, size_t size)
{
	if (!log->wanted)
		return;
	const char *time = stamp();
	while (size) {
		const char *newline = memchr(data, '\n', size);
		size_t n = newline ? (size_t)(newline - data) + 1 : size;
		if (n > LINE_MAX_BYTES - line->used)
			n = LINE_MAX_BYTES - line->used, newline = NULL;
		if (line->used == 0 && (newline || n == LINE_MAX_BYTES)) {
			entry(log, stream, data, n, time);
		} else if (!line->text && !(line->text = malloc(LINE_MAX_BYTES))) {
			log->lost += n;
		} else {
			memcpy(line->text + line->used, data, n);
			line->used += n;
			if (newline || line->used == LINE_MAX_BYTES) {
				entry(log, stream, line->text, line->used, time);
				line->used = 0;
			}
		}
		data += n;
		size -= n;
	}
	write_batch(log);
}

void log_flush(struct log *log, struct line *line, int stream)
{
	if (line->used) {
		entry(log, stream, line->text, line->used, stamp());
		write_batch(log);
	}
	line->used = 0;
}
