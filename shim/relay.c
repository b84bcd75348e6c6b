/* The relay of published ports: what arrives at bound sockets of the host goes to the container.
 *
 * The sockets are ordinary ones of the host, so its firewall's input rules hold, and loopback, IPv4 and
 * IPv6 are one mechanism. TCP is spliced through pipes without a copy to user space; each UDP client has a
 * connected socket of its own until it has been silent for UDP_IDLE_S. */
#include "shim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

enum { EVENTS = 64, PIPE_BYTES = 65536, UDP_IDLE_S = 90, UDP_CLIENTS = 4096, DATAGRAM = 65536 };

enum kind { LISTENER, TCP_END, UDP_SOCKET, UDP_BACK };

struct end {
	enum kind kind;
	int fd;
};

struct listener {
	struct end end;
	struct sockaddr_storage target;
	socklen_t target_size;
	u16 protocol;
};

/* One direction of a TCP connection: from -> pipe -> to. */
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
	} side[2]; /* 0: client, 1: container */
	struct flow flow[2]; /* flow[i] reads from side[i] */
	bool connected, dead;
	struct tcp *next_dead;
};

struct udp {
	struct end end;
	struct listener *from;
	struct sockaddr_storage client;
	socklen_t client_size;
	time_t last;
	struct udp *next;
};

static int queue, spare = -1;
static struct tcp *graveyard;
static struct udp *udp_clients;
static unsigned udp_count;
static char datagram[DATAGRAM];

static time_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static bool watch(int op, int fd, u32 events, void *owner)
{
	struct epoll_event e = { .events = events, .data.ptr = owner };

	return epoll_ctl(queue, op, fd, &e) == 0;
}

/* ---- TCP ---- */

static void tcp_end(struct tcp *t)
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

static void bury(void)
{
	while (graveyard) {
		struct tcp *next = graveyard->next_dead;
		free(graveyard);
		graveyard = next;
	}
}

/* Moves what can be moved. Returns false when the connection is broken. */
static bool pump(struct tcp *t, int i)
{
	struct flow *f = &t->flow[i];
	int from = t->side[i].end.fd, to = t->side[!i].end.fd;

	for (bool moved = true; moved;) {
		moved = false;
		if (!f->eof && f->held < PIPE_BYTES) {
			ssize_t n = splice(from, NULL, f->pipe[1], NULL, PIPE_BYTES - f->held,
					   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n > 0)
				f->held += n, moved = true;
			else if (n == 0)
				f->eof = true;
			else if (errno != EAGAIN && errno != EINTR)
				return false;
		}
		if (f->held) {
			ssize_t n = splice(f->pipe[0], NULL, to, NULL, f->held,
					   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
			if (n > 0)
				f->held -= n, moved = true;
			else if (n < 0 && errno != EAGAIN && errno != EINTR)
				return false;
		}
	}
	if (f->eof && !f->held && !f->shut) {
		shutdown(to, SHUT_WR);
		f->shut = true;
	}
	return true;
}

static void tcp_watch(struct tcp *t)
{
	for (int i = 0; i < 2; i++) {
		struct flow *in = &t->flow[i], *out = &t->flow[!i];
		u32 events = 0;
		if (in->eof && out->shut) {
			/* Nothing more can happen here, and a hang-up would be reported for ever. */
			epoll_ctl(queue, EPOLL_CTL_DEL, t->side[i].end.fd, NULL);
			continue;
		}
		if (!in->eof && in->held < PIPE_BYTES && t->connected)
			events |= EPOLLIN;
		if (out->held || (i == 1 && !t->connected))
			events |= EPOLLOUT;
		if (events != t->side[i].watched &&
		    watch(EPOLL_CTL_MOD, t->side[i].end.fd, events, &t->side[i].end))
			t->side[i].watched = events;
	}
}

static void tcp_event(struct side *s, u32 events)
{
	struct tcp *t = s->tcp;

	if (t->dead)
		return;
	if (!t->connected && s == &t->side[1]) {
		int error = 0;
		socklen_t size = sizeof(error);
		if (getsockopt(s->end.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) {
			tcp_end(t);
			return;
		}
		t->connected = true;
	}
	if (!t->connected) {
		if (events & (EPOLLERR | EPOLLHUP))
			tcp_end(t);
		return;
	}
	if (!pump(t, 0) || !pump(t, 1) || (t->flow[0].shut && t->flow[1].shut))
		tcp_end(t);
	else
		tcp_watch(t);
}

static void tcp_accept(struct listener *l)
{
	int client = accept4(l->end.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client < 0 && (errno == EMFILE || errno == ENFILE) && spare >= 0) {
		/* Turn it away, or it would wait in the queue and be reported for ever. */
		close(spare);
		client = accept4(l->end.fd, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			close(client);
		spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return;
	}
	if (client < 0)
		return;
	struct tcp *t = calloc(1, sizeof(*t));
	if (!t) {
		close(client);
		return;
	}
	*t = (struct tcp){ .side = { { { TCP_END, client }, t, 0 }, { { TCP_END, -1 }, t, 0 } },
			   .flow = { { .pipe = { -1, -1 } }, { .pipe = { -1, -1 } } } };
	int on = 1, to = socket(l->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	t->side[1].end.fd = to;
	if (to < 0 || pipe2(t->flow[0].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    pipe2(t->flow[1].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    (connect(to, (void *)&l->target, l->target_size) < 0 && errno != EINPROGRESS)) {
		tcp_end(t);
		return;
	}
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!watch(EPOLL_CTL_ADD, client, 0, &t->side[0].end) ||
	    !watch(EPOLL_CTL_ADD, to, EPOLLOUT, &t->side[1].end))
		tcp_end(t);
	else
		t->side[1].watched = EPOLLOUT;
}

/* ---- UDP ---- */

static void udp_forget(struct udp **at)
{
	struct udp *u = *at;

	*at = u->next;
	close(u->end.fd);
	free(u);
	udp_count--;
}

/* Forgets the silent ones; when all are busy, the one that has been silent the longest. */
static void udp_expire(bool need)
{
	time_t limit = seconds() - UDP_IDLE_S;
	struct udp **oldest = NULL;

	for (struct udp **at = &udp_clients; *at;) {
		if ((*at)->last < limit) {
			udp_forget(at);
			need = false;
			oldest = NULL;
			continue;
		}
		if (!oldest || (*at)->last < (*oldest)->last)
			oldest = at;
		at = &(*at)->next;
	}
	if (need && oldest)
		udp_forget(oldest);
}

static struct udp *udp_client(struct listener *l, const struct sockaddr_storage *a, socklen_t size)
{
	for (struct udp *u = udp_clients; u; u = u->next)
		if (u->from == l && u->client_size == size && !memcmp(&u->client, a, size))
			return u;
	struct udp *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->end = (struct end){ UDP_BACK, socket(l->target.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) };
	if (u->end.fd < 0 || connect(u->end.fd, (void *)&l->target, l->target_size) < 0 ||
	    !watch(EPOLL_CTL_ADD, u->end.fd, EPOLLIN, &u->end)) {
		if (u->end.fd >= 0)
			close(u->end.fd);
		free(u);
		return NULL;
	}
	u->from = l;
	u->client = *a;
	u->client_size = size;
	u->next = udp_clients;
	udp_clients = u;
	udp_count++;
	return u;
}

static void udp_arrived(struct listener *l)
{
	for (int burst = 0; burst < 32; burst++) {
		struct sockaddr_storage a = { 0 };
		socklen_t size = sizeof(a);
		ssize_t n = recvfrom(l->end.fd, datagram, sizeof(datagram), MSG_DONTWAIT, (void *)&a, &size);
		if (n < 0)
			return;
		if (udp_count >= UDP_CLIENTS)
			udp_expire(true);
		struct udp *u = udp_client(l, &a, size);
		if (!u)
			continue;
		u->last = seconds();
		send(u->end.fd, datagram, n, MSG_DONTWAIT);
	}
}

static void udp_answered(struct end *end)
{
	struct udp *u = udp_clients;

	/* It may have been forgotten in this very round. */
	while (u && &u->end != end)
		u = u->next;
	for (int burst = 0; u && burst < 32; burst++) {
		ssize_t n = recv(u->end.fd, datagram, sizeof(datagram), MSG_DONTWAIT);
		if (n < 0)
			return;
		u->last = seconds();
		sendto(u->from->end.fd, datagram, n, MSG_DONTWAIT, (void *)&u->client, u->client_size);
	}
}

/* ---- all ---- */

static void set_target(struct listener *l, const struct relay_target *t)
{
	l->protocol = t->protocol;
	if (t->family == AF_INET6) {
		struct sockaddr_in6 *a = (void *)&l->target;
		a->sin6_family = AF_INET6;
		a->sin6_port = htons(t->port);
		memcpy(&a->sin6_addr, t->address, 16);
		l->target_size = sizeof(*a);
	} else {
		struct sockaddr_in *a = (void *)&l->target;
		a->sin_family = AF_INET;
		a->sin_port = htons(t->port);
		memcpy(&a->sin_addr, t->address, 4);
		l->target_size = sizeof(*a);
	}
}

static void handle(struct end *end, u32 events)
{
	switch (end->kind) {
	case LISTENER:
		tcp_accept((struct listener *)end);
		break;
	case UDP_SOCKET:
		udp_arrived((struct listener *)end);
		break;
	case UDP_BACK:
		udp_answered(end);
		break;
	case TCP_END:
		tcp_event((struct side *)end, events);
	}
}

void relay_main(const int *sockets, const struct relay_target *targets, int count)
{
	static struct listener listeners[MAX_FDS];
	struct epoll_event events[EVENTS];
	struct rlimit files;

	prctl(PR_SET_NAME, "casemate-relay");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++)
		if (dup3(sockets[i], 512 + i, O_CLOEXEC) < 0)
			_exit(1);
	for (int fd = 3; fd < 512; fd++)
		close(fd);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	queue = epoll_create1(EPOLL_CLOEXEC);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < count; i++) {
		set_target(&listeners[i], &targets[i]);
		bool udp = targets[i].protocol == IPPROTO_UDP;
		listeners[i].end = (struct end){ udp ? UDP_SOCKET : LISTENER, 512 + i };
		nonblocking(512 + i);
		if (!watch(EPOLL_CTL_ADD, 512 + i, EPOLLIN, &listeners[i].end))
			_exit(1);
	}
	for (;;) {
		int n = epoll_wait(queue, events, EVENTS, udp_clients ? UDP_IDLE_S * 1000 : -1);
		if (n < 0 && errno != EINTR)
			_exit(1);
		for (int i = 0; i < n; i++)
			handle(events[i].data.ptr, events[i].events);
		if (n == 0)
			udp_expire(false);
		bury();
	}
}
