/* The engines that are connected to a supervisor: usually one, none while it is being replaced. */
#include "supervisor.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

void tell(const struct message *m, const void *payload, size_t size, const int *fds, int nfds)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i] >= 0)
			wire_send(self.engine[i], m, payload, size, fds, nfds);
}

void answer(int engine, u32 id, int error)
{
	wire_send(engine, &(struct message){ EV_DONE, id, error < 0 ? -error : error, 0 }, NULL, 0, NULL, 0);
}

void hear(int fd)
{
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i] < 0) {
			self.engine[i] = fd;
			return;
		}
	close(fd);
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

	/* Through the descriptor: a path of any length fits, and no name can be swapped. */
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/control.sock", state);
	unlinkat(state, "control.sock", 0);
	umask(0177);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0)
		return -errno;
	umask(022);
	return fd;
}

void report_failure(int engine, u32 id, int error, const struct scene *s)
{
	const char *about = s && s->about ? s->about : "";

	wire_send(engine, &(struct message){ EV_FAILED, id, -error, s ? s->index : 0 }, about,
		  strnlen(about, 1024), NULL, 0);
}
