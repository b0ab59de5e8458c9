/* Hoare's selection: order[0..k-1] become the first k. Indices break ties, so there is one answer (select.h). */
#include "models/select.h"

#include <math.h>
#include <stdbool.h>

/* Whether row i comes before row j: larger score, then lower index. A score that is no number comes last. */
static bool before(const Real *score, const int32_t at[], int i, int j) {
    const Real a = score[at[i]], b = score[at[j]];
    if (isnan(a) || isnan(b)) return isnan(a) == isnan(b) ? i < j : isnan(b);
    return a > b || (a == b && i < j);
}

void select_best(int n, const Real *score, const int32_t at[], int k, uint8_t chosen[], int32_t order[]) {
    for (int i = 0; i < n; i++) {
        order[i]  = i;
        chosen[i] = k >= n;
    }
    if (k >= n || k <= 0) return;
    int low = 0, high = n - 1;
    while (low < high) {
        const int32_t pivot = order[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (before(score, at, order[i], pivot)) i++;
            while (before(score, at, pivot, order[j])) j--;
            if (i <= j) {
                const int32_t swap = order[i];
                order[i++] = order[j];
                order[j--] = swap;
            }
        }
        if (k - 1 <= j)      high = j;
        else if (k - 1 >= i) low = i;
        else break;
    }
    for (int i = 0; i < k; i++) chosen[order[i]] = 1;
}
