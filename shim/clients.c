/* Clients that are attached to a process's streams.
 *
 * A client is a stream socket that the engine handed over, often a docker client's own connection, so
 * its stream goes on when the engine dies. A client that does not read stops the output (as a pipe
 * would); little more than one chunk of each stream waits for it. */
#include "process.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	INPUT = 16384,
	/* What may wait for one client: a process leaves up to a pipe's content at its end, and pipes can
	 * be made large from inside. */
	OUTPUT_MAX = 4 << 20,
};

/* What has lost its owner shall not go on without. */
static void orphaned(struct process *p)
{
	if (p->pid > 0 && !p->exited)
		kill(p->pid, SIGKILL);
}

static void client_free(struct client *c)
{
	close(c->fd);
	free(c->out);
	free(c->in);
	free(c);
}

/* No more comes from this client. */
static void input_ended(struct process *p, struct client *c)
{
	if (c->in_eof)
		return;
	c->in_eof = true;
	free(c->in);
	c->in = NULL;
	c->in_used = 0;
	if (p->begun && p->stdin_once && (c->flags & ATTACH_STDIN) && !p->tty)
		input_close(p);
}

void client_drop(struct process *p, struct client *c)
{
	for (struct client **at = &p->clients; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			input_ended(p, c);
			if (c->flags & ATTACH_OWNER)
				orphaned(p);
			client_free(c);
			return;
		}
}

void clients_drop_all(struct process *p)
{
	while (p->clients)
		client_drop(p, p->clients);
}

bool client_attach(struct process *p, int fd, unsigned flags, const char *keys, size_t count)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return false;
	*c = (struct client){ .fd = fd, .flags = flags, .keys_used = count, .next = p->clients };
	memcpy(c->keys, keys, count);
	p->clients = c;
	return true;
}

void input_close(struct process *p)
{
	/* A terminal's input and output are one descriptor. */
	if (p->in >= 0 && !p->tty)
		close(p->in);
	p->in = -1;
}

/* ---- output ---- */

/* It takes no more output, but what it has sent still counts. */
static void mute(struct client *c)
{
	c->gone = true;
	c->flags &= ~(unsigned)(ATTACH_STDOUT | ATTACH_STDERR);
	free(c->out);
	c->out = NULL;
	c->out_used = 0;
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
	if (c->out_used + size > OUTPUT_MAX)
		return false;
	char *grown = realloc(c->out, c->out_used + size);
	if (!grown)
		return false;
	c->out = grown;
	memcpy(c->out + c->out_used, data, size);
	c->out_used += size;
	return true;
}

/* data has FRAME_BYTES writable bytes in front of it. */
void clients_deliver(struct process *p, int stream, char *data, size_t size)
{
	unsigned char header[FRAME_BYTES] = { stream, 0, 0, 0, size >> 24, size >> 16, size >> 8, size };

	memcpy(data - FRAME_BYTES, header, FRAME_BYTES);
	for (struct client *c = p->clients, *next; c; c = next) {
		next = c->next;
		if (!(c->flags & (stream == 1 ? ATTACH_STDOUT : ATTACH_STDERR)))
			continue;
		int head = c->flags & ATTACH_FRAMED ? FRAME_BYTES : 0;
		if (client_write(c, data - head, size + head))
			continue;
		mute(c);
		if (c->in_eof)
			client_drop(p, c);
	}
}

static void flush(struct process *p, struct client *c)
{
	ssize_t n = send(c->fd, c->out, c->out_used, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		mute(c);
	if (n <= 0)
		return;
	p->progress_ns = monotonic_ns();
	c->out_used -= n;
	memmove(c->out, c->out + n, c->out_used);
	if (!c->out_used) {
		free(c->out);
		c->out = NULL;
	}
}

/* ---- input ---- */

static void feed(struct process *p, struct client *c)
{
	while (c->in_used && p->in >= 0) {
		ssize_t n = write(p->in, c->in, c->in_used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			input_close(p);
			break;
		}
		c->in_used -= n;
		memmove(c->in, c->in + n, c->in_used);
	}
	c->in_used = 0;
}

void clients_feed(struct process *p)
{
	for (struct client *c = p->clients; c; c = c->next)
		feed(p, c);
}

/* Puts what the byte, behind the keys that were typed before it, leaves of what can be no detach keys to
 * out; returns how much that is. */
static size_t sift(struct client *c, char byte, char *out)
{
	char held[KEYS_MAX];
	size_t n = 0;

	memcpy(held, c->keys, c->typed);
	held[c->typed++] = byte;
	while (c->typed && memcmp(held, c->keys, c->typed) != 0) {
		out[n++] = held[0];
		memmove(held, held + 1, --c->typed);
	}
	return n;
}

/* Takes the detach keys out of the n bytes that were read behind the room for those that are held back.
 * True when they are complete; what comes after them is nobody's. */
static bool detached(struct client *c, size_t n)
{
	bool complete = false;

	c->in_used = 0;
	for (size_t i = 0; i < n && !complete; i++) {
		c->in_used += sift(c, c->in[KEYS_MAX + i], c->in + c->in_used);
		complete = c->typed == c->keys_used;
	}
	return complete;
}

static void take_input(struct process *p, struct client *c)
{
	if (!c->in && !(c->in = malloc(KEYS_MAX + INPUT)))
		return;
	bool watched = p->tty && c->keys_used && c->flags & ATTACH_STDIN;
	ssize_t n = recv(c->fd, watched ? c->in + KEYS_MAX : c->in, INPUT, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		client_drop(p, c);
		return;
	}
	if (n == 0) {
		memcpy(c->in, c->keys, c->typed); /* what was held back */
		c->in_used = c->typed;
		feed(p, c);
		input_ended(p, c);
		if (c->gone)
			client_drop(p, c);
		return;
	}
	if (c->parting)
		c->talkative = true;
	c->in_used = c->flags & ATTACH_STDIN ? n : 0;
	bool leaves = watched && detached(c, n);
	feed(p, c);
	if (leaves)
		client_drop(p, c);
}

/* ---- poll ---- */

void clients_watch(struct process *p, struct watch *w, bool *blocked, bool *hungry)
{
	for (struct client *c = p->clients; c; c = c->next) {
		if (c->in_used)
			*hungry = true;
		if (c->out_used)
			*blocked = true;
		/* A hang-up is reported whether it is asked for or not: who still has input to be fed is left
		 * alone until then, unless the process is not to outlive it. */
		if (c->in_used && !c->out_used && !(c->flags & ATTACH_OWNER))
			continue;
		short events = (c->out_used ? POLLOUT : 0) | (c->in_used || c->in_eof ? 0 : POLLIN);
		watch_add(w, c->fd, events, p, c, WATCH_CLIENT);
	}
}

void client_event(struct process *p, struct client *c, short events)
{
	if (c->flags & ATTACH_OWNER && events & (POLLERR | POLLHUP)) {
		client_drop(p, c);
		return;
	}
	if (c->out_used && events & (POLLOUT | POLLERR | POLLHUP))
		flush(p, c);
	if (c->in_used)
		return;
	if (c->in_eof) {
		if (c->gone || events & (POLLERR | POLLHUP))
			client_drop(p, c);
	} else if (events & (POLLIN | POLLERR | POLLHUP)) {
		take_input(p, c);
	}
}

/* ---- the end ---- */

/* True when the client can be let go: it has everything. A connection that is closed while something it has
 * sent is unread breaks instead of ending, so a client that may go on sending gets the time to notice. */
static bool parted(struct client *c)
{
	static char rest[4096];

	if (c->out_used)
		return false;
	if (!c->parting)
		shutdown(c->fd, SHUT_WR);
	c->parting = true;
	for (int i = 0; i < 64; i++) {
		ssize_t n = recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return true;
		if (n < 0)
			return !c->talkative && (!(c->flags & ATTACH_STDIN) || c->in_eof);
		c->talkative = true;
	}
	return false;
}

/* After the process's end: lets clients go that have everything. True when none is left. What never ran has
 * nothing to say, but the engine has: it tells the client why, and ends the connection. */
bool clients_part(struct process *p)
{
	for (struct client *c = p->clients, *next; c; c = next) {
		next = c->next;
		if (c->gone || p->failed || parted(c))
			client_drop(p, c);
	}
	return !p->clients;
}

bool clients_parting(struct process *p)
{
	for (struct client *c = p->clients; c; c = c->next)
		if (c->parting)
			return true;
	return false;
}

void clients_drop_parting(struct process *p)
{
	for (struct client *c = p->clients, *next; c; c = next) {
		next = c->next;
		if (c->parting)
			client_drop(p, c);
	}
}
