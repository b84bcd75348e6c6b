/* A room: a child that waits for its plan. The namespaces are made with it, so that a room can be
 * ready before anybody knows what will run in it. */
#include "shim.h"

#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* linux/sched.h: struct clone_args, first version. */
struct clone_request {
	u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

pid_t room_clone(u64 flags, int *pidfd)
{
	struct clone_request r = {
		.flags = flags | (pidfd ? CLONE_PIDFD : 0),
		.pidfd = (u64)(uintptr_t)pidfd,
		/* A sibling's parent gets the signal that the caller's parent chose: SIGCHLD as well. */
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &r, sizeof(r));

	/* Filters of outer containers hide clone3 (ENOSYS); clone cannot make a time namespace. */
	if (pid < 0 && errno == ENOSYS)
		pid = syscall(SYS_clone, (r.flags & ~(u64)CLONE_NEWTIME) | r.exit_signal, 0, pidfd, 0, 0);
	return pid;
}

pid_t room_open(u64 flags, int *pidfd, int *setup)
{
	int pair[2], error = wire_pair(pair);

	if (error < 0)
		return error;
	pid_t pid = room_clone(flags, pidfd);
	if (pid == 0)
		room_main(pair[1], false);
	int saved = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -saved;
	}
	*setup = pair[0];
	return pid;
}

pid_t room_open_among(int other, u64 flags, int *pidfd, int *setup)
{
	/* Only children are born into the namespace; back again, so that no other child is. */
	int own = pidfd_of(getpid());

	if (own < 0)
		return -errno;
	pid_t pid = syscall(SYS_setns, other, CLONE_NEWPID) < 0 ? -errno : 0;
	if (!pid) {
		pid = room_open(flags, pidfd, setup);
		if (syscall(SYS_setns, own, CLONE_NEWPID) < 0)
			abort(); /* relays would be born inside */
	}
	close(own);
	return pid;
}

/* ---- inside ---- */

static void default_signals(void)
{
	sigset_t none;

	for (int n = 1; n < _NSIG; n++)
		signal(n, SIG_DFL); /* fails for KILL, STOP and the C library's own: nothing to reset */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The room's own network socket lets the engine configure interfaces without entering. */
static int announce_network(int setup)
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

static void __attribute__((noreturn)) fail(const struct scene *s, int error)
{
	const char *about = s->about ? s->about : "";

	wire_send(s->setup, &(struct message){ EV_FAILED, 0, error, s->index | (s64)s->part << 32 }, about,
		  strnlen(about, 1024), NULL, 0);
	_exit(125);
}

/* Executes the inside steps of the plan in fd; when this fails there is nothing more to do here. */
static void run(int fd, struct scene *s, enum part part)
{
	struct plan plan;
	int error = plan_map(fd, &plan);

	close(fd);
	s->part = part;
	if (error == 0)
		error = steps_run(plan.inside, s);
	if (error < 0)
		fail(s, -error); /* what it was about may be text of the plan */
	plan_unmap(&plan);
}

/* Only descriptor 3 goes along. Nothing of ours may be looked into until the workload's exec
 * (CVE-2016-9962): the supervisor cannot be dumped either, so there is no moment before this. */
static void shut(int setup)
{
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "casemate-room");
	default_signals();
	setrlimit(RLIMIT_NOFILE, &files_before);
	if (setup != 3 && dup2(setup, 3) < 0)
		_exit(125);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	close_from(4);
	setsid();
}

/* Answers what is asked of a waiting room, until its start; what came with that is in b. */
static void wait_for_start(struct scene *s, struct baggage *b)
{
	struct message m;

	for (;;) {
		if (wire_recv(s->setup, &m, NULL, 0, b) < 0)
			_exit(125); /* the supervisor is gone */
		if (m.kind == REQ_START && b->count >= 4)
			return;
		if (m.kind == REQ_PREPARE && b->count == 1) {
			run(b->fds[0], s, PART_AHEAD);
			wire_send(s->setup, &(struct message){ EV_DONE, 0, 0, 0 }, NULL, 0, NULL, 0);
		} else if (m.kind == REQ_NETLINK) {
			int error = announce_network(s->setup);
			if (error < 0)
				fail(&(struct scene){ .setup = s->setup, .about = "loopback" }, -error);
		} else
			fail(&(struct scene){ .setup = s->setup, .about = "request" }, EBADMSG);
	}
}

void room_main(int setup, bool announce)
{
	struct scene s = { .setup = 3 };
	struct baggage b;

	shut(setup);
	if (announce)
		wire_send(3, &(struct message){ EV_BORN, 0, 0, 0 }, NULL, 0, NULL, 0);
	for (int i = 0; i < REGISTERS; i++)
		s.reg[i] = -1;
	wait_for_start(&s, &b);
	for (int i = 0; i < 3; i++)
		if (dup2(b.fds[1 + i], i) < 0)
			_exit(125);
	for (int i = 1; i < 4; i++)
		close(b.fds[i]);
	for (int i = 4; i < b.count && i - 4 < REGISTERS; i++)
		s.reg[i - 4] = b.fds[i];
	run(b.fds[0], &s, PART_START);
	fail(&s, ENOEXEC); /* a plan that ends without exec */
}
