/* A program for containers of tests: tries what a container may not, and says what came of it.
 *
 *	intruder call NUMBER [ARGUMENT...]		a system call; prints the result or "-ERRNO"
 *	intruder call32 NUMBER [ARGUMENT...]	the same by the entry for 32-bit programs
 *	intruder type				types into the terminal it runs at (TIOCSTI)
 *	intruder scan				looks at processes that enter, until /stop is there
 *	intruder swap ONE OTHER			exchanges two names, until /stop is there
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long number(const char *text)
{
	return strtol(text, NULL, 0);
}

static int call(int count, char **words)
{
	long a[7] = { 0 };

	for (int i = 0; i < count && i < 7; i++)
		a[i] = number(words[i]);
	long result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
	printf("%ld\n", result < 0 ? -(long)errno : result);
	return 0;
}

#ifdef __x86_64__
static int call32(int count, char **words)
{
	/* Arguments of socketcall are behind a pointer, which must fit into 32 bits. */
	static int pair[3] __attribute__((section(".data")));
	long a[4] = { 0 };

	for (int i = 0; i < count && i < 4; i++)
		a[i] = number(words[i]);
	if (a[0] == 102) {
		pair[0] = a[2];
		pair[1] = a[3] ? a[3] : 5;
		a[2] = (long)pair;
	}
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(0) : "memory");
	printf("%d\n", result);
	return 0;
}
#endif

static int type(void)
{
	for (const char *c = "injected\n"; *c; c++)
		if (ioctl(0, TIOCSTI, c) < 0) {
			printf("refused %d\n", errno);
			return 0;
		}
	printf("typed\n");
	return 0;
}

static int is_ours(const char *pid)
{
	char path[300], name[64] = "";

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, name, sizeof(name) - 1);
	close(fd);
	return n > 0 && !strncmp(name, "casemate", 8);
}

static int can_open(const char *pid, const char *what, int flags)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	int fd = open(path, flags);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int can_trace(const char *pid)
{
	pid_t it = (pid_t)number(pid);

	if (ptrace(PTRACE_ATTACH, it, 0, 0))
		return 0;
	waitpid(it, NULL, __WALL);
	return 1;
}

/* A process of the engine's that is in the container and has not become the workload yet: what
 * can be done to it counts if it is still one afterwards. */
static void look(const char *pid)
{
	static const struct { const char *what; int flags; } files[] = {
		{ "exe", O_RDONLY }, { "exe", O_WRONLY }, { "mem", O_RDWR }, { "fd/0", O_PATH },
		{ "fd/3", O_PATH }, { "fd/4", O_PATH }, { "fd/5", O_PATH },
		{ "cwd", O_PATH }, { "root", O_PATH },
		{ "environ", O_RDONLY }, { "maps", O_RDONLY },
	};

	if (!is_ours(pid))
		return;
	printf("seen\n");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (can_open(pid, files[i].what, files[i].flags) && is_ours(pid))
			printf("opened %s %d\n", files[i].what, files[i].flags);
	if (can_trace(pid)) {
		if (is_ours(pid))
			printf("traced\n");
		ptrace(PTRACE_DETACH, (pid_t)number(pid), 0, 0);
		kill((pid_t)number(pid), SIGCONT); /* SIGTRAP of an exec may have come before SIGSTOP */
	}
}

static int scan(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("scanning\n");
	while (access("/stop", F_OK)) {
		DIR *d = opendir("/proc");
		for (struct dirent *e; d && (e = readdir(d));)
			if (e->d_name[0] >= '2' && e->d_name[0] <= '9')
				look(e->d_name);
		if (d)
			closedir(d);
	}
	return 0;
}

static int swap(const char *one, const char *other)
{
	printf("swapping\n");
	fflush(stdout);
	while (access("/stop", F_OK))
		for (int i = 0; i < 1000; i++)
			syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, 2 /* RENAME_EXCHANGE */);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "call") && argc > 2)
		return call(argc - 2, argv + 2);
#ifdef __x86_64__
	if (!strcmp(verb, "call32") && argc > 2)
		return call32(argc - 2, argv + 2);
#endif
	if (!strcmp(verb, "type"))
		return type();
	if (!strcmp(verb, "scan"))
		return scan();
	if (!strcmp(verb, "swap") && argc > 3)
		return swap(argv[2], argv[3]);
	return 2;
}
