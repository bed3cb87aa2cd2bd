/* SPDX-License-Identifier: BSD-3-Clause
 *
 * md5_lanes - a part of md5.c, which includes it once for each width of a vector. No guard against that, on purpose.
 *
 * LANES_WIDTH   keys in a vector, 4 or 8
 * LANES_NAME    the function to define: the first words of up to 2 * LANES_WIDTH keys of at most SHORT_MAX bytes
 * LANES_TARGET  the attribute that lets the compiler use the instructions for such vectors
 */
LANES_TARGET static void LANES_NAME(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]) {
    typedef uint32_t vec __attribute__((vector_size(4 * LANES_WIDTH)));
    const char *keys[2 * LANES_WIDTH];
    uint32_t lens[2 * LANES_WIDTH], longest = 0;
    vec m[2][16] = {{{0}}};                          /* word k of all keys of one vector side by side */
    for (unsigned i = 0; i < 2 * LANES_WIDTH; i++) { /* places that are not needed work on the first key once more */
        keys[i] = key[i < n ? i : 0];
        lens[i] = len[i < n ? i : 0];
        if (lens[i] > longest) longest = lens[i];
    }
    for (unsigned v = 0; v < 2; v++) {
        const char **k = keys + v * LANES_WIDTH;
        uint32_t *l = lens + v * LANES_WIDTH;
        for (unsigned at = 0; at <= longest; at += 16) {
            vec r[4], t[4];
            for (unsigned j = 0; j < 4; j++) {
#if LANES_WIDTH == 8
                vec4 low = row(k[j], l[j], at), high = row(k[4 + j], l[4 + j], at);
                r[j] = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
                r[j] = row(k[j], l[j], at);
#endif
            }
            /* Four words of four keys become four times one word of each, in each half by itself. */
#if LANES_WIDTH == 8
            t[0] = __builtin_shufflevector(r[0], r[1], 0, 8, 1, 9, 4, 12, 5, 13);
            t[1] = __builtin_shufflevector(r[2], r[3], 0, 8, 1, 9, 4, 12, 5, 13);
            t[2] = __builtin_shufflevector(r[0], r[1], 2, 10, 3, 11, 6, 14, 7, 15);
            t[3] = __builtin_shufflevector(r[2], r[3], 2, 10, 3, 11, 6, 14, 7, 15);
            m[v][at / 4] = __builtin_shufflevector(t[0], t[1], 0, 1, 8, 9, 4, 5, 12, 13);
            m[v][at / 4 + 1] = __builtin_shufflevector(t[0], t[1], 2, 3, 10, 11, 6, 7, 14, 15);
            m[v][at / 4 + 2] = __builtin_shufflevector(t[2], t[3], 0, 1, 8, 9, 4, 5, 12, 13);
            m[v][at / 4 + 3] = __builtin_shufflevector(t[2], t[3], 2, 3, 10, 11, 6, 7, 14, 15);
#else
            t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
            t[1] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
            t[2] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
            t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
            m[v][at / 4] = __builtin_shufflevector(t[0], t[1], 0, 1, 4, 5);
            m[v][at / 4 + 1] = __builtin_shufflevector(t[0], t[1], 2, 3, 6, 7);
            m[v][at / 4 + 2] = __builtin_shufflevector(t[2], t[3], 0, 1, 4, 5);
            m[v][at / 4 + 3] = __builtin_shufflevector(t[2], t[3], 2, 3, 6, 7);
#endif
        }
        memcpy(&m[v][14], l, sizeof(vec));
        m[v][14] <<= 3; /* the length, in bits */
    }
    vec a0 = (vec){0} + BEGIN_A, b0 = (vec){0} + BEGIN_B, c0 = (vec){0} + BEGIN_C, d0 = (vec){0} + BEGIN_D;
    vec a1 = a0, b1 = b0, c1 = c0, d1 = d0;
    STEPS_61(STEP_TWO)
    a0 += BEGIN_A;
    a1 += BEGIN_A;
    uint32_t first[2 * LANES_WIDTH];
    memcpy(first, &a0, sizeof a0);
    memcpy(first + LANES_WIDTH, &a1, sizeof a1);
    memcpy(out, first, n * sizeof *out);
}
#undef LANES_NAME
#undef LANES_TARGET
#undef LANES_WIDTH
