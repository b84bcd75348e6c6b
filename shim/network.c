/* The container's network as seen from outside: a socket inside of it, and the relays of its ports. */
#include "supervisor.h"

#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* In a child that enters the network, since the supervisor must never be found there. */
static void __attribute__((noreturn)) fetch_netlink(int sock)
{
	struct message m = { 0 };
	int netlink = -1;

	if (syscall(SYS_setns, self.main_pidfd, CLONE_NEWNET) < 0 ||
	    (netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0)
		m.a = errno;
	wire_send(sock, &m, NULL, 0, &netlink, netlink >= 0);
	_exit(0);
}

int open_network(struct engine *e, u32 id)
{
	struct message m;
	struct baggage b;
	int pair[2], error = self.main_pidfd < 0 ? -ESRCH : wire_pair(pair);

	if (error < 0)
		return error;
	pid_t pid = fork();
	if (pid == 0)
		fetch_netlink(pair[1]);
	error = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (!error && (wire_recv(pair[0], &m, NULL, 0, &b) < 0 || b.count != 1))
		error = m.a ? -m.a : -EIO;
	close(pair[0]);
	if (error)
		return error;
	tell_one(e, &(struct message){ EV_DONE, id, 0, 0 }, NULL, 0, b.fds, b.count);
	wire_leave(&b);
	return 1;
}

int relay_start(u32 id, const void *targets, size_t size, const int *fds, int nfds)
{
	struct relay_target own[MAX_FDS];

	if (nfds < 1 || size != (size_t)nfds * sizeof(*own))
		return -EINVAL;
	memcpy(own, targets, size);
	for (size_t i = 0; i < RELAYS; i++) {
		if (self.relay[i].pid)
			continue;
		pid_t own_pid = getpid(), pid = fork();
		if (pid < 0)
			return -errno;
		if (pid == 0)
			relay_main(own_pid, fds, own, nfds);
		self.relay[i].id = id;
		self.relay[i].pid = pid;
		return 0;
	}
	return -ENOSPC;
}

bool relay_ended(pid_t pid)
{
	for (size_t i = 0; i < RELAYS; i++)
		if (self.relay[i].pid == pid) {
			self.relay[i].pid = 0;
			return true;
		}
	return false;
}

int relay_stop(u32 id, bool all)
{
	int found = -ESRCH;

	for (size_t i = 0; i < RELAYS; i++)
		if (self.relay[i].pid && (all || self.relay[i].id == id)) {
			kill(self.relay[i].pid, SIGKILL);
			/* Its ports are free when this is answered. */
			waitpid(self.relay[i].pid, NULL, 0);
			self.relay[i].pid = 0;
			found = 0;
		}
	return found;
}
