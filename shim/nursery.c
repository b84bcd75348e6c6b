/* The nursery: where the rooms of execs are born. */
#include "shim.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void __attribute__((noreturn)) nursery_main(int sock, int main_pidfd)
{
	struct message m;
	struct baggage b;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "casemate-nurse");
	/* Only for children: they are born into the container's process namespace. */
	if (syscall(SYS_setns, main_pidfd, CLONE_NEWPID) < 0)
		_exit(1);
	close(main_pidfd);
	for (;;) {
		if (wire_recv(sock, &m, NULL, 0, &b) < 0 || b.count != 1)
			_exit(0);
		/* The supervisor's child, not ours: it waits for it. When this fails, the supervisor
		 * sees the end of the room's socket. */
		if (room_clone(CLONE_PARENT, NULL) == 0)
			room_main(b.fds[0], true);
		wire_leave(&b);
	}
}

int nursery_open(struct nursery *n, int main_pidfd)
{
	int pair[2], error = wire_pair(pair);

	if (error < 0)
		return error;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pair[1], 3);
		dup2(main_pidfd, 4);
		close_from(5);
		nursery_main(3, 4);
	}
	int saved = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -saved;
	}
	nonblocking(pair[0]);
	*n = (struct nursery){ pair[0], pid };
	return 0;
}

int nursery_room(struct nursery *n, int *setup)
{
	int pair[2], error = wire_pair(pair);

	if (error < 0)
		return error;
	wire_name_senders(pair[0]);
	if (wire_send(n->sock, &(struct message){ REQ_EXEC, 0, 0, 0 }, NULL, 0, &pair[1], 1) < 0)
		error = -errno;
	close(pair[1]);
	if (error < 0) {
		close(pair[0]);
		return error;
	}
	*setup = pair[0];
	return 0;
}

void nursery_close(struct nursery *n)
{
	if (n->sock < 0)
		return;
	close(n->sock);
	kill(n->pid, SIGKILL); /* reaped with all other children */
	*n = (struct nursery){ -1, -1 };
}
