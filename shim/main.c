/* The roles of the shim, by first argument. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '/') : NULL;

	name = name ? name + 1 : argc ? argv[0] : "";
	if (!strcmp(name, "hello") || (argc == 2 && !strcmp(argv[1], "hello")))
		return hello_main();
	/* Descriptor 4, when one more word says so: whose process namespace the room is born in. */
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "supervise"))
		return supervise(strtoull(argv[2], NULL, 0), argc == 4 ? 4 : -1);
	if (argc == 2 && !strcmp(argv[1], "steps")) {
		steps_print();
		return 0;
	}
	fprintf(stderr, "casemate-shim is started by the casemate engine; by hand: casemate-shim steps\n");
	return 2;
}
