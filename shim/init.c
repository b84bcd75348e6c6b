/* PID 1 of a container that asked for one: forwards signals and reaps what others leave. */
#include "shim.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void __attribute__((noreturn)) leave(int status)
{
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* A process group of its own, in the terminal's foreground if there is a terminal. */
static void become_workload(const sigset_t *signals)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* for containers that share their host's process ids */
	setpgid(0, 0);
	if (isatty(0)) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
	}
	sigprocmask(SIG_SETMASK, signals, NULL);
}

int init_fork(void)
{
	sigset_t all, before;
	siginfo_t info;

	/* Blocked before the fork, so that no signal is lost between fork and wait. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* for the same containers */
	pid_t workload = fork();
	if (workload < 0)
		return -errno;
	if (workload == 0) {
		become_workload(&before);
		return 0;
	}
	/* Keep no descriptor of the workload's; the setup socket's end tells the supervisor of the exec. */
	close_from(0);
	prctl(PR_SET_NAME, "casemate-init");
	for (;;) {
		int status, number = sigwaitinfo(&all, &info);
		if (number == SIGCHLD) {
			for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
				if (pid == workload)
					leave(status);
		} else if (number > 0) {
			kill(workload, number);
		}
	}
}
