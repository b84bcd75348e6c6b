#include "shim.h"
void relay_main(const int *s,const struct relay_target *t,int n){(void)s;(void)t;(void)n;_exit(0);}
