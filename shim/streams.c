/* The output and input of one process: pipes or a terminal, its log, and attached clients.
 *
 * A client is a stream socket that the engine handed over, often a docker client's own connection, so
 * its stream goes on when the engine dies. A client that does not read stops the output (as a pipe
 * would); at most one chunk waits for it. */
#include "process.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { CHUNK = 32768, INPUT = 16384 };

static void client_free(struct client *c)
{
	close(c->fd);
	free(c->out);
	free(c->in);
	free(c);
}

static void client_drop(struct process *p, struct client *c)
{
	for (struct client **at = &p->clients; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			client_free(c);
			return;
		}
}

bool streams_attach(struct process *p, int fd, unsigned flags)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return false;
	*c = (struct client){ .fd = fd, .flags = flags, .next = p->clients };
	p->clients = c;
	return true;
}

static bool client_write(struct client *c, const char *data, size_t size)
{
	if (!c->out_used) {
		ssize_t n = send(c->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0)
			data += n, size -= n;
	}
	if (!size)
		return true;
	char *grown = realloc(c->out, c->out_used + size);
	if (!grown)
		return false;
	c->out = grown;
	memcpy(c->out + c->out_used, data, size);
	c->out_used += size;
	return true;
}

static void client_flush(struct process *p, struct client *c)
{
	ssize_t n = send(c->fd, c->out, c->out_used, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_drop(p, c);
		return;
	}
	if (n <= 0)
		return;
	c->out_used -= n;
	memmove(c->out, c->out + n, c->out_used);
	if (!c->out_used) {
		free(c->out);
		c->out = NULL;
	}
}

/* data has eight writable bytes in front of it, for the frame. */
static void deliver(struct process *p, int stream, char *data, size_t size)
{
	unsigned char header[8] = { stream, 0, 0, 0, size >> 24, size >> 16, size >> 8, size };

	log_output(&p->log, &p->line[stream - 1], stream, data, size);
	memcpy(data - 8, header, 8);
	for (struct client *c = p->clients, *next; c; c = next) {
		next = c->next;
		if (!(c->flags & (stream == 1 ? ATTACH_STDOUT : ATTACH_STDERR)))
			continue;
		int head = c->flags & ATTACH_FRAMED ? 8 : 0;
		if (!client_write(c, data - head, size + head))
			client_drop(p, c);
	}
}

/* Returns false at the end of the stream. */
static bool read_output(struct process *p, int stream, bool all)
{
	static char buffer[8 + CHUNK];
	int fd = stream == 1 ? p->out : p->err;

	do {
		ssize_t n = read(fd, buffer + 8, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false; /* a terminal nobody has open says EIO */
		deliver(p, stream, buffer + 8, n);
	} while (all);
	return true;
}

void streams_drain(struct process *p)
{
	if (p->out >= 0)
		read_output(p, 1, true);
	if (p->err >= 0)
		read_output(p, 2, true);
	log_flush(&p->log, &p->line[0], 1);
	log_flush(&p->log, &p->line[1], 2);
	streams_close_input(p);
	if (p->out >= 0)
		close(p->out);
	if (p->err >= 0)
		close(p->err);
	p->out = p->err = -1;
	free(p->line[0].text);
	free(p->line[1].text);
	p->line[0] = p->line[1] = (struct line){ 0 };
}

void streams_close_input(struct process *p)
{
	/* A terminal's input and output are one descriptor. */
	if (p->in >= 0 && !p->tty)
		close(p->in);
	p->in = -1;
}

static void feed(struct process *p, struct client *c)
{
	while (c->in_used && p->in >= 0) {
		ssize_t n = write(p->in, c->in, c->in_used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			streams_close_input(p);
			break;
		}
		c->in_used -= n;
		memmove(c->in, c->in + n, c->in_used);
	}
	c->in_used = 0;
	if (c->in_eof) {
		free(c->in);
		c->in = NULL;
		if (p->stdin_once && (c->flags & ATTACH_STDIN) && !p->tty)
			streams_close_input(p);
	}
}

static void read_input(struct process *p, struct client *c)
{
	if (!c->in && !(c->in = malloc(INPUT)))
		return;
	ssize_t n = recv(c->fd, c->in, INPUT, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		client_drop(p, c);
		return;
	}
	c->in_eof = n == 0;
	c->in_used = c->flags & ATTACH_STDIN ? n : 0;
	feed(p, c);
}

/* ---- poll ---- */

void streams_watch(struct process *p, struct watch *w)
{
	bool blocked = false, hungry = false;

	for (struct client *c = p->clients; c; c = c->next) {
		short events = 0;
		if (c->out_used)
			events |= POLLOUT, blocked = true;
		if (c->in_used)
			hungry = true;
		else if (!c->in_eof)
			events |= POLLIN;
		watch_add(w, c->fd, events, p, c, WATCH_CLIENT);
	}
	if (!blocked && p->out >= 0 && !p->hung)
		watch_add(w, p->out, POLLIN, p, NULL, WATCH_OUT);
	if (!blocked && p->err >= 0)
		watch_add(w, p->err, POLLIN, p, NULL, WATCH_ERR);
	if (hungry && p->in >= 0)
		watch_add(w, p->in, POLLOUT, p, NULL, WATCH_IN);
}

static bool is_client(struct process *p, struct client *wanted)
{
	for (struct client *c = p->clients; c; c = c->next)
		if (c == wanted)
			return true;
	return false;
}

void streams_event(struct process *p, struct client *c, int kind, short events)
{
	switch (kind) {
	case WATCH_OUT:
		if (p->out < 0 || read_output(p, 1, false))
			return;
		if (p->tty) {
			p->hung = true; /* somebody may open it again; read once more at the exit */
			return;
		}
		close(p->out);
		p->out = -1;
		return;
	case WATCH_ERR:
		if (p->err >= 0 && !read_output(p, 2, false)) {
			close(p->err);
			p->err = -1;
		}
		return;
	case WATCH_IN:
		for (c = p->clients; c; c = c->next)
			feed(p, c);
		return;
	case WATCH_CLIENT:
		if (!is_client(p, c))
			return; /* dropped by an event before this one */
		if (events & POLLOUT)
			client_flush(p, c);
		if (!is_client(p, c))
			return;
		if (events & POLLIN)
			read_input(p, c);
		else if (events & (POLLHUP | POLLERR | POLLNVAL))
			client_drop(p, c);
	}
}

/* After the process's end: clients that have everything are let go. True when none is left. */
bool streams_finished(struct process *p)
{
	for (struct client *c = p->clients, *next; c; c = next) {
		next = c->next;
		if (!c->out_used) {
			client_drop(p, c);
		}
	}
	return !p->clients;
}

void streams_close(struct process *p)
{
	while (p->clients)
		client_drop(p, p->clients);
	for (int i = 0; i < 2; i++)
		free(p->line[i].text);
}

int streams_resize(struct process *p, unsigned rows, unsigned columns)
{
	struct winsize size = { rows, columns, 0, 0 };

	if (!p->tty || p->out < 0)
		return -ENOTTY;
	return ioctl(p->out, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
