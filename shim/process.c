/* The processes of a container, from birth to the news of their end. */
#include "supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { RECORD_BYTES = 96 };

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
		*p = (struct process){ .id = id, .pid = -1, .setup = -1, .in = -1, .out = -1, .err = -1,
				       .peer = -1, .asked_by = -1, .log = { .fd = -1 }, .next = self.list };
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
	if (p->setup >= 0)
		close(p->setup);
	streams_drain(p);
	clients_drop_all(p);
	free(p);
}

/* ---- the room speaks ---- */

/* It cannot go on; its end follows. If the room has said why, that is the reason. */
void process_failed(struct process *p, int error, const struct scene *s)
{
	if (error == -EPIPE || error == -ECONNRESET)
		while (process_heard(p))
			;
	if (!p->failed)
		for (int i = 0; i < ENGINES; i++)
			if (self.engine[i].fd >= 0)
				report_failure(&self.engine[i], p->id, error, s);
	p->failed = true;
	if (p->pid > 0 && !p->exited)
		kill(p->pid, SIGKILL);
}

static void setup_over(struct process *p)
{
	close(p->setup);
	p->setup = -1;
	if (p->pid < 0) {
		/* The nursery was taken from us in the middle (the kernel chooses it when the cgroup's
		 * memory is used up), or the container has ended. */
		process_failed(p, -ECHILD, &(struct scene){ .about = "exec" });
		p->exited = true;
		streams_drain(p);
	} else if (!p->failed) {
		/* The descriptor closed with exec: the workload runs. Killed before that, it is the same to
		 * everybody but us, and its exit status says so. */
		p->started_ns = now_ns();
		tell(&(struct message){ EV_STARTED, p->id, p->pid, p->started_ns }, NULL, 0, NULL, 0);
	}
}

static int told(struct process *p, struct message *m, const char *about, size_t size, struct baggage *b)
{
	switch (m->kind) {
	case EV_BORN:
		p->pid = b->sender;
		return 0;
	case EV_DONE: /* to the engine that asked: before the start there is no other */
		tell(m, NULL, 0, NULL, 0);
		return 0;
	case EV_READY:
		m->a = p->pid;
		tell(m, NULL, 0, b->fds, b->count);
		return 0;
	case EV_PTY:
		return b->count == 1 ? streams_terminal(p, b->fds[0]) : -EBADMSG;
	case EV_FAILED:
		m->id = p->id;
		p->failed = true;
		tell(m, about, size, NULL, 0);
		return 0;
	}
	return -EBADMSG;
}

/* Takes one message of the room. False when there is none now. */
bool process_heard(struct process *p)
{
	char about[1024];
	struct message m;
	struct baggage b;
	int error;

	if (p->setup < 0)
		return false;
	ssize_t size = wire_recv(p->setup, &m, about, sizeof(about), &b);
	if (size < 0 && errno == EAGAIN)
		return false;
	if (size >= 0) {
		error = told(p, &m, about, size, &b);
		wire_leave(&b);
	} else if (errno == EBADMSG) {
		error = -EMFILE; /* what it has sent found no place here */
	} else {
		setup_over(p);
		return true;
	}
	if (error < 0)
		process_failed(p, error, &(struct scene){ .about = "room" });
	return true;
}

/* ---- the end ---- */

/* The exit record's place on the disk is taken at the start: the disk may be full at the end. */
int record_open(void)
{
	char blank[RECORD_BYTES];
	int fd = openat(self.state, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	memset(blank, ' ', sizeof(blank));
	ssize_t n = write(fd, blank, sizeof(blank));
	if (n != sizeof(blank)) {
		int error = n < 0 ? -errno : -ENOSPC;
		close(fd);
		return error;
	}
	self.record = fd;
	return 0;
}

/* The record is complete or absent, whatever happens meanwhile. */
static void record_exit(const struct process *p)
{
	char text[RECORD_BYTES + 1];
	int n = snprintf(text, sizeof(text), "%d %llu %llu %llu\n", p->status,
			 (unsigned long long)p->started_ns, (unsigned long long)p->exited_ns,
			 (unsigned long long)p->log.lost);

	if (pwrite(self.record, text, n, 0) == n)
		renameat(self.state, "exit.new", self.state, "exit");
	close(self.record);
	self.record = -1;
}

static void main_ended(const struct process *p)
{
	close(self.main_pidfd);
	self.main_pidfd = -1;
	/* Ports and cgroups are free when the news arrives. */
	relay_stop(0, true);
	nursery_close(&self.nursery);
	if (self.record >= 0 && !p->failed)
		record_exit(p);
	/* The name goes before the news, so that the next start finds it free. */
	if (self.state >= 0)
		unlinkat(self.state, "control.sock", 0);
}

static void ended(struct process *p, int status)
{
	p->status = status;
	/* What it said last; who else holds its socket says nothing. */
	while (process_heard(p))
		;
	if (p->setup >= 0)
		setup_over(p);
	p->exited_ns = now_ns();
	p->exited = true;
	streams_drain(p);
	if (p == self.main)
		main_ended(p);
	if (!p->failed)
		tell(&(struct message){ EV_EXITED, p->id, p->status, p->exited_ns }, NULL, 0, NULL, 0);
}

static struct process *process_of(pid_t pid)
{
	/* A room that was born and has died already has said so before. */
	for (struct process *p = self.list; p; p = p->next)
		while (p->pid < 0 && process_heard(p))
			;
	for (struct process *p = self.list; p; p = p->next)
		if (p->pid == pid && !p->exited)
			return p;
	return NULL;
}

/* One place waits for all children, also for those whose names never reached us: as long as one is not
 * waited for, the end of its process namespace is not reported. */
void processes_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		struct process *p = process_of(pid);
		if (p)
			ended(p, status);
		else if (pid == self.nursery.pid)
			nursery_close(&self.nursery);
		else
			relay_ended(pid);
	}
}

/* Clients that have everything are let go; finished execs are remembered until the engine has their status,
 * the newest KEPT_EXITS of them. */
void processes_tidy(void)
{
	int kept = 0;

	for (struct process *p = self.list, *next; p; p = next) {
		next = p->next;
		if (p->exited && clients_part(p) && p->id && (p->failed || ++kept > KEPT_EXITS))
			process_forget(p);
	}
}
