/* The supervisor: one for each container, outside of it, alive as long as it is.
 *
 * It makes the room, gives it the plan, keeps stdio flowing, and writes the exit status into the
 * container's state directory before it tells anybody. The engine may come and go: the first
 * connection is descriptor 3, later ones arrive at control.sock in the state directory. */
#include "supervisor.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

/* How long a client that was told of the end may go on sending. */
#define LINGER_NS 10000000000u

struct supervisor self = {
	.main_pidfd = -1,
	.listener = -1,
	.children = -1,
	.state = -1,
	.record = -1,
	.mounts = -1,
	.nursery = { -1, -1 },
};

struct rlimit files_before;

/* ---- one round ---- */

void watch_add(struct watch *w, int fd, short events, struct process *p, struct client *c, int kind)
{
	if (w->used == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		void *fds = realloc(w->fds, cap * sizeof(*w->fds));
		void *owners = realloc(w->owners, cap * sizeof(*w->owners));
		if (fds)
			w->fds = fds;
		if (owners)
			w->owners = owners;
		if (!fds || !owners)
			return; /* no memory now: this one is watched in a later round */
		w->cap = cap;
	}
	w->fds[w->used] = (struct pollfd){ fd, events, 0 };
	w->owners[w->used++] = (struct owner){ p, c, kind };
}

static void watch_all(struct watch *w)
{
	w->used = 0;
	engines_watch(w);
	if (self.listener >= 0)
		watch_add(w, self.listener, POLLIN, NULL, NULL, WATCH_LISTEN);
	watch_add(w, self.children, POLLIN, NULL, NULL, WATCH_CHILDREN);
	for (struct process *p = self.list; p; p = p->next) {
		if (p->setup >= 0)
			watch_add(w, p->setup, POLLIN, p, NULL, WATCH_SETUP);
		streams_watch(p, w);
	}
}

static bool known(const struct process *wanted)
{
	for (struct process *p = self.list; p; p = p->next)
		if (p == wanted)
			return true;
	return false;
}

static void children_event(void)
{
	struct signalfd_siginfo info[8];

	/* Signals of one kind are merged: the queue is emptied before the children are counted. */
	while (read(self.children, info, sizeof(info)) > 0)
		;
	processes_reap();
}

static void handle_one(const struct owner *o, const struct pollfd *poll)
{
	struct engine *e;

	switch (o->kind) {
	case WATCH_LISTEN:
		accept_engine();
		return;
	case WATCH_CHILDREN:
		children_event();
		return;
	case WATCH_ENGINE:
		e = engine_at(poll->fd);
		if (e)
			engine_event(e, poll->revents);
		return;
	case WATCH_SETUP:
		if (o->process->setup == poll->fd)
			process_heard(o->process);
		return;
	default:
		streams_event(o->process, o->client, o->kind, poll->revents);
	}
}

static void handle(struct watch *w)
{
	for (size_t i = 0; i < w->used; i++) {
		struct owner o = w->owners[i];
		if (w->fds[i].revents && (!o.process || known(o.process)))
			handle_one(&o, &w->fds[i]);
	}
}

/* ---- the end ---- */

/* Returns how long to wait at most, in ms; -1 for ever. Clients that do not stop sending are dropped in time;
 * those that still have something to read get all the time they need. */
static int linger(void)
{
	int wait_ms = -1;

	for (struct process *p = self.list; p; p = p->next) {
		if (!p->exited || !clients_parting(p))
			continue;
		u64 idle = monotonic_ns() - p->progress_ns;
		if (idle >= LINGER_NS)
			clients_drop_parting(p);
		else if (wait_ms < 0 || (LINGER_NS - idle) / 1000000 + 1 < (u64)wait_ms)
			wait_ms = (LINGER_NS - idle) / 1000000 + 1;
	}
	return wait_ms;
}

/* The container is over when its first process is. */
static void let_go(void)
{
	/* Engines have the news; the closed connection tells them that no more will come. */
	engines_leave();
	if (self.listener >= 0)
		close(self.listener);
	self.listener = -1;
	self.over = true;
	/* Where the host's process ids are shared, execs outlive the first process. */
	for (struct process *p = self.list; p; p = p->next)
		if (!p->exited && p->pid > 0)
			kill(p->pid, SIGKILL);
}

/* Clients that have not taken everything are served by a child: the end of this process tells that the
 * container's mounts and its state directory are free. True in the parent. */
static bool hand_over(void)
{
	int *held[] = { &self.mounts, &self.state, &self.record, &self.main->log.fd };

	if (self.resting)
		return false;
	pid_t pid = fork();
	if (pid > 0)
		return true;
	if (pid == 0) {
		prctl(PR_SET_NAME, "casemate-rest");
		for (size_t i = 0; i < COUNT(held); i++)
			if (*held[i] >= 0)
				close(*held[i]);
		self.resting = true;
	}
	return false;
}

static bool finished(void)
{
	bool served = true;

	if (!self.main->exited)
		return false;
	if (!self.over)
		let_go();
	for (struct process *p = self.list; p; p = p->next) {
		if (!p->exited && (p->pid > 0 || p->setup >= 0))
			return false;
		served = served && !p->clients;
	}
	return served || hand_over();
}

/* ---- the beginning ---- */

static void ready_signals(void)
{
	sigset_t blocked;

	/* Only the end of the container ends its supervisor. */
	for (int n = 1; n < _NSIG; n++)
		signal(n, SIG_IGN);
	/* Whoever ignores this one is not told of its children. */
	signal(SIGCHLD, SIG_DFL);
	for (size_t i = 0; i < 5; i++) /* a fault of our own shall end us */
		signal((int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT }[i], SIG_DFL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	self.children = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void settle(int peer)
{
	struct rlimit files;

	prctl(PR_SET_NAME, "casemate-shim");
	/* Children cannot be looked into from their first moment on (CVE-2016-9962). */
	prctl(PR_SET_DUMPABLE, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	close_from(peer < 0 ? 4 : 5);
	if (chdir("/") < 0)
		_exit(1);
	umask(022);
	getrlimit(RLIMIT_NOFILE, &files_before);
	files = files_before;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	ready_signals();
}

static bool open_first_room(u64 flags, int peer)
{
	struct process *p = self.main = process_new(0);
	char path[64];

	if (!p)
		return false;
	if (peer < 0) {
		p->pid = room_open(flags, &self.main_pidfd, &p->setup);
	} else {
		p->pid = room_open_among(peer, flags, &self.main_pidfd, &p->setup);
		close(peer);
	}
	if (p->pid < 0) {
		report_failure(&self.engine[0], 0, p->pid, &(struct scene){ .about = "clone" });
		return false;
	}
	nonblocking(p->setup);
	/* Held, so that unmounting the root (which syncs) does not delay the news of the exit. */
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", p->pid);
	self.mounts = open(path, O_RDONLY | O_CLOEXEC);
	if (flags & CLONE_NEWNET)
		wire_send(p->setup, &(struct message){ REQ_NETLINK, 0, 0, 0 }, NULL, 0, NULL, 0);
	else
		tell(&(struct message){ EV_READY, 0, p->pid, 0 }, NULL, 0, NULL, 0);
	return true;
}

int supervise(u64 room_flags, int peer)
{
	struct watch w = { 0 };

	settle(peer);
	engines_init();
	hear(3);
	if (self.children < 0 || !open_first_room(room_flags, peer))
		return 1;
	for (;;) {
		processes_tidy();
		int wait_ms = linger();
		if (finished())
			return 0;
		watch_all(&w);
		if (poll(w.fds, w.used, wait_ms) > 0)
			handle(&w);
	}
}
