/* A plugin for qemu's user-mode emulator, that counts the ARM64 instructions that a program executes between two marks.
 *
 * The program sets a mark with system call MARK_CALL, which Linux does not have: its first argument is 1 to start, with
 * all counts at 0, and 2 to stop; the second and third are the first address of a library and the one behind its last;
 * the fourth and fifth are where the library's function that runs an operator begins, and where it returns to. At a
 * stop, the counts are appended to the file of the option `out`, each line after a word that says what it is:
 *
 *   operator  an operator's instructions of each kind, those of this library, from the function's beginning until it
 *             returns; in the order in which they ran
 *   outside   the same between, before and after operators
 *   block     a block of instructions of this library that ran: its address in the library, how often it ran, and how
 *             many instructions of each kind it has
 *   elsewhere the number of instructions outside this library
 *
 * Built with -DPLUGIN_VERSION=N, the version of the plugin interface that the emulator has. Its header is not part of
 * the emulator's packages, so what is used of it is declared here (qemu-plugin.h, GPL-2.0-or-later; these are names).
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK_CALL 21320
#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;

EXPORTED int qemu_plugin_version = PLUGIN_VERSION;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*callback)(unsigned int, void *), int flags,
                                          void *userdata);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                          void (*callback)(qemu_plugin_id_t, unsigned int, int64_t, uint64_t, uint64_t,
                                                           uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
#if PLUGIN_VERSION >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *destination, size_t length);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif

/* In the order of `InstructionKind` in instruction_report.py. */
enum kind { SDOT, SMMLA, WIDENING, FMLA, LOAD, STORE, BRANCH, SIMD, PERMUTE, OTHER, KINDS };

struct block {
    struct block *next, *next_open;
    uint64_t address;
    uint64_t runs;
    uint64_t open_runs; /* those of `runs` that no tally has yet */
    uint32_t instructions[KINDS];
};

struct tally {
    uint64_t instructions[KINDS];
};

static struct block *blocks, *open_blocks; /* all, and those that have open runs */
static bool is_counting, is_in_operator;
static uint64_t library_begin, library_end, operator_begin, operator_end;
static struct tally outside, *operators;
static size_t operator_count, operator_capacity;
static const char *out;

/* The kind of an instruction, by its encoding (Arm Architecture Reference Manual, C4.1). */
static enum kind classify(uint32_t word) {
    if ((word & 0x0A000000) == 0x08000000) { /* loads and stores */
        bool is_simd = word >> 26 & 1, bit = word >> 22 & 1;
        if ((word & 0x3B000000) == 0x18000000) return LOAD; /* literal */
        if ((word & 0x3A000000) == 0x28000000 || (word & 0x3F000000) == 0x08000000) return bit ? LOAD : STORE;
        if ((word & 0xBE000000) == 0x0C000000) return bit ? LOAD : STORE; /* structures */
        if ((word >> 22 & 3) == 0) return STORE;
        return is_simd && !bit ? STORE : LOAD;
    }
    if ((word & 0xFFC00000) == 0xD5000000) return OTHER; /* hints, barriers, system registers */
    if ((word & 0x1C000000) == 0x14000000) return BRANCH;
    if ((word & 0x0E000000) != 0x0E000000) return OTHER;
    if ((word & 0xBFE0FC00) == 0x0E809400 || (word & 0xBFC0F400) == 0x0F80E000) return SDOT;
    if ((word & 0xFFE0FC00) == 0x4E80A400) return SMMLA;
    /* smull, smlal: vectors, and by element */
    if ((word & 0xBF20BC00) == 0x0E208000 || (word & 0xBF007400) == 0x0F002000) return WIDENING;
    /* fmla and fmls in float32 and float16: vectors, and by element; scalar fmadd and its kin */
    if ((word & 0xBF20FC00) == 0x0E20CC00 || (word & 0xBF60FC00) == 0x0E400C00) return FMLA;
    if ((word & 0xBF80B400) == 0x0F801000 || (word & 0xBFC0B400) == 0x0F001000) return FMLA;
    if ((word & 0xFF000000) == 0x1F000000) return FMLA;
    /* zip, uzp and trn; ext; tbl and tbx; dup, ins, umov and smov */
    if ((word & 0xBF208C00) == 0x0E000800 || (word & 0xBFE08400) == 0x2E000000) return PERMUTE;
    if ((word & 0xBFE08C00) == 0x0E000000 || (word & 0x9FE08400) == 0x0E000400) return PERMUTE;
    return SIMD;
}

static bool is_in_library(const struct block *block) {
    return block->address >= library_begin && block->address < library_end;
}

/* Add the open runs to an operator's tally, or to that of what is outside. */
static void settle(struct tally *tally) {
    for (; open_blocks; open_blocks = open_blocks->next_open) {
        for (int kind = 0; kind < KINDS; kind++)
            tally->instructions[kind] += open_blocks->open_runs * open_blocks->instructions[kind];
        open_blocks->open_runs = 0;
    }
}

static void begin_operator(void) {
    settle(&outside);
    if (operator_count == operator_capacity) {
        operator_capacity = operator_capacity ? 2 * operator_capacity : 256;
        operators = realloc(operators, operator_capacity * sizeof *operators);
        if (!operators) abort();
    }
    operators[operator_count++] = (struct tally){0};
    is_in_operator = true;
}

static void end_operator(void) {
    settle(&operators[operator_count - 1]);
    is_in_operator = false;
}

static void count(unsigned int cpu, void *data) {
    (void)cpu;
    if (!is_counting) return;
    struct block *block = data;
    if (!is_in_operator && block->address == operator_begin) begin_operator();
    if (is_in_operator && block->address == operator_end) end_operator();
    block->runs++;
    if (!is_in_library(block)) return;
    if (!block->open_runs++) block->next_open = open_blocks, open_blocks = block;
}

static void add_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct block *block = calloc(1, sizeof *block);
    if (!block) abort();
    block->address = qemu_plugin_tb_vaddr(tb);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        uint32_t word;
#if PLUGIN_VERSION >= 3
        qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i), &word, sizeof word);
#else
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
#endif
        block->instructions[classify(word)]++;
    }
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count, 0, block);
}

static void write_numbers(FILE *file, const char *word, const struct tally *tally) {
    fputs(word, file);
    for (int kind = 0; kind < KINDS; kind++) fprintf(file, " %" PRIu64, tally->instructions[kind]);
    fputc('\n', file);
}

static void write_counts(void) {
    FILE *file = fopen(out, "a");
    if (!file) abort();
    for (size_t i = 0; i < operator_count; i++) write_numbers(file, "operator", &operators[i]);
    write_numbers(file, "outside", &outside);
    uint64_t elsewhere = 0;
    for (const struct block *block = blocks; block; block = block->next) {
        if (!block->runs) continue;
        if (!is_in_library(block)) {
            for (int kind = 0; kind < KINDS; kind++) elsewhere += block->runs * block->instructions[kind];
            continue;
        }
        fprintf(file, "block %" PRIu64 " %" PRIu64, block->address - library_begin, block->runs);
        for (int kind = 0; kind < KINDS; kind++) fprintf(file, " %" PRIu32, block->instructions[kind]);
        fputc('\n', file);
    }
    fprintf(file, "elsewhere %" PRIu64 "\n", elsewhere);
    if (fclose(file)) abort();
}

static void mark(qemu_plugin_id_t id, unsigned int cpu, int64_t call, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                 uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    (void)id, (void)cpu, (void)a6, (void)a7, (void)a8;
    if (call != MARK_CALL) return;
    if (a1 == 1) {
        for (struct block *block = blocks; block; block = block->next) block->runs = block->open_runs = 0;
        library_begin = a2, library_end = a3, operator_begin = a4, operator_end = a5;
        operator_count = 0, outside = (struct tally){0}, open_blocks = NULL;
        is_counting = true;
    } else if (is_counting) {
        is_counting = false;
        settle(is_in_operator ? &operators[operator_count - 1] : &outside);
        is_in_operator = false;
        write_counts();
    }
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count_of_options, char **options) {
    (void)info;
    if (count_of_options != 1 || strncmp(options[0], "out=", 4)) return 1;
    out = strdup(options[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, add_block);
    qemu_plugin_register_vcpu_syscall_cb(id, mark);
    return 0;
}
