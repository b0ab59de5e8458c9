/* Signals as a flag (interrupt.h). */
#include "harness/interrupt.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    if (caught != 0) _exit(128 + number);
    caught = number;
}

void interrupt_catch(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupt_raised(void) { return caught != 0; }

bool interrupted(Error *err) {
    if (caught == 0) return false;
    FAIL_STATUS(err, 128 + caught, "", "interrupted by %s", caught == SIGINT ? "SIGINT" : "SIGTERM");
    return true;
}
