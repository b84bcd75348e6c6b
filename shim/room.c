/* A room: a child that waits for its plan. The namespaces are made with it, so that a room can be
 * ready before anybody knows what will run in it. */
#include "shim.h"

#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* linux/sched.h: struct clone_args, first version. */
struct clone_request {
	u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static pid_t clone_room(u64 flags, int *pidfd)
{
	struct clone_request r = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (u64)(uintptr_t)pidfd,
		/* A sibling's parent gets the signal that the caller's parent chose. */
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &r, sizeof(r));

	/* Filters of outer containers hide clone3 (ENOSYS); clone cannot make a time namespace. */
	if (pid < 0 && errno == ENOSYS)
		pid = syscall(SYS_clone, (flags & ~(u64)CLONE_NEWTIME) | CLONE_PIDFD | r.exit_signal, 0,
			      pidfd, 0, 0);
	return pid;
}

/* ---- the nursery ---- */

static void __attribute__((noreturn)) nursery_main(int sock, int main_pidfd)
{
	struct message m;
	int setup, pidfd;

	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "casemate-nurse");
	/* Only for children: they are born into the container's process namespace. */
	if (syscall(SYS_setns, main_pidfd, CLONE_NEWPID) < 0)
		_exit(1);
	for (;;) {
		int count = 1;
		if (wire_recv(sock, &m, NULL, 0, &setup, &count) < 0 || count != 1)
			_exit(0);
		/* The supervisor's child, not ours: it waits for it. */
		pid_t pid = clone_room(CLONE_PARENT, &pidfd);
		if (pid == 0)
			room_main(setup);
		m.a = pid < 0 ? -errno : pid;
		close(setup);
		if (pid > 0)
			close(pidfd);
		wire_send(sock, &m, NULL, 0, NULL, 0);
	}
}

int nursery_open(struct nursery *n, int main_pidfd)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pair[1], 3);
		dup2(main_pidfd, 4);
		syscall(SYS_close_range, 5, ~0u, 0);
		nursery_main(3, 4);
	}
	int saved = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -saved;
	}
	*n = (struct nursery){ pair[0], pid };
	return 0;
}

int nursery_room(struct nursery *n, pid_t *pid, int *setup)
{
	struct message m = { REQ_EXEC, 0, 0, 0 };
	int pair[2], none = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	int error = wire_send(n->sock, &m, NULL, 0, &pair[1], 1);
	close(pair[1]);
	/* It may be gone (the kernel picked it when the cgroup ran out of memory): do without. */
	if (error < 0 || wire_recv(n->sock, &m, NULL, 0, NULL, &none) < 0 || m.a <= 0) {
		close(pair[0]);
		nursery_close(n);
		return -ECHILD;
	}
	*pid = m.a;
	*setup = pair[0];
	return 0;
}

void nursery_close(struct nursery *n)
{
	if (n->sock < 0)
		return;
	close(n->sock);
	kill(n->pid, SIGKILL);
	waitpid(n->pid, NULL, 0);
	*n = (struct nursery){ -1, -1 };
}

/* ---- rooms ---- */

pid_t room_open(u64 flags, int *pidfd, int *setup)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = clone_room(flags, pidfd);
	if (pid == 0)
		room_main(pair[1]);
	int saved = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -saved;
	}
	*setup = pair[0];
	return pid;
}

static void default_signals(void)
{
	sigset_t none;

	for (int n = 1; n < _NSIG; n++)
		signal(n, SIG_DFL); /* fails for KILL, STOP and the C library's own: nothing to reset */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The room's own network socket lets the engine configure interfaces without entering. */
static int announce(int setup)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (inet < 0 || netlink < 0 || ioctl(inet, SIOCSIFFLAGS, &lo) < 0)
		return -errno;
	close(inet);
	int sent = wire_send(setup, &(struct message){ EV_READY, 0, 0, 0 }, NULL, 0, &netlink, 1);
	close(netlink);
	return sent < 0 ? -errno : 0;
}

static void __attribute__((noreturn)) fail(int setup, const struct scene *s, int error)
{
	const char *about = s->about ? s->about : "";

	wire_send(setup, &(struct message){ EV_FAILED, 0, error, s->index }, about,
		  strnlen(about, 1024), NULL, 0);
	_exit(125);
}

/* Executes the inside steps of the plan in fd; when this fails there is nothing more to do here. */
static void run(int fd, struct scene *s)
{
	struct plan plan;
	int error = plan_map(fd, &plan);

	close(fd);
	if (error == 0)
		error = steps_run(plan.inside, s);
	if (error < 0)
		fail(s->setup, s, -error); /* what it was about may be text of the plan */
	plan_unmap(&plan);
}

/* Only descriptor 3 goes along, and nothing of ours may be looked into until the workload's exec
 * (CVE-2016-9962). */
static void shut(int setup)
{
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "casemate-room");
	default_signals();
	if (setup != 3 && dup2(setup, 3) < 0)
		_exit(125);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, 4, ~0u, 0);
	setsid();
}

void room_main(int setup)
{
	struct scene s = { .setup = 3 };
	struct message m;
	int fds[MAX_FDS], count;

	shut(setup);
	for (int i = 0; i < REGISTERS; i++)
		s.reg[i] = -1;
	do {
		count = MAX_FDS;
		if (wire_recv(3, &m, NULL, 0, fds, &count) < 0)
			_exit(125); /* the supervisor is gone */
		if (m.kind == REQ_NETLINK) {
			int error = announce(3);
			if (error < 0)
				fail(3, &(struct scene){ .about = "loopback" }, -error);
		} else if (m.kind == REQ_PREPARE && count == 1) {
			run(fds[0], &s);
		}
	} while (m.kind != REQ_START);
	for (int i = 0; i < 3; i++)
		if (count < 4 || dup2(fds[1 + i], i) < 0)
			_exit(125);
	for (int i = 1; i < 4; i++)
		close(fds[i]);
	for (int i = 4; i < count && i - 4 < REGISTERS; i++)
		s.reg[i - 4] = fds[i];
	run(fds[0], &s);
	fail(3, &s, ENOEXEC); /* a plan that ends without exec */
}
