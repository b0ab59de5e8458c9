/* The table of commands, and what their help says handed to whoever writes it another way (commands.h). */
#include "harness/commands.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const Command commands[] = {
#define COMMAND(name, help) {#name, help, cmd_##name},
#include "harness/commands.def"
#undef COMMAND
    {0},
};

const ExitStatus exit_statuses[] = {
    {"0", "ok"},
    {"1", "bad usage or file"},
    {"2", "the machine cannot"},
    {"3", "confident regression"},
    {"4", "finished, but some cells failed or are invalid"},
    {"5", "I/O error or corruption"},
    {"130, 143", "interrupted, state saved"},
    {0},
};

/* The words that alternatives of operands begin with: of "list [DIR...] | fetch NAME" list and fetch. */
bool command_word(const char *operands, int n, char word[COMMAND_WORD_SIZE]) {
    const char *at = operands;
    if (strstr(operands, " | ") == NULL) return false;
    for (; n > 0; n--) {
        at = strstr(at, " | ");
        if (at == NULL) return false;
        at += 3;
    }
    size_t length = 0;
    while (islower((unsigned char)at[length]) || at[length] == '-') length++;
    if (length == 0 || length >= COMMAND_WORD_SIZE) return false;
    snprintf(word, COMMAND_WORD_SIZE, "%.*s", (int)length, at);
    return true;
}

typedef struct Taken { UsageTaker take; void *self; char operands[200]; } Taken;

static void take_usage(void *self, const Usage *usage) {
    Taken *t = self;
    snprintf(t->operands, sizeof t->operands, "%s", usage->operands);
    t->take(t->self, usage);
}

bool commands_describe(UsageTaker take, void *self, Error *err) {
    Taken t  = {.take = take, .self = self};
    bool  ok = true;
    options_describe(take_usage, &t);
    for (const Command *c = commands; ok && c->name != NULL; c++) {
        char name[COMMAND_WORD_SIZE], word[COMMAND_WORD_SIZE], operands[sizeof t.operands], help[] = "--help";
        snprintf(name, sizeof name, "%s", c->name);
        t.operands[0] = '\0';
        ok = c->run(2, (char *[]){name, help, NULL}, err) == EXIT_OK;
        memcpy(operands, t.operands, sizeof operands);
        for (int i = 0; ok && command_word(operands, i, word); i++) ok = c->run(3, (char *[]){name, word, help, NULL}, err) == EXIT_OK;
    }
    options_describe(NULL, NULL);
    return ok;
}
