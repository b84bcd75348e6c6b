/* The output of one process: pipes or a terminal, its log, and the clients that are attached. */
#include "process.h"

#include <stdlib.h>
#include <sys/ioctl.h>

enum {
	CHUNK = 32768,
	/* What a terminal can hold: its line discipline's buffer and what is on its way there. */
	TERMINAL_BYTES = 128 << 10,
};

/* Returns how much there was, 0 when there is nothing now, -1 at the end of the stream. */
static ssize_t read_output(struct process *p, int stream, size_t most)
{
	static char buffer[FRAME_BYTES + CHUNK];
	ssize_t n;

	do
		n = read(stream == 1 ? p->out : p->err, buffer + FRAME_BYTES, most < CHUNK ? most : CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	log_output(&p->log, &p->line[stream - 1], stream, buffer + FRAME_BYTES, n);
	clients_deliver(p, stream, buffer + FRAME_BYTES, n);
	return n;
}

/* Reads what is there and closes. Not more: what the process has left behind may go on writing. */
static void drain(struct process *p, int stream)
{
	int *fd = stream == 1 ? &p->out : &p->err, left = 0;

	if (*fd >= 0) {
		if (p->tty)
			left = TERMINAL_BYTES; /* the kernel tells too little: some is on its way */
		else if (ioctl(*fd, FIONREAD, &left) < 0)
			left = 0;
		for (ssize_t n; left > 0 && (n = read_output(p, stream, left)) > 0;)
			left -= n;
		close(*fd);
		*fd = -1;
	}
	log_flush(&p->log, &p->line[stream - 1], stream);
	free(p->line[stream - 1].text);
	p->line[stream - 1] = (struct line){ 0 };
}

void streams_drain(struct process *p)
{
	input_close(p);
	drain(p, 1);
	drain(p, 2);
	if (p->peer >= 0)
		close(p->peer);
	p->peer = -1;
	p->progress_ns = monotonic_ns();
}

void streams_watch(struct process *p, struct watch *w)
{
	bool blocked = false, hungry = false;

	/* What a client sends before there is an input waits in its socket. */
	if (p->begun || p->exited)
		clients_watch(p, w, &blocked, &hungry);
	if (!blocked && p->out >= 0)
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
	int *fd = kind == WATCH_OUT ? &p->out : &p->err;

	switch (kind) {
	case WATCH_OUT:
	case WATCH_ERR:
		if (*fd >= 0 && read_output(p, kind == WATCH_OUT ? 1 : 2, CHUNK) < 0) {
			if (p->tty)
				input_close(p);
			close(*fd);
			*fd = -1;
		}
		return;
	case WATCH_IN:
		clients_feed(p);
		return;
	case WATCH_CLIENT:
		if (is_client(p, c)) /* or dropped by an event before this one */
			client_event(p, c, events);
	}
}

/* Takes over the master side of a terminal. 0 or -errno. */
int streams_terminal(struct process *p, int master)
{
	p->peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	p->out = fcntl(master, F_DUPFD_CLOEXEC, 0);
	if (p->peer < 0 || p->out < 0)
		return -errno;
	nonblocking(p->out);
	p->in = p->stdin_open ? p->out : -1;
	p->begun = true;
	return 0;
}

int streams_resize(struct process *p, unsigned rows, unsigned columns)
{
	struct winsize size = { rows, columns, 0, 0 };

	if (!p->tty || p->out < 0)
		return -ENOTTY;
	if (rows > UINT16_MAX || columns > UINT16_MAX)
		return -EINVAL;
	return ioctl(p->out, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
