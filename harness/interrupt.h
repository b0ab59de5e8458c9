/* Ctrl-C, SIGTERM, a terminal that closes (SIGHUP) and the limit of CPU time (SIGXCPU; both unless ignored from the beginning, as by nohup) as a
 * question asked between steps: the work in hand is finished and saved. A second signal, two seconds later or more, ends the process at once. */
#ifndef HARNESS_INTERRUPT_H
#define HARNESS_INTERRUPT_H

#include "engine/error.h"

void interrupt_catch(void);          /* from now on signals only raise a flag */
/* Of a process that starts others of ours: they are ended, as by SIGTERM, when it ends in whatever way. */
#define INTERRUPT_PARENT "MORBENCH_PARENT"
void interrupt_announce(void);
bool interrupt_has_parent(void);     /* such a one started this process */
bool interrupt_raised(void);         /* whether one came: for tape_set_stop */
bool interrupted(Error *err);        /* true, with *err of status 130 or 143, once one came */

#endif
