/* The supervisor: one for each container, outside of it, alive as long as it is.
 *
 * It makes the room, gives it the plan, keeps stdio flowing, and writes the exit status into the
 * container's state directory before it tells anybody. The engine may come and go: the first
 * connection is descriptor 3, later ones arrive at control.sock in the state directory. */
#include "supervisor.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct supervisor self = {
	.engine = { -1, -1, -1, -1 },
	.listener = -1,
	.state = -1,
	.mounts = -1,
	.nursery = { -1, -1 },
};

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

struct process *process_find(u32 id)
{
	for (struct process *p = self.list; p; p = p->next)
		if (p->id == id)
			return p;
	return NULL;
}

struct process *process_new(u32 id)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p) {
		*p = (struct process){ .id = id, .pid = -1, .pidfd = -1, .setup = -1, .in = -1, .out = -1,
				       .err = -1, .log = { .fd = -1 }, .next = self.list };
		self.list = p;
	}
	return p;
}

void process_forget(struct process *p)
{
	for (struct process **at = &self.list; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	streams_close(p);
	free(p);
}

/* Finished execs are remembered until the engine has their status, the newest KEPT_EXITS of them. */
static void forget_old_exits(void)
{
	int kept = 0;

	for (struct process *p = self.list, *next; p; p = next) {
		next = p->next;
		if (p->id && p->exited && !p->clients && ++kept > KEPT_EXITS)
			process_forget(p);
	}
}

static void engine_event(int slot)
{
	static char payload[MAX_PAYLOAD];
	int fds[MAX_FDS], nfds = MAX_FDS, engine = self.engine[slot];
	struct message m;

	ssize_t size = wire_recv(engine, &m, payload, sizeof(payload), fds, &nfds);
	if (size < 0) {
		if (errno == EAGAIN)
			return;
		close(engine);
		self.engine[slot] = -1;
		/* Nobody can ask for anything yet: a room that was kept ready is not needed any more. */
		if (self.state < 0)
			_exit(0);
		return;
	}
	int result = perform(engine, &m, payload, size, fds, nfds);
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
	if (result <= 0)
		answer(engine, m.id, result);
}

/* ---- what happens to processes ---- */

static void setup_event(struct process *p)
{
	char about[1024];
	int fd = -1, nfds = 1;
	struct message m;

	ssize_t size = wire_recv(p->setup, &m, about, sizeof(about), &fd, &nfds);
	if (size >= 0 && m.kind == EV_READY) {
		m.a = p->pid;
		tell(&m, NULL, 0, &fd, nfds);
	} else if (size >= 0 && m.kind == EV_PTY && nfds == 1) {
		p->in = p->out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		nonblocking(p->out);
	} else if (size >= 0 && m.kind == EV_FAILED) {
		m.id = p->id;
		p->failed = true;
		tell(&m, about, size, NULL, 0);
	} else {
		/* The descriptor closed with exec: the workload runs. Killed before that, it is the same to
		 * everybody but us, and its exit status says so. */
		close(p->setup);
		p->setup = -1;
		if (!p->failed) {
			p->started_ns = now_ns();
			tell(&(struct message){ EV_STARTED, p->id, p->pid, p->started_ns }, NULL, 0, NULL, 0);
		}
	}
	if (nfds == 1)
		close(fd);
}

/* The record is complete or absent, whatever happens meanwhile. */
static void record_exit(const struct process *p)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%d %llu %llu %llu\n", p->status,
			 (unsigned long long)p->started_ns, (unsigned long long)p->exited_ns,
			 (unsigned long long)p->log.lost);
	int fd = openat(self.state, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	bool whole = write(fd, text, n) == n;
	close(fd);
	if (whole)
		renameat(self.state, "exit.new", self.state, "exit");
}

static void pid_event(struct process *p)
{
	if (waitpid(p->pid, &p->status, WNOHANG) != p->pid)
		return;
	if (p->setup >= 0)
		setup_event(p); /* what it said last */
	if (p->setup >= 0)
		close(p->setup);
	p->setup = -1;
	p->exited_ns = now_ns();
	close(p->pidfd);
	p->pidfd = -1;
	p->exited = true;
	streams_drain(p);
	if (p == self.main) {
		relay_stop(0, true);
		if (self.state >= 0 && !p->failed)
			record_exit(p);
		/* The name goes before the news, so that the next start finds it free. */
		if (self.state >= 0)
			unlinkat(self.state, "control.sock", 0);
	}
	if (!p->failed)
		tell(&(struct message){ EV_EXITED, p->id, p->status, p->exited_ns }, NULL, 0, NULL, 0);
	else if (p->id && !p->clients)
		process_forget(p);
	forget_old_exits();
}

static bool known(const struct process *wanted)
{
	for (struct process *p = self.list; p; p = p->next)
		if (p == wanted)
			return true;
	return false;
}

static void watch_all(struct watch *w)
{
	w->used = 0;
	for (int i = 0; i < ENGINES; i++)
		if (self.engine[i] >= 0)
			watch_add(w, self.engine[i], POLLIN, NULL, NULL, WATCH_ENGINE);
	if (self.listener >= 0)
		watch_add(w, self.listener, POLLIN, NULL, NULL, WATCH_LISTEN);
	for (struct process *p = self.list; p; p = p->next) {
		if (p->pidfd >= 0)
			watch_add(w, p->pidfd, POLLIN, p, NULL, WATCH_PID);
		if (p->setup >= 0)
			watch_add(w, p->setup, POLLIN, p, NULL, WATCH_SETUP);
		streams_watch(p, w);
	}
}

static void handle(struct watch *w)
{
	for (size_t i = 0; i < w->used; i++) {
		struct owner o = w->owners[i];
		if (!w->fds[i].revents || (o.process && !known(o.process)))
			continue;
		if (o.kind == WATCH_LISTEN)
			accept_engine();
		else if (o.kind == WATCH_ENGINE) {
			for (int slot = 0; slot < ENGINES; slot++)
				if (self.engine[slot] == w->fds[i].fd)
					engine_event(slot);
		} else if (o.kind == WATCH_PID) {
			if (!o.process->exited)
				pid_event(o.process);
		} else if (o.kind == WATCH_SETUP) {
			if (o.process->setup == w->fds[i].fd)
				setup_event(o.process);
		} else {
			streams_event(o.process, o.client, o.kind, w->fds[i].revents);
		}
	}
}

/* The container is over when its first process is; the supervisor when all its clients have everything. */
static bool finished(void)
{
	bool done = true;

	if (!self.main->exited)
		return false;
	if (!self.over) {
		/* Engines have the news; the closed connection tells them that no more will come. */
		for (int i = 0; i < ENGINES; i++)
			if (self.engine[i] >= 0)
				close(self.engine[i]), self.engine[i] = -1;
		if (self.listener >= 0)
			close(self.listener), self.listener = -1;
		nursery_close(&self.nursery);
		self.over = true;
	}
	for (struct process *p = self.list; p; p = p->next)
		if (p->exited && !streams_finished(p))
			done = false;
	return done;
}

static void finish_execs(void)
{
	for (struct process *p = self.list; p; p = p->next)
		if (p->id && p->exited)
			streams_finished(p);
}

static void ignore_signals(void)
{
	/* Only the end of the container ends its supervisor. */
	for (size_t i = 0; i < 6; i++)
		signal((int[]){ SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1 }[i], SIG_IGN);
}

int supervise(u64 room_flags)
{
	struct watch w = { 0 };
	char path[64];

	prctl(PR_SET_NAME, "casemate-shim");
	fcntl(3, F_SETFD, FD_CLOEXEC);
	ignore_signals();
	umask(022);
	hear(3);
	struct process *p = self.main = process_new(0);
	if (!p)
		return 1;
	p->pid = room_open(room_flags, &p->pidfd, &p->setup);
	if (p->pid < 0) {
		report_failure(3, 0, p->pid, &(struct scene){ .about = "clone" });
		return 1;
	}
	/* Held, so that unmounting the root (which syncs) does not delay the news of the exit. */
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", p->pid);
	self.mounts = open(path, O_RDONLY | O_CLOEXEC);
	if (room_flags & CLONE_NEWNET)
		wire_send(p->setup, &(struct message){ REQ_NETLINK, 0, 0, 0 }, NULL, 0, NULL, 0);
	else
		tell(&(struct message){ EV_READY, 0, p->pid, 0 }, NULL, 0, NULL, 0);
	while (!finished()) {
		watch_all(&w);
		if (poll(w.fds, w.used, -1) < 0 && errno != EINTR)
			return 1;
		handle(&w);
		finish_execs();
	}
	return 0;
}
