/* TCP: spliced through pipes, without a copy to user space. */
#include "relay.h"

#include <netinet/tcp.h>
#include <stdlib.h>

enum {
	PIPE_BYTES = 65536,
	/* Moves of one connection before the others have their turn. */
	TURN = 16,
};

static const u32 UNWATCHED = ~0u;

/* One direction of a connection: from -> pipe -> to. */
struct flow {
	int pipe[2];
	size_t held;	/* bytes in the pipe */
	bool eof, shut; /* the source has ended; the sink was told */
};

struct tcp {
	struct side {
		struct end end;
		struct tcp *tcp;
		u32 watched;
		bool broken; /* hung up or in error: what was received can still be read */
	} side[2];	     /* 0: client, 1: container */
	struct flow flow[2]; /* flow[i] reads from side[i] */
	bool connected, dead;
	struct tcp *next_dead;
};

static int spare = -1;
static struct tcp *graveyard;

void tcp_init(void)
{
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void finish(struct tcp *t)
{
	if (t->dead)
		return;
	t->dead = true;
	for (int i = 0; i < 2; i++) {
		if (t->side[i].end.fd >= 0)
			close(t->side[i].end.fd);
		for (int j = 0; j < 2; j++)
			if (t->flow[i].pipe[j] >= 0)
				close(t->flow[i].pipe[j]);
	}
	/* Events of this round may still point at it. */
	t->next_dead = graveyard;
	graveyard = t;
}

void tcp_bury(void)
{
	while (graveyard) {
		struct tcp *next = graveyard->next_dead;
		free(graveyard);
		graveyard = next;
	}
}

static ssize_t move(int from, int to, size_t most)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Moves what can be moved in direction i, within a turn. Returns false when the connection is broken. */
static bool pump(struct tcp *t, int i)
{
	struct flow *f = &t->flow[i];
	int from = t->side[i].end.fd, to = t->side[!i].end.fd;

	for (int turn = 0; turn < TURN; turn++) {
		/* Only into an empty pipe: small packets fill one long before its bytes are used up, and then
		 * nothing tells whether it is the pipe that is full or the source that is empty. */
		if (!f->held && !f->eof) {
			ssize_t n = move(from, f->pipe[1], PIPE_BYTES);
			if (n == 0)
				f->eof = true;
			else if (n > 0)
				f->held = n;
			else if (errno != EAGAIN)
				return false;
		}
		if (!f->held)
			break;
		ssize_t n = move(f->pipe[0], to, f->held);
		if (n < 0)
			return errno == EAGAIN;
		f->held -= n;
	}
	if (f->eof && !f->held && !f->shut) {
		shutdown(to, SHUT_WR);
		f->shut = true;
	}
	return true;
}

static bool watch_side(struct side *s, u32 events)
{
	if (events == s->watched)
		return true;
	int op = events == UNWATCHED	   ? EPOLL_CTL_DEL :
		 s->watched == UNWATCHED ? EPOLL_CTL_ADD :
					     EPOLL_CTL_MOD;
	s->watched = events;
	return end_watch(op, &s->end, events) == 0;
}

/* Asks for what can be of use now. Returns false when the connection cannot go on. */
static bool watch_both(struct tcp *t)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &t->side[i];
		struct flow *in = &t->flow[i], *out = &t->flow[!i];
		u32 events = 0;
		if (!in->eof && !in->held && t->connected)
			events |= EPOLLIN;
		if (out->held || (i == 1 && !t->connected))
			events |= EPOLLOUT;
		/* A hang-up is reported again and again, wanted or not: nothing more to be had, or not now. */
		if ((in->eof && out->shut) || (s->broken && !events))
			events = UNWATCHED;
		if (!watch_side(s, events))
			return false;
	}
	return true;
}

static bool established(struct tcp *t)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(t->side[1].end.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
		return false;
	t->connected = true;
	return true;
}

static bool proceed(struct side *s, u32 events)
{
	struct tcp *t = s->tcp;
	int i = s == &t->side[1];

	if (events & (EPOLLERR | EPOLLHUP)) {
		s->broken = true;
		/* It has sent all it ever will, and takes no more. */
		if (t->flow[i].eof || (i == 0 && !t->connected))
			return false;
	}
	if (!t->connected && i == 1 && !established(t))
		return false;
	if (t->connected && (!pump(t, 0) || !pump(t, 1)))
		return false;
	return !(t->flow[0].shut && t->flow[1].shut) && watch_both(t);
}

void tcp_event(struct end *end, u32 events)
{
	struct side *s = (struct side *)end;

	if (!s->tcp->dead && !proceed(s, events))
		finish(s->tcp);
}

/* ---- beginning ---- */

static bool open_both(struct tcp *t, const struct listener *l)
{
	int on = 1, to = socket(l->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	t->side[1].end.fd = to;
	if (to < 0 || pipe2(t->flow[0].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    pipe2(t->flow[1].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    (connect(to, (const void *)&l->target, l->target_size) < 0 && errno != EINPROGRESS))
		return false;
	for (int i = 0; i < 2; i++) {
		setsockopt(t->side[i].end.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(t->side[i].end.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	return watch_both(t);
}

/* Turns the next one away: it would wait in the queue, and be reported, for ever. */
static void refuse(const struct listener *l)
{
	close(spare);
	int client = accept4(l->end.fd, NULL, NULL, SOCK_CLOEXEC);
	if (client >= 0)
		close(client);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void tcp_accept(struct listener *l)
{
	int client = accept4(l->end.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client < 0) {
		if (errno == EMFILE || errno == ENFILE)
			refuse(l);
		return;
	}
	struct tcp *t = malloc(sizeof(*t));
	if (!t) {
		close(client);
		return;
	}
	*t = (struct tcp){ .side = { { { TCP_END, client }, t, UNWATCHED, false },
				     { { TCP_END, -1 }, t, UNWATCHED, false } },
			   .flow = { { .pipe = { -1, -1 } }, { .pipe = { -1, -1 } } } };
	if (!open_both(t, l))
		finish(t);
}
