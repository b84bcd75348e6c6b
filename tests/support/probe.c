/* A workload for tests: says as JSON what it finds of itself. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void list_signals(const char *name, int want_ignored)
{
	sigset_t blocked;
	const char *comma = "";

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	printf(",\"%s\":[", name);
	for (int n = 1; n < 65; n++) {
		struct sigaction action = { 0 };
		int found = want_ignored ? sigaction(n, NULL, &action) == 0 && action.sa_handler != SIG_DFL :
					   sigismember(&blocked, n) == 1;
		if (found)
			printf("%s%d", comma, n), comma = ",";
	}
	printf("]");
}

int main(void)
{
	struct rlimit files;
	struct stat st;
	int death = -1;
	const char *comma = "";
	mode_t mask = umask(0);

	getrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_GET_PDEATHSIG, &death);
	printf("{\"descriptors\":[");
	for (int fd = 0; fd < 1024; fd++)
		if (fstat(fd, &st) == 0)
			printf("%s%d", comma, fd), comma = ",";
	printf("]");
	list_signals("handled", 1);
	list_signals("blocked", 0);
	printf(",\"keyring\":%ld", syscall(SYS_keyctl, 0L /* GET_KEYRING_ID */, -3L /* session */, 0L));
	printf(",\"pid\":%d,\"ppid\":%d", getpid(), getppid());
	printf(",\"session\":%d,\"group\":%d", getsid(0), getpgrp());
	printf(",\"foreground\":%d", isatty(0) ? tcgetpgrp(0) : -1);
	printf(",\"umask\":%d,\"files\":[%llu,%llu]", mask, (unsigned long long)files.rlim_cur,
	       (unsigned long long)files.rlim_max);
	printf(",\"death_signal\":%d,\"dumpable\":%d}\n", death, prctl(PR_GET_DUMPABLE));
	return 0;
}
