/*
 * The floor: what the kernel takes for one container, with nothing around it.
 *
 * One process does for each round what any engine must do: cgroups, namespaces, an overlay, the
 * file systems of /proc, /dev and /sys, masks, a veth pair, capabilities, a seccomp filter, exec,
 * wait, and everything back. Nothing is parsed, written down, logged or supervised. For each round
 * one JSON line tells, in milliseconds: "wait" from clone to the end of the program, "total" with
 * the making and removing of directories and cgroups, "cpu" of all processes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CGROUPS 16
#define PREFIX 24 /* of the address on the bridge */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One hierarchy: the directory below which a cgroup is made, and how it is mounted inside. */
struct hierarchy {
	const char *parent;
	const char *options; /* of a version 1 mount; NULL for version 2 */
};

static struct {
	const char *lower;
	const char *scratch;
	const char *seccomp;
	const char *bridge;
	const char *address;
	const char *gateway;
	int rounds;
	bool is_volatile;
	struct hierarchy cgroups[MAX_CGROUPS];
	int cgroup_count;
	char **program;
} given = {.rounds = 1};

static struct sock_fprog filter;

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void must(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

static char *text(const char *format, ...)
{
	static char ring[8][4096]; /* no caller needs more than a few at once */
	static unsigned turn;
	char *buffer = ring[turn++ % COUNT(ring)];
	va_list values;
	va_start(values, format);
	if (vsnprintf(buffer, sizeof(ring[0]), format, values) >= (int)sizeof(ring[0])) {
		errno = ENAMETOOLONG;
		fail(format);
	}
	va_end(values);
	return buffer;
}

static void put(const char *path, const char *data)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	must(file, path);
	must(write(file, data, strlen(data)), path);
	close(file);
}

static double now_ms(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
	double sum = 0;
	for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
		struct rusage used;
		getrusage(who, &used);
		sum += (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
			   (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
	}
	return sum;
}

/* ---- network: three messages of rtnetlink, each acknowledged ---- */

struct message {
	struct nlmsghdr head;
	char body[512];
};

static void *grow(struct message *to, size_t size)
{
	void *at = (char *)to + NLMSG_ALIGN(to->head.nlmsg_len);
	memset(at, 0, size);
	to->head.nlmsg_len = NLMSG_ALIGN(to->head.nlmsg_len) + size;
	return at;
}

static struct rtattr *attribute(struct message *to, int type, const void *data, size_t size)
{
	struct rtattr *at = grow(to, RTA_LENGTH(size));
	at->rta_type = type;
	at->rta_len = RTA_LENGTH(size);
	if (size && data)
		memcpy(RTA_DATA(at), data, size);
	return at;
}

static void end_nested(struct message *in, struct rtattr *outer)
{
	outer->rta_len = (char *)in + in->head.nlmsg_len - (char *)outer;
}

static void *begin(struct message *it, int type, int flags, size_t size)
{
	memset(it, 0, sizeof(*it));
	it->head.nlmsg_len = NLMSG_LENGTH(0);
	it->head.nlmsg_type = type;
	it->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return grow(it, size);
}

static void ask(int netlink, struct message *it, const char *what)
{
	char answer[4096];
	must(send(netlink, it, it->head.nlmsg_len, 0), what);
	must(recv(netlink, answer, sizeof(answer), 0), what);
	struct nlmsghdr *head = (struct nlmsghdr *)answer;
	if (head->nlmsg_type == NLMSG_ERROR) {
		errno = -((struct nlmsgerr *)NLMSG_DATA(head))->error;
		if (errno)
			fail(what);
	}
}

static int netlink_socket(void)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	must(netlink, "netlink");
	return netlink;
}

/* Make the pair: one end in the bridge, the other as eth0 in the namespace of pid. */
static void connect_room(pid_t pid, int round)
{
	struct message it;
	uint32_t bridge = if_nametoindex(given.bridge), inside = pid;
	if (!bridge)
		fail(given.bridge);
	struct ifinfomsg *link = begin(&it, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*link));
	link->ifi_flags = link->ifi_change = IFF_UP;
	char *name = text("fl%d-%d", getpid() % 100000, round % 10000);
	attribute(&it, IFLA_IFNAME, name, strlen(name) + 1);
	attribute(&it, IFLA_MASTER, &bridge, sizeof(bridge));
	struct rtattr *info = attribute(&it, IFLA_LINKINFO, NULL, 0);
	attribute(&it, IFLA_INFO_KIND, "veth", 4);
	struct rtattr *data = attribute(&it, IFLA_INFO_DATA, NULL, 0);
	struct rtattr *peer = attribute(&it, VETH_INFO_PEER, NULL, 0);
	grow(&it, sizeof(struct ifinfomsg));
	attribute(&it, IFLA_IFNAME, "eth0", 5);
	attribute(&it, IFLA_NET_NS_PID, &inside, sizeof(inside));
	end_nested(&it, peer);
	end_nested(&it, data);
	end_nested(&it, info);
	int netlink = netlink_socket();
	ask(netlink, &it, "veth");
	close(netlink);
}

static void link_up(int netlink, int index)
{
	struct message it;
	struct ifinfomsg *link = begin(&it, RTM_SETLINK, 0, sizeof(*link));
	link->ifi_index = index;
	link->ifi_flags = link->ifi_change = IFF_UP;
	ask(netlink, &it, "link up");
}

static void set_up_network(void)
{
	struct message it;
	struct in_addr address, gateway;
	int netlink = netlink_socket();
	link_up(netlink, 1);
	if (given.bridge) {
		int index = if_nametoindex("eth0");
		inet_pton(AF_INET, given.address, &address);
		inet_pton(AF_INET, given.gateway, &gateway);
		struct ifaddrmsg *add = begin(&it, RTM_NEWADDR, NLM_F_CREATE, sizeof(*add));
		*add = (struct ifaddrmsg){AF_INET, PREFIX, 0, 0, index};
		attribute(&it, IFA_LOCAL, &address, sizeof(address));
		ask(netlink, &it, "address");
		link_up(netlink, index);
		struct rtmsg *route = begin(&it, RTM_NEWROUTE, NLM_F_CREATE, sizeof(*route));
		*route = (struct rtmsg){.rtm_family = AF_INET,
								.rtm_table = RT_TABLE_MAIN,
								.rtm_protocol = RTPROT_BOOT,
								.rtm_type = RTN_UNICAST};
		attribute(&it, RTA_GATEWAY, &gateway, sizeof(gateway));
		ask(netlink, &it, "route");
	}
	close(netlink);
}

/* ---- the room, from inside ---- */

static const unsigned long LOCKED = MS_NOSUID | MS_NOEXEC | MS_NODEV;

static const struct {
	const char *name;
	int major, minor;
} devices[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
	       {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const char *const links[][2] = {
	{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},      {"ptmx", "pts/ptmx"}};

static void mount_dev(void)
{
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"), "dev");
	for (size_t i = 0; i < COUNT(devices); i++)
		must(mknod(text("dev/%s", devices[i].name), S_IFCHR | 0666,
			   makedev(devices[i].major, devices[i].minor)),
		     devices[i].name);
	for (size_t i = 0; i < COUNT(links); i++)
		must(symlink(links[i][1], text("dev/%s", links[i][0])), links[i][0]);
	for (const char **name = (const char *[]){"pts", "mqueue", "shm", NULL}; *name; name++)
		must(mkdir(text("dev/%s", *name), 0755), *name);
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"),
	     "devpts");
	must(mount("mqueue", "dev/mqueue", "mqueue", LOCKED, NULL), "mqueue");
	must(mount("shm", "dev/shm", "tmpfs", LOCKED, "mode=1777,size=65536k"), "shm");
}

static void mount_cgroups(void)
{
	const char *top = "sys/fs/cgroup";
	if (given.cgroup_count == 1 && !given.cgroups[0].options) {
		must(mount("cgroup2", top, "cgroup2", LOCKED | MS_RDONLY, NULL), "cgroup2");
		return;
	}
	must(mount("cgroup", top, "tmpfs", LOCKED, "mode=755"), "cgroup");
	for (int i = 0; i < given.cgroup_count; i++) {
		struct hierarchy *one = &given.cgroups[i];
		char *place = text("%s/%d", top, i);
		must(mkdir(place, 0755), place);
		const char *kind = one->options ? "cgroup" : "cgroup2";
		must(mount("cgroup", place, kind, LOCKED | MS_RDONLY, one->options), place);
	}
	must(mount(NULL, top, NULL, LOCKED | MS_RDONLY | MS_REMOUNT | MS_BIND, NULL), top);
}

static void mask(void)
{
	static const char *const hidden[] = {
		"proc/acpi",        "proc/asound", "proc/interrupts",  "proc/kcore",
		"proc/keys",        "proc/scsi",   "proc/sched_debug", "proc/latency_stats",
		"proc/timer_stats", "sys/firmware", "proc/timer_list",
		"sys/devices/virtual/powercap",
	};
	static const char *const frozen[] = {"proc/bus", "proc/fs", "proc/irq",
					   "proc/sys", "proc/sysrq-trigger"};
	struct stat found;
	for (size_t i = 0; i < COUNT(hidden); i++) {
		if (stat(hidden[i], &found))
			continue;
		if (S_ISDIR(found.st_mode))
			must(mount("tmpfs", hidden[i], "tmpfs", MS_RDONLY, "size=4k"), hidden[i]);
		else
			must(mount("dev/null", hidden[i], NULL, MS_BIND, NULL), hidden[i]);
	}
	for (size_t i = 0; i < COUNT(frozen); i++) {
		if (mount(frozen[i], frozen[i], NULL, MS_BIND | MS_REC, NULL) && errno == ENOENT)
			continue;
		must(mount(NULL, frozen[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | LOCKED, NULL),
			 frozen[i]);
	}
}

static void bind_files(void)
{
	static const char *const names[] = {"hosts", "hostname", "resolv.conf"};
	for (size_t i = 0; i < COUNT(names); i++) {
		char *place = text("etc/%s", names[i]);
		int file = open(place, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		must(file, place);
		close(file);
		char *source = text("%s/%s", given.scratch, names[i]);
		must(mount(source, place, NULL, MS_BIND, NULL), source);
	}
}

static void give_up_privilege(void)
{
	/* chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap
	 * net_bind_service sys_chroot kill audit_write */
	const uint64_t kept = 0xa80425fb;
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(kept >> i & 1))
			must(prctl(PR_CAPBSET_DROP, i), "bounding set");
	if (filter.len)
		must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), "seccomp");
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{.effective = kept, .permitted = kept}};
	must(syscall(SYS_capset, &head, sets), "capset");
}

static void be_container(int go, const char *layer)
{
	uint64_t value;
	must(read(go, &value, sizeof(value)), "go");
	must(unshare(CLONE_NEWCGROUP), "cgroup namespace");
	must(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
	char *root = text("%s/root", given.scratch);
	char *options = text("lowerdir=%s,upperdir=%s/upper,workdir=%s/work%s", given.lower, layer,
						 layer, given.is_volatile ? ",volatile" : "");
	must(mount("overlay", root, "overlay", 0, options), "overlay");
	must(chdir(root), root);
	must(mount("proc", "proc", "proc", LOCKED, NULL), "proc");
	mount_dev();
	must(mount("sysfs", "sys", "sysfs", LOCKED | MS_RDONLY, NULL), "sysfs");
	mount_cgroups();
	bind_files();
	mask();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount");
	must(chdir("/"), "/");
	must(sethostname("floor", 5), "hostname");
	set_up_network();
	give_up_privilege();
	execv(given.program[0], given.program);
	fail(given.program[0]);
}

/* ---- one round, from outside ---- */

static int removed(const char *path, const struct stat *seen, int kind, struct FTW *where)
{
	(void)seen, (void)kind, (void)where;
	return remove(path);
}

static char *cgroup_path(int number, int round)
{
	return text("%s/%d-%d", given.cgroups[number].parent, getpid(), round);
}

static pid_t make_room(const char *layer, int go)
{
	struct clone_args how = {
		.flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET |
				 CLONE_NEWTIME,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &how, sizeof(how));
	must(pid, "clone3");
	if (!pid)
		be_container(go, layer);
	return pid;
}

static void run_round(int round)
{
	double cpu = cpu_ms(), start = now_ms();
	char *layer = strdup(text("%s/%d", given.scratch, round));
	must(mkdir(layer, 0700), layer);
	must(mkdir(text("%s/upper", layer), 0755), "upper");
	must(mkdir(text("%s/work", layer), 0755), "work");
	for (int i = 0; i < given.cgroup_count; i++)
		must(mkdir(cgroup_path(i, round), 0755), cgroup_path(i, round));
	int go = eventfd(0, EFD_CLOEXEC), status;
	double made = now_ms();
	pid_t pid = make_room(layer, go);
	for (int i = 0; i < given.cgroup_count; i++)
		put(text("%s/cgroup.procs", cgroup_path(i, round)), text("%d", pid));
	if (given.bridge)
		connect_room(pid, round);
	must(write(go, &(uint64_t){1}, 8), "go");
	must(waitpid(pid, &status, 0), "wait");
	double ended = now_ms();
	close(go);
	for (int i = 0; i < given.cgroup_count; i++)
		must(rmdir(cgroup_path(i, round)), cgroup_path(i, round));
	must(nftw(layer, removed, 8, FTW_DEPTH | FTW_PHYS), layer);
	free(layer);
	printf("{\"wait\": %.3f, \"total\": %.3f, \"cpu\": %.3f}\n", ended - made, now_ms() - start,
		   cpu_ms() - cpu);
	if (status)
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* ---- command line ---- */

static void add_cgroup(char *argument)
{
	if (given.cgroup_count == MAX_CGROUPS) {
		errno = E2BIG;
		fail("--cgroup");
	}
	struct hierarchy *one = &given.cgroups[given.cgroup_count++];
	one->parent = strsep(&argument, ":");
	one->options = argument && *argument ? argument : NULL;
}

static void load_filter(void)
{
	struct stat found;
	int file = open(given.seccomp, O_RDONLY | O_CLOEXEC);
	must(file, given.seccomp);
	must(fstat(file, &found), given.seccomp);
	filter.len = found.st_size / sizeof(struct sock_filter);
	filter.filter = malloc(found.st_size);
	if (!filter.filter || read(file, filter.filter, found.st_size) != found.st_size)
		fail(given.seccomp);
	close(file);
}

static const struct option OPTIONS[] = {
	{"lower", required_argument, NULL, 'l'},   {"scratch", required_argument, NULL, 's'},
	{"cgroup", required_argument, NULL, 'c'},  {"seccomp", required_argument, NULL, 'f'},
	{"bridge", required_argument, NULL, 'b'},  {"address", required_argument, NULL, 'a'},
	{"gateway", required_argument, NULL, 'g'}, {"rounds", required_argument, NULL, 'n'},
	{"volatile", no_argument, NULL, 'v'},      {NULL, 0, NULL, 0},
};

static int parse(int argc, char **argv)
{
	for (int option; (option = getopt_long(argc, argv, "+", OPTIONS, NULL)) >= 0;) {
		switch (option) {
		case 'l': given.lower = optarg; break;
		case 's': given.scratch = optarg; break;
		case 'c': add_cgroup(optarg); break;
		case 'f': given.seccomp = optarg; break;
		case 'b': given.bridge = optarg; break;
		case 'a': given.address = optarg; break;
		case 'g': given.gateway = optarg; break;
		case 'n': given.rounds = atoi(optarg); break;
		case 'v': given.is_volatile = true; break;
		default: return -1;
		}
	}
	given.program = argv + optind;
	bool whole = given.lower && given.scratch && *given.program;
	return whole && !given.bridge == !given.address && !given.bridge == !given.gateway ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (parse(argc, argv) < 0) {
		fputs("usage: floor --lower DIR --scratch DIR [--volatile]\n"
		      "       [--cgroup DIR:OPTIONS]... [--seccomp FILE] [--rounds N]\n"
		      "       [--bridge NAME --address A --gateway A] PROGRAM [ARG...]\n", stderr);
		return 2;
	}
	if (given.seccomp)
		load_filter();
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int round = 0; round < given.rounds; round++)
		run_round(round);
	return 0;
}
