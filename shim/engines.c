/* The engines that are connected to a supervisor: usually one, none while it is being replaced.
 *
 * An engine that does not read keeps nobody waiting: what it has no room for is kept for it, and it is not
 * listened to until it has taken that. */
#include "supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

void engines_init(void)
{
	for (int i = 0; i < ENGINES; i++)
		self.engine[i] = (struct engine){ .fd = -1 };
}

struct engine *engine_at(int fd)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i].fd == fd)
			return &self.engine[i];
	return NULL;
}

static void leave(struct engine *e)
{
	for (struct unsent *u = e->first, *next; u; u = next) {
		next = u->next;
		free(u);
	}
	/* Nobody else will start what this engine has announced by a client. */
	for (struct process *p = self.list, *next; p; p = next) {
		next = p->next;
		if (p->id && p->pid < 0 && p->setup < 0 && p->asked_by == e->fd)
			process_forget(p);
	}
	close(e->fd);
	*e = (struct engine){ .fd = -1 };
}

void engines_leave(void)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i].fd >= 0)
			leave(&self.engine[i]);
}

/* ---- speaking ---- */

static void keep(struct engine *e, const struct message *m, const void *payload, size_t size)
{
	struct unsent *u = malloc(sizeof(*u) + size);

	if (!u) {
		/* It must not believe that it knows everything: it learns the rest when it connects again. */
		shutdown(e->fd, SHUT_RDWR);
		return;
	}
	*u = (struct unsent){ .m = *m, .size = size };
	if (size)
		memcpy(u->payload, payload, size);
	*(e->first ? e->last : &e->first) = u;
	e->last = &u->next;
}

void tell_one(struct engine *e, const struct message *m, const void *payload, size_t size, const int *fds,
	      int nfds)
{
	/* Only the first news of all and the answer to REQ_NETLINK have descriptors: they are not kept. */
	if (!e->first && (wire_send(e->fd, m, payload, size, fds, nfds) == 0 || errno != EAGAIN))
		return; /* or it is gone, as its end of the connection will tell */
	keep(e, m, payload, size);
}

void tell(const struct message *m, const void *payload, size_t size, const int *fds, int nfds)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i].fd >= 0)
			tell_one(&self.engine[i], m, payload, size, fds, nfds);
}

void answer(struct engine *e, u32 id, int error)
{
	tell_one(e, &(struct message){ EV_DONE, id, error < 0 ? -error : error, 0 }, NULL, 0, NULL, 0);
}

void report_failure(struct engine *e, u32 id, int error, const struct scene *s)
{
	const char *about = s->about ? s->about : "";
	struct message m = { EV_FAILED, id, -error, s->index | (s64)s->part << 32 };

	tell_one(e, &m, about, strnlen(about, 1024), NULL, 0);
}

static void catch_up(struct engine *e)
{
	for (struct unsent *u; (u = e->first);) {
		if (wire_send(e->fd, &u->m, u->payload, u->size, NULL, 0) < 0 && errno == EAGAIN)
			return;
		e->first = u->next;
		free(u);
	}
}

/* ---- listening ---- */

void engines_watch(struct watch *w)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i].fd >= 0)
			watch_add(w, self.engine[i].fd, self.engine[i].first ? POLLOUT : POLLIN, NULL, NULL,
				  WATCH_ENGINE);
}

static void take_request(struct engine *e)
{
	static char payload[MAX_PAYLOAD];
	struct message m;
	struct baggage b;

	ssize_t size = wire_recv(e->fd, &m, payload, sizeof(payload), &b);
	if (size >= 0) {
		int result = perform(e, &m, payload, size, b.fds, b.count);
		wire_leave(&b);
		if (result <= 0)
			answer(e, m.id, result);
	} else if (errno == EBADMSG) {
		cut_short(e, &m);
	} else if (errno != EAGAIN) {
		leave(e);
		/* Nobody can ask for anything yet: a room that was kept ready is not needed any more. */
		if (self.state < 0)
			_exit(0);
	}
}

void engine_event(struct engine *e, short events)
{
	if (!e->first || events & (POLLERR | POLLHUP))
		take_request(e);
	else
		catch_up(e);
}

void hear(int fd)
{
	struct engine *e = engine_at(-1);

	if (!e) {
		close(fd);
		return;
	}
	nonblocking(fd);
	*e = (struct engine){ .fd = fd };
}

void accept_engine(void)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int fd = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid())
		hear(fd);
	else
		close(fd);
}

int listen_in(int state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	/* Through the descriptor: a path of any length fits, and no name can be swapped. */
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/control.sock", state);
	unlinkat(state, "control.sock", 0);
	mode_t before = umask(0177);
	int error = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0 ? -errno : 0;
	umask(before);
	if (error < 0)
		close(fd);
	return error < 0 ? error : fd;
}
