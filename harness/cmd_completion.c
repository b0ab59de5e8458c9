/* morbench completion bash|zsh: what a shell needs to complete commands, options and their values, from the tables that --help prints
 * from. */
#include "baselines/registry.h"
#include "harness/commands.h"
#include "harness/data/dataset.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What a value is, told by how help shows it. */
typedef enum ValueKind { VALUE_FREE, VALUE_FILE, VALUE_DIR, VALUE_WORDS, VALUE_PRESET, VALUE_BACKEND, VALUE_DATA } ValueKind;

static bool contains(const char *text, const char *part) { return strstr(text, part) != NULL; }

static ValueKind value_kind(const Option *o) {
    if (strcmp(o->name, "preset") == 0)  return VALUE_PRESET;
    if (strcmp(o->name, "backend") == 0) return VALUE_BACKEND;
    if (strcmp(o->value, "NAME|DIR") == 0) return VALUE_DATA;
    if (strncmp(o->value, "DIR", 3) == 0) return VALUE_DIR;
    if (contains(o->value, "FILE") || contains(o->value, ".json") || contains(o->value, ".safetensors")) return VALUE_FILE;
    return contains(o->value, "|") ? VALUE_WORDS : VALUE_FREE;
}

/* The alternatives of "train|test", "auto|NAME", "[models|machines]" that are words to type, each after a blank. */
static void put_words(const char *alternatives) {
    for (const char *at = alternatives + strspn(alternatives, "[");; at++) {
        const size_t n = strcspn(at, "|]");
        bool         typed = n > 0;
        for (size_t i = 0; i < n; i++) typed = typed && (islower((unsigned char)at[i]) || isdigit((unsigned char)at[i]) || at[i] == '_' || at[i] == '-');
        if (typed) printf(" %.*s", (int)n, at);
        at += n;
        if (*at != '|') return;
    }
}

static void put_names(ValueKind kind) {
    const char *name;
    if (kind == VALUE_PRESET)
        for (int i = 0; (name = preset_name(i, NULL)) != NULL; i++) printf(" %s", name);
    if (kind == VALUE_DATA)
        for (int i = 0; dataset_kinds[i] != NULL; i++)
            if (!dataset_kinds[i]->needs_path) printf(" %s", dataset_kinds[i]->name);
    if (kind == VALUE_BACKEND)
        for (name = backend_names(); *name != '\0'; name++) putchar(*name == ',' ? ' ' : *name);
}

static void put_value_words(const Option *o) {
    const ValueKind kind = value_kind(o);
    if (kind == VALUE_WORDS) put_words(o->value);
    else                     put_names(kind);
}

static void put_commands(void) {
    for (const Command *c = commands; c->name != NULL; c++) printf(" %s", c->name);
}

/* ---- bash ---- */

/* Labels of a case hold no blank: "data list" is data:list there. */
static void put_label(const char *command) {
    for (; *command != '\0'; command++) putchar(*command == ' ' ? '/' : *command);
}

static void bash_values(void *self, const Usage *usage) {
    const char *of_every = self;
    for (const Option *o = of_every != NULL ? runtime_settings() : usage->options; o->name != NULL; o++) {
        if (o->value == NULL) continue;
        fputs("    ", stdout);
        put_label(of_every != NULL ? of_every : usage->command);
        printf(":--%s) ", o->name);
        const ValueKind kind = value_kind(o);
        if (kind == VALUE_FILE) fputs("files=f", stdout);
        else if (kind == VALUE_DIR) fputs("files=d", stdout);
        else {
            fputs("words='", stdout);
            put_value_words(o);
            printf("'%s", kind == VALUE_DATA ? " files=d" : "");
        }
        fputs(" ;;\n", stdout);
    }
}

static void bash_options(void *self, const Usage *usage) {
    char word[COMMAND_WORD_SIZE];
    (void)self;
    fputs("    ", stdout);
    put_label(usage->command);
    fputs(") words=\"$every", stdout);
    for (const Option *o = usage->options; o->name != NULL; o++) printf(" --%s", o->name);
    for (int i = 0; command_word(usage->operands, i, word); i++) printf(" %s", word);
    if (usage->operands[0] == '[' && !contains(usage->operands, ".")) put_words(usage->operands);
    if (!contains(usage->operands, " | ") && islower((unsigned char)usage->operands[0])) put_words(usage->operands);
    fputs("\"", stdout);
    for (const char *c = usage->operands; *c != '\0'; c++)
        if (isupper((unsigned char)*c)) {
            fputs(" files=f", stdout);
            break;
        }
    fputs(" ;;\n", stdout);
}

static bool bash(Error *err) {
    char label[] = "*";
    printf("# bash completion of morbench, made by `morbench completion bash`\n"
           "_morbench() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words= files= head= i\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        case $command:${COMP_WORDS[i]} in\n"
           "        :help) command=help ;;\n"
           "        data:list | data:fetch) command=data/${COMP_WORDS[i]} ;;\n");
    for (const Command *c = commands; c->name != NULL; c++) printf("        :%s) command=%s ;;\n", c->name, c->name);
    printf("        esac\n"
           "    done\n"
           "    local every='--help");
    for (const Option *o = runtime_settings(); o->name != NULL; o++) printf(" --%s", o->name);
    printf("'\n"
           "    case $command:$prev in\n");
    if (!commands_describe(bash_values, NULL, err)) return false;
    bash_values(label, NULL);
    printf("    *) case $command in\n"
           "    '' | help) words=\"$every");
    put_commands();
    printf(" help\" ;;\n");
    if (!commands_describe(bash_options, NULL, err)) return false;
    printf("    esac ;;\n"
           "    esac\n"
           "    case $cur in *,*) head=${cur%%,*},; cur=${cur##*,} ;; esac     # the last of a list\n"
           "    COMPREPLY=($(compgen -P \"$head\" -W \"$words\" -- \"$cur\"))\n"
           "    if [ -n \"$files\" ] && [ \"${cur#-}\" = \"$cur\" ]; then\n"
           "        while IFS= read -r i; do COMPREPLY+=(\"$head$i\"); done < <(compgen -\"$files\" -- \"$cur\")\n"
           "        compopt -o filenames 2>/dev/null\n"
           "    fi\n"
           "}\n"
           "complete -F _morbench morbench\n");
    return true;
}

/* ---- zsh ---- */

/* In single quotes, where brackets and colons mean something to _arguments. */
static void put_zsh(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') fputs("'\\''", stdout);
        else if (*text == '\n') putchar(' ');
        else {
            if (strchr("[]:\\", *text) != NULL) putchar('\\');
            putchar(*text);
        }
    }
}

static void zsh_option(const Option *o) {
    printf(" \\\n            '--%s[", o->name);
    put_zsh(o->help);
    putchar(']');
    if (o->value != NULL) {
        const ValueKind kind = value_kind(o);
        putchar(':');
        put_zsh(o->value);
        if (kind == VALUE_FILE)      fputs(":_files", stdout);
        else if (kind == VALUE_DIR)  fputs(":_files -/", stdout);
        else if (kind != VALUE_FREE) {
            fputs(":(", stdout);
            put_value_words(o);
            fputs(")", stdout);
        } else putchar(':');
    }
    putchar('\'');
}

static void zsh_command(void *self, const Usage *usage) {
    (void)self;
    if (contains(usage->command, " ")) return;          /* of sub-commands zsh completes the words and files */
    char word[COMMAND_WORD_SIZE];
    printf("    %s) _arguments", usage->command);
    for (const Option *o = usage->options; o->name != NULL; o++) zsh_option(o);
    for (const Option *o = runtime_settings(); o->name != NULL; o++) zsh_option(o);
    fputs(" \\\n            '--help[what the command takes]'", stdout);
    if (command_word(usage->operands, 0, word)) {
        fputs(" '1:what:(", stdout);
        for (int i = 0; command_word(usage->operands, i, word); i++) printf(" %s", word);
        fputs(")'", stdout);
    } else if (usage->operands[0] == '[' || islower((unsigned char)usage->operands[0])) {
        fputs(" '1:what:(", stdout);
        put_words(usage->operands);
        fputs(")'", stdout);
    } else if (usage->operands[0] != '\0') fputs(" '*:file:_files'", stdout);
    fputs(" ;;\n", stdout);
}

static bool zsh(Error *err) {
    printf("#compdef morbench\n# made by `morbench completion zsh`\n_morbench() {\n    local -a names\n    names=(\n");
    for (const Command *c = commands; c->name != NULL; c++) {
        printf("        '%s:", c->name);
        put_zsh(c->help);
        fputs("'\n", stdout);
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe command names\n        return\n    fi\n"
           "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n    help) _describe command names ;;\n");
    if (!commands_describe(zsh_command, NULL, err)) return false;
    printf("    esac\n}\n_morbench \"$@\"\n");
    return true;
}

int cmd_completion(int argc, char **argv, Error *err) {
    const Option options[] = {OPTIONS_END};
    const Usage  usage = {"completion", "bash|zsh", "Prints what a shell needs to complete commands, options and their values:\n"
                          "source <(morbench completion bash)", options, 1, 1};
    const int first = options_parse(argc, argv, &usage, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    bool ok;
    if (strcmp(argv[first], "bash") == 0)     ok = bash(err);
    else if (strcmp(argv[first], "zsh") == 0) ok = zsh(err);
    else                                      ok = FAIL(err, argv[first], "must be bash or zsh");
    return ok ? EXIT_OK : err->exit_status;
}
