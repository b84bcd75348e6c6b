/* The workload of the image that comes with casemate: it prints what it can see of its walls. */
#include "shim.h"

#include <dirent.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

static const char *capability_names[] = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control",
	"setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore",
};

/* Reads the first line of a file; false when it cannot be read. */
static bool first_line(const char *path, char *line, size_t cap)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return false;
	bool ok = fgets(line, cap, f);
	fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* The value of a field of /proc/self/status. */
static const char *status_field(const char *name)
{
	static char line[256];
	size_t n = strlen(name);
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && line[n] == ':') {
			fclose(f);
			line[strcspn(line, "\n")] = '\0';
			return line + n + 1 + strspn(line + n + 1, "\t ");
		}
	if (f)
		fclose(f);
	return "?";
}

static void print_namespaces(void)
{
	static const char *kinds[] = { "mnt", "pid", "net", "uts", "ipc", "user", "cgroup", "time" };
	char path[64], target[64];

	printf("  namespaces    ");
	for (size_t i = 0; i < COUNT(kinds); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		printf("%s%s", i ? (i == 4 ? "\n                " : "  ") : "", target);
	}
	printf("\n");
}

static void print_capabilities(void)
{
	u64 effective = strtoull(status_field("CapEff"), NULL, 16);
	int count = 0;

	for (size_t i = 0; i < COUNT(capability_names); i++)
		count += effective >> i & 1;
	printf("  capabilities  %d of %zu:", count, COUNT(capability_names));
	for (size_t i = 0; i < COUNT(capability_names); i++)
		if (effective >> i & 1)
			printf(" %s", capability_names[i]);
	printf("\n");
}

static const char *seccomp_mode(void)
{
	switch (atoi(status_field("Seccomp"))) {
	case 0:
		return "off: every system call of the kernel can be made";
	case 2:
		return "filter: only listed system calls can be made";
	default:
		return "strict";
	}
}

static void print_processes(void)
{
	DIR *d = opendir("/proc");
	int count = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		count += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	if (d)
		closedir(d);
	printf("  processes     %d to be seen\n", count);
}

static void print_networks(void)
{
	DIR *d = opendir("/sys/class/net");

	printf("  network       ");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			printf("%s ", e->d_name);
	if (d)
		closedir(d);
	printf("\n");
}

static void print_limit(const char *name, const char *v2, const char *v1, u64 none)
{
	char line[64];

	if (!first_line(v2, line, sizeof(line)) && !first_line(v1, line, sizeof(line)))
		snprintf(line, sizeof(line), "not visible");
	else if (strtoull(line, NULL, 10) >= none)
		snprintf(line, sizeof(line), "max");
	printf("  %-13s %s\n", name, line);
}

static void print_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		printf("  open files    %llu, at most %llu\n", (unsigned long long)files.rlim_cur,
		       (unsigned long long)files.rlim_max);
}

/* The last mount at / is the one that counts. */
static void print_root(void)
{
	struct statvfs root;
	char line[4096], type[64] = "?", place[256], found[64];
	FILE *f = fopen("/proc/self/mounts", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %255s %63s", place, found) == 2 && !strcmp(place, "/"))
			strcpy(type, found);
	if (f)
		fclose(f);
	if (statvfs("/", &root) == 0)
		printf("  root          %s, %s\n", type, root.f_flag & ST_RDONLY ? "read-only" : "writable");
}

int hello_main(void)
{
	struct utsname host;

	uname(&host);
	printf("Hello from inside the walls.\n\n");
	printf("  kernel        %s %s\n", host.sysname, host.release);
	printf("  host name     %s\n", host.nodename);
	printf("  pid           %d\n", getpid());
	printf("  user          uid %d, gid %d\n", getuid(), getgid());
	print_namespaces();
	print_processes();
	print_networks();
	print_root();
	print_capabilities();
	printf("  seccomp       %s\n", seccomp_mode());
	printf("  no new privs  %s\n", status_field("NoNewPrivs")[0] == '1' ? "yes" : "no");
	print_limit("memory", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
		    1ull << 62);
	print_limit("tasks", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max", ~0ull);
	print_files();
	printf("\nThe same image behind other walls: casemate run --help\n");
	return 0;
}
