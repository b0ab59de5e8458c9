/* A pre-norm block whose keys and values may be those of other rows than its queries (rules share, update, all), and which
 * may have parts of its own in each recursion. */
#ifndef MODELS_MOR_BLOCK_H
#define MODELS_MOR_BLOCK_H

#include "models/mor_route.h"

/* Keys and values of all tokens of all images, for one block or one position of the stack. */
typedef struct KvSlot {
    Tensor *rows;                /* (B T, 2D): keys, values; NULL: not there yet */
    int     last_step;           /* in which it was used last; -1 never */
} KvSlot;

/* What a block reads besides its input. */
typedef struct BlockUse {
    const ActiveRows   *active;  /* the rows of its input */
    KvSlot             *slot;    /* NULL: only active rows are visible */
    bool                fresh;   /* the active rows' keys and values are computed and put into the slot */
    bool                frozen;  /* so are those of rows that stopped since the slot was last used, from h */
    int                 step;
    Tensor             *h;       /* (B T,D) the residual stream, where stopped rows lie */
    const MorCondition *condition;   /* NULL: none */
    int                 layer;   /* unrolled; addresses random draws */
    double              drop_path;
} BlockUse;

/* z (n,D) -> (n,D). While the tape does not record, z is overwritten. Opens the scopes "attn" and "mlp". */
Tensor *mor_block(MorRun *run, const VitBlock *w, Tensor *z, const BlockUse *use);

#endif
