/* The relay of published ports: what arrives at bound sockets of the host goes to the container.
 *
 * The sockets are ordinary ones of the host, so its firewall's input rules hold, and loopback, IPv4 and
 * IPv6 are one mechanism. */
#include "relay.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>

enum { EVENTS = 64 };

static int queue;

int end_watch(int op, struct end *end, u32 events)
{
	struct epoll_event e = { .events = events, .data.ptr = end };

	return epoll_ctl(queue, op, end->fd, &e);
}

static void set_target(struct listener *l, const struct relay_target *t)
{
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
		tcp_event(end, events);
	}
}

/* Keeps the sockets, from 3 on, and nothing else of the supervisor's. */
static void keep_only(const int *sockets, int count)
{
	int high[MAX_FDS];

	for (int i = 0; i < count; i++)
		if ((high[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, 3 + count)) < 0)
			_exit(1);
	for (int i = 0; i < count; i++)
		if (dup3(high[i], 3 + i, O_CLOEXEC) < 0)
			_exit(1);
	close_from(3 + count);
}

void relay_main(pid_t supervisor, const int *sockets, const struct relay_target *targets, int count)
{
	static struct listener listeners[MAX_FDS];
	struct epoll_event events[EVENTS];

	prctl(PR_SET_NAME, "casemate-relay");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(0); /* it ended before it could take us along */
	keep_only(sockets, count);
	queue = epoll_create1(EPOLL_CLOEXEC);
	tcp_init();
	for (int i = 0; i < count; i++) {
		struct listener *l = &listeners[i];
		bool udp = targets[i].protocol == IPPROTO_UDP;
		set_target(l, &targets[i]);
		l->end = (struct end){ udp ? UDP_SOCKET : LISTENER, 3 + i };
		nonblocking(l->end.fd);
		if (udp)
			udp_init(l);
		if (end_watch(EPOLL_CTL_ADD, &l->end, EPOLLIN) < 0)
			_exit(1);
	}
	for (;;) {
		int n = epoll_wait(queue, events, EVENTS, udp_tidy());
		if (n < 0 && errno != EINTR)
			_exit(1);
		for (int i = 0; i < n; i++)
			handle(events[i].data.ptr, events[i].events);
		tcp_bury();
	}
}
