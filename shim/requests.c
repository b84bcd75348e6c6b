/* What an engine asks of a supervisor. */
#include "supervisor.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Makes the ends of standard input, output and error for the process, and keeps ours. A terminal is made by
 * the room itself; until then the null device is in its place. */
static int open_stdio(struct process *p, const struct plan_header *head, int theirs[3])
{
	unsigned flags = head->flags;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	bool ok;

	p->tty = flags & PLAN_TTY;
	p->stdin_open = flags & PLAN_STDIN;
	p->stdin_once = flags & PLAN_STDIN_ONCE;
	if (p->stdin_open && !p->tty)
		ok = pipe2(in, O_CLOEXEC) == 0;
	else
		ok = (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;
	if (p->tty)
		ok = ok && (out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC)) >= 0 &&
		     (err[1] = fcntl(out[1], F_DUPFD_CLOEXEC, 0)) >= 0;
	else
		ok = ok && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0;
	/* Inside of a user namespace the room could not do this. */
	for (int i = 0; ok && head->owner && !p->tty && i < 3; i++)
		ok = (int[]){ in[1], out[1], err[1] }[i] < 0 ||
		     fchown((int[]){ in[1], out[1], err[1] }[i], head->owner, -1) == 0;
	int error = ok ? 0 : -errno;
	memcpy(theirs, (int[]){ in[0], out[1], err[1] }, 3 * sizeof(int));
	p->in = in[1];
	p->out = out[0];
	p->err = err[0];
	for (int i = 0; i < 3; i++) {
		int own = (int[]){ p->in, p->out, p->err }[i];
		if (own >= 0)
			nonblocking(own);
	}
	p->begun = !p->tty;
	return error;
}

/* Sends plan, stdio and registers into the room, which may not be there yet. */
static int release(struct process *p, const struct plan *plan, int plan_fd, const int *regs, int nregs)
{
	int fds[MAX_FDS] = { plan_fd };

	if (nregs > PASSED)
		return -E2BIG;
	int error = open_stdio(p, plan->head, fds + 1);
	if (nregs)
		memcpy(fds + 4, regs, nregs * sizeof(int));
	if (!error && wire_send(p->setup, &(struct message){ REQ_START, p->id, 0, 0 }, NULL, 0, fds,
				4 + nregs) < 0)
		error = -errno;
	close_all(fds + 1, 3);
	return error;
}

/* Sends the room what came with the plan, and what the outside steps have made; that is closed here. */
static int release_made(struct process *p, const struct plan *plan, int plan_fd, struct scene *s, int nregs)
{
	int held = nregs, error = 0;

	while (held < PASSED && s->reg[held] >= 0)
		held++;
	error = release(p, plan, plan_fd, s->reg, held);
	close_all(s->reg + nregs, REGISTERS - nregs);
	return error;
}

static int run_outside(const struct plan *plan, pid_t child, const int *regs, int nregs, struct scene *s)
{
	*s = (struct scene){ .setup = -1, .child = child, .part = PART_OUTSIDE };
	for (int i = 0; i < REGISTERS; i++)
		s->reg[i] = i < nregs ? regs[i] : -1;
	return steps_run(plan->outside, s);
}

/* Returns 1 when the room will answer: after its part of the plan, so that nothing that would get in the way
 * of that (limits, a network) is done too early. */
static int prepare(int fd, const int *regs, int nregs)
{
	struct plan plan;
	struct scene s = { .about = "plan" };
	int error = self.state >= 0 || self.main->exited ? -EBUSY : plan_map(fd, &plan);

	if (error < 0)
		return error;
	error = run_outside(&plan, self.main->pid, regs, nregs, &s);
	if (error < 0)
		process_failed(self.main, error, &s);
	else if (plan.head->inside_size)
		error = wire_send(self.main->setup, &(struct message){ REQ_PREPARE, 0, 0, 0 }, NULL, 0, &fd,
				  1) < 0 ?
				-errno :
				1;
	plan_unmap(&plan);
	return error;
}

static int open_state(int fd)
{
	self.state = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (self.state < 0)
		return -errno;
	int error = record_open();
	if (error < 0)
		return error;
	int listener = listen_in(self.state);
	if (listener < 0)
		return listener;
	self.listener = listener;
	return 0;
}

static void start(struct engine *e, const int *fds, int nfds)
{
	struct process *p = self.main;
	struct plan plan;
	struct scene s = { .about = "start" };

	if (self.state >= 0 || p->exited) {
		report_failure(e, 0, -EBUSY, &s);
		return;
	}
	int error = nfds < 2 ? -EINVAL : plan_map(fds[0], &plan);
	if (error < 0) {
		process_failed(p, error, &s);
		return;
	}
	error = run_outside(&plan, p->pid, fds + 2, nfds - 2, &s);
	s.part = PART_BEFORE;
	if (error == 0) {
		s.about = "state directory";
		error = open_state(fds[1]);
	}
	if (error == 0) {
		if (plan.head->flags & PLAN_LOG)
			log_open(&p->log, self.state, plan.head->log_bytes, plan.head->log_files);
		s.about = "streams";
		error = release_made(p, &plan, fds[0], &s, nfds - 2);
	}
	if (error < 0)
		process_failed(p, error, &s);
	plan_unmap(&plan);
}

/* A room for an exec: made by the nursery when there is one (1 then), since there it is born in the cgroups. */
static int exec_room(struct process *p)
{
	if (self.nursery.sock >= 0 && nursery_room(&self.nursery, &p->setup) == 0) {
		nonblocking(p->setup);
		return 1;
	}
	p->pid = room_open_among(self.main_pidfd, 0, NULL, &p->setup);
	if (p->pid < 0)
		return p->pid;
	nonblocking(p->setup);
	return 0;
}

static void exec(struct engine *e, u32 id, const int *fds, int nfds)
{
	struct plan plan;
	struct scene s = { .about = "exec" };
	struct process *p = process_find(id); /* an attached client may have made it already */
	int regs[REGISTERS] = { self.main_pidfd };

	if (nfds < 1 || nfds > REGISTERS || !id || (p && (p->pid >= 0 || p->setup >= 0 || p->exited))) {
		report_failure(e, id, -EINVAL, &s);
		return;
	}
	if (!p)
		p = process_new(id);
	int error = !p ? -ENOMEM : self.main->exited ? -ESRCH : plan_map(fds[0], &plan);
	if (error == 0) {
		memcpy(regs + 1, fds + 1, (nfds - 1) * sizeof(int));
		error = exec_room(p);
		if (error == 0)
			error = run_outside(&plan, p->pid, regs, nfds, &s);
		if (error >= 0)
			error = release(p, &plan, fds[0], regs, nfds);
		plan_unmap(&plan);
	}
	if (error >= 0)
		return;
	if (p && p->pid > 0) {
		process_failed(p, error, &s); /* its end follows */
		return;
	}
	report_failure(e, id, error, &s);
	if (p)
		process_forget(p);
}

static int attach(struct engine *e, u32 id, int fd, unsigned flags, const char *keys, size_t count)
{
	struct process *p = process_find(id);

	if (count > KEYS_MAX)
		return -E2BIG;
	/* An exec's client comes before the exec, so that no byte is missed. */
	if (!p && id && (p = process_new(id)))
		p->asked_by = e->fd;
	if (!p || p->exited)
		return -ESRCH;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	if (!client_attach(p, own, flags, keys, count)) {
		close(own);
		return -ENOMEM;
	}
	return 0;
}

static int start_nursery(int fd, const int *regs, int nregs)
{
	struct plan plan;
	struct scene s;

	if (self.nursery.sock >= 0)
		return 0;
	if (self.main_pidfd < 0)
		return -ESRCH;
	int error = plan_map(fd, &plan);
	if (error < 0)
		return error;
	error = nursery_open(&self.nursery, self.main_pidfd);
	if (error == 0 && (error = run_outside(&plan, self.nursery.pid, regs, nregs, &s)) < 0)
		nursery_close(&self.nursery);
	plan_unmap(&plan);
	return error;
}

static int status(struct engine *e)
{
	for (struct process *p = self.list; p; p = p->next) {
		struct message m = { EV_STATUS, p->id, p->pid, p->started_ns };
		if (p->exited)
			m = (struct message){ EV_EXITED, p->id, p->status, p->exited_ns };
		if (p->started_ns && !p->failed)
			tell_one(e, &m, NULL, 0, NULL, 0);
	}
	return 0;
}

static int send_signal(const struct process *p, s64 number)
{
	if (!p || p->exited || p->pid <= 0)
		return -ESRCH;
	/* Our own child, not yet waited for: the number cannot be another's. */
	return kill(p->pid, number) < 0 ? -errno : 0;
}

/* Returns 1 when the answer is sent or will come as an event, else 0 or -errno for the caller to send. */
int perform(struct engine *e, struct message *m, const char *payload, size_t size, const int *fds, int nfds)
{
	struct process *p = process_find(m->id);

	switch (m->kind) {
	case REQ_PREPARE:
		return nfds < 1 ? -EINVAL : prepare(fds[0], fds + 1, nfds - 1);
	case REQ_START:
		start(e, fds, nfds);
		return 1;
	case REQ_EXEC:
		exec(e, m->id, fds, nfds);
		return 1;
	case REQ_KILL:
		return send_signal(p, m->a);
	case REQ_ATTACH:
		return nfds == 1 ? attach(e, m->id, fds[0], m->a, payload, size) : -EINVAL;
	case REQ_RESIZE:
		return p ? streams_resize(p, m->a, m->b) : -ESRCH;
	case REQ_STATUS:
		return status(e);
	case REQ_RELAY:
		return relay_start(m->id, payload, size, fds, nfds);
	case REQ_UNRELAY:
		return relay_stop(m->id, m->id == 0);
	case REQ_NETLINK:
		return open_network(e, m->id);
	case REQ_NURSERY:
		return nfds < 1 ? -EINVAL : start_nursery(fds[0], fds + 1, nfds - 1);
	case REQ_FREE:
		if (p && p->id && p->exited && !p->clients)
			process_forget(p);
		return 0;
	}
	return -ENOSYS;
}

/* A request whose descriptors found no place in this process: there is no answer but no. */
void cut_short(struct engine *e, const struct message *m)
{
	if (m->kind == REQ_START || m->kind == REQ_EXEC)
		report_failure(e, m->id, -EMFILE, &(struct scene){ .about = "request" });
	else if (m->kind)
		answer(e, m->id, -EMFILE);
}
