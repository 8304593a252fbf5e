/* kernel: the users' equilibrium of a small market, and the pieces along one of the leader's decisions, in plain C.

   What `equilibrium.py`, `laplacian.py` and `curves/trace.py` do, by the same steps and with the same thresholds, where
   numpy's cost of a call rules: see there for the mathematics, and for the names. Whatever is out of the ordinary (full
   Newton steps that do not settle, a system with too few digits, a breakpoint where too many pairs move) is given up, and
   left to them. K is solved by its Schur complement on the shorter side; along a trace that is an inverse, which each
   flip changes by a term of rank one.

   An object keeps copies of a market's figures and room to work in. Nothing here calls back into Python, or leaves its
   lock, so that one thread at a time works with an object. Supports are bytes, one a pair, user by user, 1 or 0. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FORM 2 /* of what Python calls here; `kernel.py` takes no other */
#define GUESS_ROUNDS 2
#define FULL_STEPS 20
#define ROUNDING (16 * 2.220446049250313e-16)
#define MISSED 1e-13
#define ZERO_SLACK 1e-12
#define ZERO_RATE 1e-12
#define LEAST_RATIO 1e-6
#define REFRESH 64
#define MOST_TIED 4096
#define BETTER 1e-13

typedef struct {
    PyObject_HEAD
    Py_ssize_t n, m, k, size; /* size: of the system that is left of K */
    Py_ssize_t ample;         /* the provider that no load congests, or -1 */
    int congested, by_provider, by_load;
    double stiffness;
    /* Figures: offsets where all decisions are 0 (n m), sensitivities (k n), widths (n m), and so on. */
    double *base, *rho, *alpha, *demand, *width, *volumes;
    int32_t *decided;
    double *others; /* of each user: its widths but for the ample provider's, added up */
    /* The support, as bytes and as lists of each user's providers and each provider's users. */
    uint8_t *support, *after;
    int32_t *provider_of, *providers, *user_of, *users;
    /* K's diagonal, the Schur complement, its factor or its inverse, and the pivots. */
    double *user, *provider, *schur, *pivot;
    int factored, inverted;
    /* Where the computation stands. */
    double *offsets, *level, *congestion, *d_level, *d_congestion, *flow, *load;
    double *right_user, *right_provider, *short_right, *edge_user, *edge_provider;
    double *room, *rate, *sign;
    void *memory;
} Small;

/* K on a support */

static void set_sums_user(Small *s, Py_ssize_t i) {
    double sum = 0.0;
    for (int32_t c = 0; c < s->providers[i]; c++) sum += s->width[i * s->m + s->provider_of[i * s->m + c]];
    s->user[i] = sum;
}

static void set_sums_provider(Small *s, Py_ssize_t j) {
    double sum = s->alpha[j];
    for (int32_t c = 0; c < s->users[j]; c++) sum += s->width[s->user_of[j * s->n + c] * s->m + j];
    s->provider[j] = sum;
}

static void make_lists(Small *s) {
    memset(s->users, 0, (size_t)s->m * sizeof *s->users);
    for (Py_ssize_t i = 0; i < s->n; i++) {
        const uint8_t *row = s->support + i * s->m;
        int32_t count = 0;
        for (Py_ssize_t j = 0; j < s->m; j++) {
            if (row[j]) {
                s->provider_of[i * s->m + count++] = (int32_t)j;
                s->user_of[j * s->n + s->users[j]++] = (int32_t)i;
            }
        }
        s->providers[i] = count;
        set_sums_user(s, i);
    }
    for (Py_ssize_t j = 0; j < s->m; j++) set_sums_provider(s, j);
}

/* What is left of K without the longer side: its upper triangle. */
static void make_schur(Small *s) {
    Py_ssize_t size = s->size;
    memset(s->schur, 0, (size_t)(size * size) * sizeof(double));
    if (s->by_provider) {
        for (Py_ssize_t i = 0; i < s->n; i++) {
            const int32_t *mine = s->provider_of + i * s->m;
            const double *width = s->width + i * s->m;
            double part = -1.0 / s->user[i];
            for (int32_t c = 0; c < s->providers[i]; c++) {
                double *row = s->schur + mine[c] * size, scaled = part * width[mine[c]];
                for (int32_t d = c; d < s->providers[i]; d++) row[mine[d]] += scaled * width[mine[d]];
            }
        }
        for (Py_ssize_t j = 0; j < size; j++) s->schur[j * size + j] += s->provider[j];
    } else {
        for (Py_ssize_t j = 0; j < s->m; j++) {
            const int32_t *mine = s->user_of + j * s->n;
            double part = -1.0 / s->provider[j];
            for (int32_t c = 0; c < s->users[j]; c++) {
                double *row = s->schur + mine[c] * size, scaled = part * s->width[mine[c] * s->m + j];
                for (int32_t d = c; d < s->users[j]; d++) row[mine[d]] += scaled * s->width[mine[d] * s->m + j];
            }
        }
        for (Py_ssize_t i = 0; i < size; i++) s->schur[i * size + i] += s->user[i];
    }
}

/* Gauss's elimination of a symmetric matrix, in its upper triangle; whether it is positive definite. */
static int factor(Small *s) {
    Py_ssize_t size = s->size;
    s->inverted = 0;
    if (!s->congested) return 1;
    make_schur(s);
    for (Py_ssize_t k = 0; k < size; k++) {
        const double *top = s->schur + k * size;
        if (!(top[k] > 0.0)) return 0;
        s->pivot[k] = 1.0 / top[k];
        for (Py_ssize_t i = k + 1; i < size; i++) {
            double part = top[i] * s->pivot[k], *row = s->schur + i * size;
            if (part == 0.0) continue;
            for (Py_ssize_t j = i; j < size; j++) row[j] -= part * top[j];
        }
    }
    return 1;
}

/* Its inverse by sweeps, in the upper triangle first; whether it is positive definite. */
static int invert(Small *s) {
    Py_ssize_t size = s->size;
    double *matrix = s->schur, *swept = s->short_right;
    s->inverted = 1;
    if (!s->congested) return 1;
    make_schur(s);
    for (Py_ssize_t k = 0; k < size; k++) {
        double *top = matrix + k * size, pivot = 1.0 / top[k];
        if (!(top[k] > 0.0)) return 0;
        for (Py_ssize_t i = 0; i < k; i++) swept[i] = matrix[i * size + k];
        swept[k] = 0.0;
        for (Py_ssize_t j = k + 1; j < size; j++) swept[j] = top[j];
        for (Py_ssize_t i = 0; i < size; i++) {
            double *row = matrix + i * size, part = swept[i] * pivot;
            if (part == 0.0) continue;
            for (Py_ssize_t j = i; j < size; j++) row[j] -= part * swept[j];
            if (i < k) row[k] = part;
        }
        for (Py_ssize_t j = k + 1; j < size; j++) top[j] = swept[j] * pivot;
        top[k] = -pivot;
    }
    for (Py_ssize_t i = 0; i < size; i++)
        for (Py_ssize_t j = i; j < size; j++) matrix[i * size + j] = matrix[j * size + i] = -matrix[i * size + j];
    return 1;
}

static double dot(const double *a, const double *b, Py_ssize_t size) {
    double one = 0.0, two = 0.0, three = 0.0, four = 0.0;
    Py_ssize_t k = 0;
    for (; k + 4 <= size; k += 4) {
        one += a[k] * b[k];
        two += a[k + 1] * b[k + 1];
        three += a[k + 2] * b[k + 2];
        four += a[k + 3] * b[k + 3];
    }
    for (; k < size; k++) one += a[k] * b[k];
    return (one + two) + (three + four);
}

/* The system of the shorter side, from short_right to `found`. */
static void solve_short(Small *s, double *found) {
    Py_ssize_t size = s->size;
    double *right = s->short_right;
    if (!s->congested) {
        memset(found, 0, (size_t)size * sizeof(double));
        return;
    }
    if (s->inverted) {
        for (Py_ssize_t i = 0; i < size; i++) found[i] = dot(s->schur + i * size, right, size);
        return;
    }
    for (Py_ssize_t k = 0; k < size; k++) {
        const double *row = s->schur + k * size;
        double part = right[k] *= s->pivot[k];
        if (part == 0.0) continue;
        for (Py_ssize_t i = k + 1; i < size; i++) right[i] -= row[i] * part;
    }
    for (Py_ssize_t k = size - 1; k >= 0; k--)
        found[k] = right[k] - s->pivot[k] * dot(s->schur + k * size + k + 1, found + k + 1, size - k - 1);
}

/* K (a, b) = (user, provider). */
static void solve(Small *s, const double *user, const double *provider, double *a, double *b) {
    if (s->by_provider) {
        memcpy(s->short_right, provider, (size_t)s->m * sizeof(double));
        for (Py_ssize_t i = 0; i < s->n; i++) {
            double each = user[i] / s->user[i];
            for (int32_t c = 0; c < s->providers[i]; c++) {
                Py_ssize_t j = s->provider_of[i * s->m + c];
                s->short_right[j] += s->width[i * s->m + j] * each;
            }
        }
        solve_short(s, b);
        for (Py_ssize_t i = 0; i < s->n; i++) {
            double sum = user[i];
            for (int32_t c = 0; c < s->providers[i]; c++) {
                Py_ssize_t j = s->provider_of[i * s->m + c];
                sum += s->width[i * s->m + j] * b[j];
            }
            a[i] = sum / s->user[i];
        }
    } else {
        memcpy(s->short_right, user, (size_t)s->n * sizeof(double));
        for (Py_ssize_t j = 0; j < s->m; j++) {
            double each = provider[j] / s->provider[j];
            for (int32_t c = 0; c < s->users[j]; c++) {
                Py_ssize_t i = s->user_of[j * s->n + c];
                s->short_right[i] += s->width[i * s->m + j] * each;
            }
        }
        solve_short(s, a);
        for (Py_ssize_t j = 0; j < s->m; j++) {
            double sum = provider[j];
            for (int32_t c = 0; c < s->users[j]; c++) {
                Py_ssize_t i = s->user_of[j * s->n + c];
                sum += s->width[i * s->m + j] * a[i];
            }
            b[j] = sum / s->provider[j];
        }
    }
}

/* The equilibrium */

static void set_offsets(Small *s, const double *prices) {
    memcpy(s->offsets, s->base, (size_t)(s->n * s->m) * sizeof(double));
    for (Py_ssize_t k = 0; k < s->k; k++)
        for (Py_ssize_t i = 0; i < s->n; i++)
            s->offsets[i * s->m + s->decided[k]] += s->rho[k * s->n + i] * prices[k];
}

static double noise_of(const Small *s) {
    double level = 0.0, congestion = 0.0;
    for (Py_ssize_t i = 0; i < s->n; i++) {
        double size = fabs(s->level[i]);
        if (!(size <= level)) level = size; /* so that what is no number stays */
    }
    for (Py_ssize_t j = 0; j < s->m; j++) {
        double size = fabs(s->congestion[j]);
        if (!(size <= congestion)) congestion = size;
    }
    return ROUNDING * (level + congestion);
}

static double water(Small *s) {
    /* Floors and widths are in edge_provider and load, the volume is all demand; provider_of takes their order. */
    double volume = 0.0, taken = 0.0, width = 0.0, level = 0.0;
    Py_ssize_t m = s->m;
    int32_t *order = s->provider_of;
    for (Py_ssize_t i = 0; i < s->n; i++) volume += s->demand[i];
    for (Py_ssize_t j = 0; j < m; j++) {
        Py_ssize_t place = j;
        for (; place > 0 && s->edge_provider[order[place - 1]] > s->edge_provider[j]; place--)
            order[place] = order[place - 1];
        order[place] = (int32_t)j;
    }
    for (Py_ssize_t place = 0; place < m; place++) {
        Py_ssize_t j = order[place];
        taken += s->load[j] * s->edge_provider[j];
        width += s->load[j];
        level = (volume + taken) / width;
        if (place + 1 < m && level < s->edge_provider[order[place + 1]]) break;
    }
    return level;
}

/* Give a user whom `after` leaves without a provider its cheapest one. */
static void serve(Small *s, Py_ssize_t i, const double *congestion) {
    uint8_t *row = s->after + i * s->m;
    const double *offsets = s->offsets + i * s->m;
    Py_ssize_t best = 0;
    if (memchr(row, 1, (size_t)s->m)) return;
    for (Py_ssize_t j = 1; j < s->m; j++)
        if (offsets[j] + congestion[j] < offsets[best] + congestion[best]) best = j;
    row[best] = 1;
}

static void guess(Small *s) {
    Py_ssize_t n = s->n, m = s->m;
    double *best = s->edge_provider, *each = s->load, *total = s->right_provider, *congestion = s->congestion;
    for (Py_ssize_t j = 0; j < m; j++) {
        best[j] = s->offsets[j];
        total[j] = 0.0;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        for (Py_ssize_t j = 0; j < m; j++) {
            double offset = s->offsets[i * m + j];
            if (offset < best[j]) best[j] = offset;
            total[j] += s->width[i * m + j];
        }
    for (Py_ssize_t j = 0; j < m; j++) each[j] = 1.0 / (1.0 / s->alpha[j] + 1.0 / total[j]);
    double level = water(s);
    for (Py_ssize_t j = 0; j < m; j++)
        congestion[j] = level > best[j] ? (level - best[j]) / (1.0 + s->alpha[j] / total[j]) : 0.0;
    for (Py_ssize_t i = 0; i < n; i++) {
        const double *offsets = s->offsets + i * m, *width = s->width + i * m;
        double high = INFINITY;
        for (int round = 0; round <= GUESS_ROUNDS; round++) {
            double asked = s->demand[i], taken = 0.0;
            for (Py_ssize_t j = 0; j < m; j++) {
                double cost = offsets[j] + congestion[j], part = cost < high ? width[j] : 0.0;
                asked += part * cost;
                taken += part;
            }
            if (taken > 0.0) high = asked / taken;
        }
        for (Py_ssize_t j = 0; j < m; j++) s->after[i * m + j] = offsets[j] + congestion[j] < high;
        serve(s, i, congestion);
    }
}

/* Users of the ample provider leave it by the signs of their flows; whether all stay. */
static int leave_ample(Small *s, double noise) {
    Py_ssize_t m = s->m, ample = s->ample;
    int all = 1;
    for (Py_ssize_t i = 0; i < s->n; i++) {
        if (!s->support[i * m + ample]) continue;
        double left = s->demand[i], others = 0.0;
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * m + c];
            if (j == ample) continue;
            others += s->width[i * m + j];
            left -= s->width[i * m + j] * (s->level[i] - s->offsets[i * m + j] - s->congestion[j]);
        }
        int stays = left >= -noise * others;
        s->after[i * m + ample] = (uint8_t)stays;
        all &= stays;
    }
    return all;
}

static int is_settled(const Small *s, double noise) {
    for (Py_ssize_t i = 0; i < s->n; i++)
        for (Py_ssize_t j = 0; j < s->m; j++) {
            Py_ssize_t pair = i * s->m + j;
            if (s->support[pair] != s->after[pair] &&
                !(fabs(s->level[i] - s->offsets[pair] - s->congestion[j]) <= s->stiffness * noise))
                return 0;
        }
    return 1;
}

/* The top of the quadratic that Psi is on the support. */
static void top(Small *s) {
    Py_ssize_t m = s->m;
    memset(s->right_provider, 0, (size_t)m * sizeof(double));
    for (Py_ssize_t i = 0; i < s->n; i++) {
        double sum = s->demand[i];
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * m + c];
            double part = s->width[i * m + j] * s->offsets[i * m + j];
            sum += part;
            s->right_provider[j] -= part;
        }
        s->right_user[i] = sum;
    }
    solve(s, s->right_user, s->right_provider, s->level, s->congestion);
}

/* K on the support in `after`, unless it is the last one; whether it is positive definite. */
static int settle_on(Small *s) {
    if (!s->factored || memcmp(s->support, s->after, (size_t)(s->n * s->m))) {
        memcpy(s->support, s->after, (size_t)(s->n * s->m));
        make_lists(s);
        s->factored = factor(s);
    }
    return s->factored;
}

/* Newton's method from the support in `after`; the noise of what it ends at, or -1. */
static double newton(Small *s) {
    for (int step = 0; step < FULL_STEPS; step++) {
        if (!settle_on(s)) return -1.0;
        top(s);
        double noise = noise_of(s);
        if (!isfinite(noise)) return -1.0;
        for (Py_ssize_t i = 0; i < s->n; i++) {
            const double *offsets = s->offsets + i * s->m;
            uint8_t *row = s->after + i * s->m;
            for (Py_ssize_t j = 0; j < s->m; j++) row[j] = offsets[j] + s->congestion[j] < s->level[i];
        }
        int stay = s->ample < 0 || leave_ample(s, noise);
        for (Py_ssize_t i = 0; i < s->n; i++) serve(s, i, s->congestion);
        if (stay && is_settled(s, noise)) return noise;
    }
    return -1.0;
}

/* Flows of level and congestion, in `flow` and `load`, and what they miss of the demands; whether that is too much. */
static int route(Small *s, double *flow, double *routed) {
    int missed = 0;
    memset(s->load, 0, (size_t)s->m * sizeof(double));
    for (Py_ssize_t i = 0; i < s->n; i++) {
        routed[i] = 0.0;
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * s->m + c], pair = i * s->m + j;
            flow[pair] = s->width[pair] * (s->level[i] - s->offsets[pair] - s->congestion[j]);
            routed[i] += flow[pair];
            s->load[j] += flow[pair];
        }
        missed |= fabs(s->demand[i] - routed[i]) > MISSED * s->demand[i];
    }
    return missed;
}

/* Flows to full digits. */
static void settle_flows(Small *s, double *flow) {
    double *routed = s->right_user;
    memset(flow, 0, (size_t)(s->n * s->m) * sizeof(double));
    if (route(s, flow, routed)) { /* a step of iterative refinement */
        for (Py_ssize_t i = 0; i < s->n; i++) routed[i] = s->demand[i] - routed[i];
        for (Py_ssize_t j = 0; j < s->m; j++)
            s->right_provider[j] = s->congested ? s->load[j] - s->alpha[j] * s->congestion[j] : 0.0;
        solve(s, routed, s->right_provider, s->edge_user, s->edge_provider);
        for (Py_ssize_t i = 0; i < s->n; i++) {
            routed[i] = 0.0;
            for (int32_t c = 0; c < s->providers[i]; c++) {
                Py_ssize_t j = s->provider_of[i * s->m + c], pair = i * s->m + j;
                double better = flow[pair] + s->width[pair] * (s->edge_user[i] - s->edge_provider[j]);
                flow[pair] = better > 0.0 ? better : 0.0;
                routed[i] += flow[pair];
            }
        }
    }
    for (Py_ssize_t i = 0; i < s->n; i++) {
        double part = s->demand[i] / routed[i];
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * s->m + c], pair = i * s->m + j;
            flow[pair] = flow[pair] > 0.0 ? flow[pair] * part : 0.0;
        }
    }
}

/* The pieces along one decision */

typedef struct {
    double *prices, still, zero;
    Py_ssize_t decision, column;
    int moves, tied;
    /* The pair that ends the present piece, where, and whether it is the last. */
    Py_ssize_t pair;
    double reached;
    int ready, last;
} Trace;

static Trace trace_of(const Small *s, double *prices, Py_ssize_t decision) {
    Trace t = {.prices = prices, .decision = decision, .column = s->decided[decision]};
    for (Py_ssize_t i = 0; i < s->n; i++)
        if (s->rho[decision * s->n + i] > t.still) t.still = s->rho[decision * s->n + i];
    t.still *= ZERO_RATE;
    return t;
}

/* Give the ample provider's users the room or rate that their other flows leave of a volume; see `trace.py`. */
static void close_ample(Small *s, double *values, const double *volume) {
    if (s->ample < 0) return;
    for (Py_ssize_t i = 0; i < s->n; i++) {
        if (!s->support[i * s->m + s->ample]) continue;
        double left = volume ? volume[i] : 0.0;
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * s->m + c];
            if (j != s->ample) left -= s->width[i * s->m + j] * values[i * s->m + j];
        }
        values[i * s->m + s->ample] = left / s->others[i];
    }
}

/* How levels and congestion answer a decision on the support. */
static void set_rates(Small *s, Py_ssize_t decision) {
    Py_ssize_t j = s->decided[decision];
    memset(s->right_user, 0, (size_t)s->n * sizeof(double));
    memset(s->right_provider, 0, (size_t)s->m * sizeof(double));
    for (int32_t c = 0; c < s->users[j]; c++) {
        Py_ssize_t i = s->user_of[j * s->n + c];
        double pull = s->width[i * s->m + j] * s->rho[decision * s->n + i];
        s->right_user[i] = pull;
        s->right_provider[j] -= pull;
    }
    solve(s, s->right_user, s->right_provider, s->d_level, s->d_congestion);
}

/* Everything from the support and the prices; whether its system has digits enough. */
static int synchronise(Small *s, Trace *t) {
    Py_ssize_t n = s->n, m = s->m;
    const double *rho = s->rho + t->decision * n;
    make_lists(s);
    s->factored = 0; /* it is an inverse, and will be that of other supports */
    if (!invert(s)) return 0;
    set_offsets(s, t->prices);
    top(s);
    t->zero = noise_of(s) / ROUNDING * ZERO_SLACK;
    if (!isfinite(t->zero)) return 0;
    set_rates(s, t->decision);
    for (Py_ssize_t i = 0; i < n; i++)
        for (Py_ssize_t j = 0; j < m; j++) {
            Py_ssize_t pair = i * m + j;
            double sign = s->support[pair] ? 1.0 : -1.0, rate = s->d_level[i] - s->d_congestion[j];
            if (j == t->column) rate -= rho[i];
            s->room[pair] = sign * (s->level[i] - s->congestion[j] - s->offsets[pair]);
            s->rate[pair] = sign * rate;
            s->sign[pair] = s->support[pair] && j == s->ample ? s->width[pair] / s->others[i] : sign;
        }
    close_ample(s, s->room, s->demand);
    close_ample(s, s->rate, NULL);
    t->moves = 0;
    return 1;
}

/* The pair that limits how far the price can rise, and how far that is. */
static Py_ssize_t next_pair(const Small *s, const Trace *t, double *distance) {
    Py_ssize_t pair = -1, tied = -1;
    double least = 0.0;
    for (Py_ssize_t p = 0; p < s->n * s->m; p++) {
        double rate = s->rate[p], room = s->room[p];
        if (room <= t->zero) {
            if (tied < 0 && rate < -t->still) tied = p;
            room = t->zero;
        }
        if (rate < least * room && rate < -t->still) {
            least = rate / room;
            pair = p;
        }
    }
    if (pair >= 0 && s->room[pair] <= t->zero) pair = tied;
    *distance = pair < 0 ? INFINITY : s->room[pair] > t->zero ? -s->room[pair] / s->rate[pair] : 0.0;
    return pair;
}

static void list_move(int32_t *list, int32_t *count, int32_t what, int enters) {
    int32_t place = 0;
    while (place < *count && list[place] < what) place++;
    if (enters) {
        memmove(list + place + 1, list + place, (size_t)(*count - place) * sizeof *list);
        list[place] = what;
        ++*count;
    } else {
        --*count;
        memmove(list + place, list + place + 1, (size_t)(*count - place) * sizeof *list);
    }
}

/* Move a pair without room in or out of the support; whether there are digits enough. */
static int flip(Small *s, Trace *t, Py_ssize_t pair) {
    Py_ssize_t n = s->n, m = s->m, size = s->size, i = pair / m, j = pair % m;
    double *a = s->edge_user, *b = s->edge_provider, *own = s->by_provider ? b : a;
    int enters = !s->support[pair];
    s->support[pair] = (uint8_t)enters;
    if (!enters && s->providers[i] == 1) return 0;
    if (t->moves == REFRESH || (j == s->ample && !enters)) return synchronise(s, t);
    /* K (a, b) = e_i - e_j, with the support as it was. */
    memset(s->right_user, 0, (size_t)n * sizeof(double));
    memset(s->right_provider, 0, (size_t)m * sizeof(double));
    s->right_user[i] = 1.0;
    s->right_provider[j] = -1.0;
    solve(s, s->right_user, s->right_provider, a, b);
    double step = enters ? s->width[pair] : -s->width[pair], ratio = 1.0 + step * (a[i] - b[j]);
    if (!(ratio >= LEAST_RATIO)) return synchronise(s, t);
    double kappa = step / ratio;
    if (s->congested)
        for (Py_ssize_t row = 0; row < size; row++) {
            double part = kappa * own[row], *entries = s->schur + row * size;
            for (Py_ssize_t column = 0; column < size; column++) entries[column] -= part * own[column];
        }
    list_move(s->provider_of + i * m, s->providers + i, (int32_t)j, enters);
    list_move(s->user_of + j * n, s->users + j, (int32_t)i, enters);
    set_sums_user(s, i);
    set_sums_provider(s, j);
    double turn = kappa * s->rate[pair] / s->sign[pair];
    for (Py_ssize_t row = 0; row < n; row++) s->d_level[row] -= a[row] *= turn;
    for (Py_ssize_t column = 0; column < m; column++) s->d_congestion[column] -= b[column] *= turn;
    for (Py_ssize_t row = 0; row < n; row++)
        for (Py_ssize_t column = 0; column < m; column++)
            s->rate[row * m + column] -= s->sign[row * m + column] * (a[row] - b[column]);
    s->sign[pair] = j == s->ample ? s->width[pair] / s->others[i] : -s->sign[pair];
    s->room[pair] = 0.0;
    s->rate[pair] = -s->rate[pair];
    close_ample(s, s->rate, NULL);
    t->moves++;
    return 1;
}

static void advance(Small *s, Trace *t, double price) {
    double length = price - t->prices[t->decision];
    if (length == 0.0) {
        t->tied++;
        return;
    }
    t->tied = 0;
    t->prices[t->decision] = price;
    for (Py_ssize_t i = 0; i < s->n; i++) s->level[i] += length * s->d_level[i];
    for (Py_ssize_t j = 0; j < s->m; j++) s->congestion[j] += length * s->d_congestion[j];
    for (Py_ssize_t p = 0; p < s->n * s->m; p++) s->room[p] += length * s->rate[p];
}

/* Volumes of the decisions, what is earned besides, and their slopes: 2 k + 2 numbers. */
static void volumes_of(const Small *s, const Trace *t, double *found) {
    Py_ssize_t n = s->n, m = s->m, k = s->k;
    double *load = found, *slope = found + k, *rest = found + 2 * k;
    memset(found, 0, (size_t)(2 * k + 2) * sizeof(double));
    for (Py_ssize_t d = 0; s->by_load && d < k; d++) {
        load[d] = s->alpha[s->decided[d]] * s->congestion[s->decided[d]];
        slope[d] = s->alpha[s->decided[d]] * s->d_congestion[s->decided[d]];
    }
    for (Py_ssize_t i = 0; !s->by_load && i < n; i++)
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t pair = i * m + s->provider_of[i * m + c];
            double scale = s->width[pair] / s->sign[pair], flow = scale * s->room[pair], rise = scale * s->rate[pair];
            for (Py_ssize_t d = 0; d < k; d++) {
                load[d] += s->volumes[d * n * m + pair] * flow;
                slope[d] += s->volumes[d * n * m + pair] * rise;
            }
            rest[0] += s->volumes[k * n * m + pair] * flow;
            rest[1] += s->volumes[k * n * m + pair] * rise;
        }
    if (!s->users[t->column]) { /* zero but for rounding, and nobody comes back to a dearer provider */
        for (Py_ssize_t d = 0; d < k; d++) {
            if (s->decided[d] == t->column) load[d] = 0.0;
            slope[d] = 0.0;
        }
        rest[1] = 0.0;
    }
}

/* How the volumes of all decisions, and what is earned besides, answer one of them on the support: k + 1 numbers. */
static void slopes_of(Small *s, Py_ssize_t decision, double *slope) {
    Py_ssize_t n = s->n, m = s->m, k = s->k;
    const double *rho = s->rho + decision * n;
    memset(slope, 0, (size_t)(k + 1) * sizeof(double));
    set_rates(s, decision);
    for (Py_ssize_t d = 0; s->by_load && d < k; d++) slope[d] = s->alpha[s->decided[d]] * s->d_congestion[s->decided[d]];
    for (Py_ssize_t i = 0; !s->by_load && i < n; i++)
        for (int32_t c = 0; c < s->providers[i]; c++) {
            Py_ssize_t j = s->provider_of[i * m + c], pair = i * m + j;
            double rate = s->d_level[i] - s->d_congestion[j] - (j == s->decided[decision] ? rho[i] : 0.0);
            for (Py_ssize_t d = 0; d <= k; d++) slope[d] += s->volumes[d * n * m + pair] * s->width[pair] * rate;
        }
}

typedef struct {
    char *bytes;
    size_t used, size;
} Pile;

static int pile(Pile *on, const void *what, size_t size) {
    if (on->used + size > on->size) {
        size_t more = 2 * on->size + size + 1024;
        char *bytes = realloc(on->bytes, more);
        if (!bytes) return 0;
        on->bytes = bytes;
        on->size = more;
    }
    memcpy(on->bytes + on->used, what, size);
    on->used += size;
    return 1;
}

enum { GAVE_UP = -1, ENDED = 0, MORE = 1, NO_MEMORY = 2 };

/* Go to the next piece, to the end of which nothing moves: MORE and where it stops, or ENDED, or GAVE_UP. */
static int next_piece(Small *s, Trace *t, double end, double *stop, int32_t count, Pile *moved) {
    for (;;) {
        if (t->ready) {
            if (t->last) return ENDED;
            int32_t where[3] = {count, (int32_t)(t->pair / s->m), (int32_t)(t->pair % s->m)};
            advance(s, t, t->reached);
            if (t->tied > MOST_TIED || !flip(s, t, t->pair)) return GAVE_UP;
            if (moved && !pile(moved, where, sizeof where)) return NO_MEMORY;
        }
        double distance, begin = t->prices[t->decision];
        t->pair = next_pair(s, t, &distance);
        t->reached = begin + distance;
        t->last = t->reached >= end * (1 - ROUNDING) || !s->users[t->column];
        t->ready = 1;
        *stop = t->last ? end : t->reached;
        if (*stop > begin) return MORE;
    }
}

/* Pieces from the support in `support`, at most so many, to `end`: of each its end and its volumes. */
static int pieces(Small *s, Trace *t, double end, Py_ssize_t most, Pile *found, Pile *moved) {
    double stop, *volumes = s->flow;
    for (Py_ssize_t count = 0;; count++) {
        int ended = next_piece(s, t, end, &stop, (int32_t)count, moved);
        if (ended != MORE || count == most) return ended;
        volumes_of(s, t, volumes);
        if (!pile(found, &stop, sizeof stop) || !pile(found, volumes, (size_t)(2 * s->k + 2) * sizeof(double)))
            return NO_MEMORY;
    }
}

static double load_of(Small *s, Py_ssize_t provider) {
    double load = 0.0;
    settle_flows(s, s->flow);
    for (Py_ssize_t i = 0; i < s->n; i++) load += s->flow[i * s->m + provider];
    return load;
}

typedef struct {
    double price, profit, pieces, end, traced, there, noise;
} Best;

/* The best price of a leader that decides one alone, from the unit cost to the cap; see `solvers/small_path.py`. */
static int best_price(Small *s, double cost, double cap, Best *best) {
    double price = cost, begin = cost, stop, volumes[4];
    Trace t = trace_of(s, &price, 0);
    set_offsets(s, &price);
    guess(s);
    s->factored = 0;
    *best = (Best){.price = cost, .noise = newton(s)};
    if (best->noise < 0.0 || !synchronise(s, &t)) return 0;
    for (int ended;; begin = stop) {
        if ((ended = next_piece(s, &t, cap, &stop, 0, NULL)) == GAVE_UP) return 0;
        if (ended == ENDED) break;
        volumes_of(s, &t, volumes);
        double load = volumes[0], slope = volumes[1], length = stop - begin, rise = load + (begin - cost) * slope;
        double step = slope < 0.0 ? -rise / (2 * slope) : rise > 0.0 ? length : 0.0;
        step = step > length ? length : step > 0.0 ? step : 0.0;
        double profit = (begin + step - cost) * (load + slope * step);
        if (profit > best->profit * (1 + BETTER)) best->price = begin + step, best->profit = profit;
        best->pieces += 1;
        best->end = stop;
        best->traced = load + slope * length > 0.0 ? load + slope * length : 0.0;
        if ((cap - cost) * best->traced <= best->profit) break;
    }
    memcpy(s->after, s->support, (size_t)(s->n * s->m));
    set_offsets(s, &best->end);
    double noise = newton(s);
    if (noise > best->noise) best->noise = noise;
    best->there = load_of(s, t.column);
    return noise >= 0.0;
}

/* Python's side: lengths are checked here, and nowhere else */

typedef struct {
    Py_buffer view;
    int held;
} Held;

static void let_go(Held *held, int count) {
    for (int k = 0; k < count; k++)
        if (held[k].held) PyBuffer_Release(&held[k].view);
}

/* Hold an object's bytes, of a size that has to be right. */
static int hold(PyObject *object, Held *held, Py_ssize_t size, int writable, const char *name) {
    held->held = 0;
    if (PyObject_GetBuffer(object, &held->view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) return 0;
    held->held = 1;
    if (held->view.len == size) return 1;
    PyErr_Format(PyExc_ValueError, "%s: expected %zd bytes, got %zd", name, size, held->view.len);
    return 0;
}

static int makes_sense(Small *s) {
    for (Py_ssize_t k = 0; k < s->k; k++)
        if (s->decided[k] < 0 || s->decided[k] >= s->m) return 0;
    return s->ample >= -1 && s->ample < s->m;
}

enum { MOST_NUMBERS = 1 << 26 };

static int give_room(Small *s) {
    uint64_t n = (uint64_t)s->n, m = (uint64_t)s->m, k = (uint64_t)s->k, pairs = n * m, size = (uint64_t)s->size;
    uint64_t volumes = s->by_load ? 0 : (k + 1) * pairs, system = s->congested ? size * size : 0;
    uint64_t work = pairs > 2 * k + 2 ? pairs : 2 * k + 2;
    uint64_t doubles = 6 * pairs + k * n + volumes + work + system + 2 * size + 7 * n + 7 * m;
    uint64_t ints = k + 2 * pairs + n + m;
    if (doubles > MOST_NUMBERS || ints > MOST_NUMBERS) return 0;
    double *next = s->memory = calloc(1, (size_t)(doubles * sizeof(double) + ints * sizeof(int32_t) + 2 * pairs));
    if (!next) return 0;
#define TAKE(field, count) (s->field = next, next += (count))
    TAKE(base, pairs);
    TAKE(rho, k * n);
    TAKE(alpha, m);
    TAKE(demand, n);
    TAKE(width, pairs);
    TAKE(volumes, volumes);
    TAKE(others, n);
    TAKE(user, n);
    TAKE(provider, m);
    TAKE(schur, system);
    TAKE(pivot, size);
    TAKE(short_right, size);
    TAKE(offsets, pairs);
    TAKE(level, n);
    TAKE(congestion, m);
    TAKE(d_level, n);
    TAKE(d_congestion, m);
    TAKE(flow, work);
    TAKE(load, m);
    TAKE(right_user, n);
    TAKE(right_provider, m);
    TAKE(edge_user, n);
    TAKE(edge_provider, m);
    TAKE(room, pairs);
    TAKE(rate, pairs);
    TAKE(sign, pairs);
#undef TAKE
    int32_t *number = (int32_t *)next;
    s->decided = number, number += k;
    s->provider_of = number, number += pairs;
    s->user_of = number, number += pairs;
    s->providers = number, number += n;
    s->users = number, number += m;
    s->support = (uint8_t *)number;
    s->after = s->support + pairs;
    return 1;
}

static PyObject *small_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    Py_ssize_t n, m, k, ample;
    double stiffness;
    PyObject *given[7];
    if (named && PyDict_Size(named)) {
        PyErr_SetString(PyExc_TypeError, "arguments go by position");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "nnnndOOOOOOO", &n, &m, &k, &ample, &stiffness, given, given + 1, given + 2, given + 3,
                          given + 4, given + 5, given + 6))
        return NULL;
    if (n < 1 || m < 1 || k < 0 || n > MOST_NUMBERS / m || k > MOST_NUMBERS / n) {
        PyErr_SetString(PyExc_ValueError, "sizes out of range");
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Small *s = (Small *)make(type, 0);
    if (!s) return NULL;
    Held volumes;
    s->n = n, s->m = m, s->k = k, s->ample = ample, s->stiffness = stiffness;
    if (PyObject_GetBuffer(given[6], &volumes.view, PyBUF_SIMPLE) < 0) goto failed;
    s->by_load = volumes.view.len == 0;
    PyBuffer_Release(&volumes.view);
    Held alpha;
    if (!hold(given[2], &alpha, m * (Py_ssize_t)sizeof(double), 0, "capacity")) {
        let_go(&alpha, 1);
        goto failed;
    }
    s->congested = !isinf(*(const double *)alpha.view.buf);
    let_go(&alpha, 1);
    s->by_provider = !s->congested || m <= n;
    s->size = s->by_provider ? m : n;
    if (!give_room(s)) {
        PyErr_NoMemory();
        goto failed;
    }
    Py_ssize_t pairs = n * m;
    const struct {
        void *to;
        Py_ssize_t size;
        const char *name;
    } each[7] = {{s->base, 8 * pairs, "base"},         {s->rho, 8 * k * n, "sensitivity"},
                 {s->alpha, 8 * m, "capacity"},        {s->demand, 8 * n, "demand"},
                 {s->width, 8 * pairs, "width"},       {s->decided, 4 * k, "decided"},
                 {s->volumes, s->by_load ? 0 : 8 * (k + 1) * pairs, "volumes"}};
    for (int e = 0; e < 7; e++) {
        Held held;
        int right = hold(given[e], &held, each[e].size, 0, each[e].name);
        if (right) memcpy(each[e].to, held.view.buf, (size_t)each[e].size);
        let_go(&held, 1);
        if (!right) goto failed;
    }
    if (!makes_sense(s)) {
        PyErr_SetString(PyExc_ValueError, "a position out of range");
        goto failed;
    }
    for (Py_ssize_t i = 0; s->ample >= 0 && i < n; i++)
        for (Py_ssize_t j = 0; j < m; j++)
            if (j != s->ample) s->others[i] += s->width[i * m + j];
    return (PyObject *)s;
failed:
    Py_DECREF(s);
    return NULL;
}

static void small_free(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    free(((Small *)self)->memory);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Take a start's bytes as the support to begin with; whether every user has a provider. */
static int begin(Small *s, const uint8_t *start, uint8_t *support) {
    for (Py_ssize_t p = 0; p < s->n * s->m; p++) support[p] = start[p] != 0;
    for (Py_ssize_t i = 0; i < s->n; i++)
        if (!memchr(support + i * s->m, 1, (size_t)s->m)) return 0;
    return 1;
}

static PyObject *wrong_count(const char *name, Py_ssize_t wanted) {
    return PyErr_Format(PyExc_TypeError, "%s takes %zd arguments", name, wanted);
}

/* Noise, then levels, congestion and flows, and the support, of an equilibrium that was found. */
static PyObject *found_as(Small *s, double noise) {
    Py_ssize_t n = s->n, m = s->m, pairs = n * m;
    PyObject *numbers = PyByteArray_FromStringAndSize(NULL, 8 * (n + m + pairs));
    PyObject *support = PyByteArray_FromStringAndSize((const char *)s->support, pairs);
    if (!numbers || !support) {
        Py_XDECREF(numbers);
        Py_XDECREF(support);
        return NULL;
    }
    double *found = (double *)PyByteArray_AsString(numbers);
    memcpy(found, s->level, (size_t)n * sizeof(double));
    memcpy(found + n, s->congestion, (size_t)m * sizeof(double));
    settle_flows(s, found + n + m);
    return Py_BuildValue("dNN", noise, numbers, support);
}

/* equilibrium(decisions, start or None) -> noise, numbers, support; or None where it gave up. */
static PyObject *small_equilibrium(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Small *s = (Small *)self;
    Held held[2] = {{.held = 0}};
    PyObject *answer = NULL;
    if (count != 2) return wrong_count("equilibrium", 2);
    int given = args[1] != Py_None;
    if (!hold(args[0], held, 8 * s->k, 0, "decisions") ||
        (given && !hold(args[1], held + 1, s->n * s->m, 0, "start")))
        goto done;
    set_offsets(s, held[0].view.buf);
    double noise = -1.0;
    if (!given)
        guess(s), s->factored = 0; /* lists were overwritten */
    if (!given || begin(s, held[1].view.buf, s->after)) noise = newton(s);
    if (noise >= 0.0)
        answer = found_as(s, noise);
    else
        answer = Py_NewRef(Py_None);
done:
    let_go(held, 2);
    return answer;
}

/* trace(decisions, support, decision, end, most) -> how it ended, pieces, moves; the first two go along. */
static PyObject *small_trace(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Small *s = (Small *)self;
    Py_ssize_t pairs = s->n * s->m;
    Held held[2] = {{.held = 0}};
    PyObject *answer = NULL;
    Pile found = {0}, moved = {0};
    if (count != 5) return wrong_count("trace", 5);
    Py_ssize_t decision = PyLong_AsSsize_t(args[2]);
    double end = PyFloat_AsDouble(args[3]);
    Py_ssize_t most = PyLong_AsSsize_t(args[4]);
    if (PyErr_Occurred()) return NULL;
    if (decision < 0 || decision >= s->k) {
        PyErr_SetString(PyExc_ValueError, "decision: out of range");
        return NULL;
    }
    if (!hold(args[0], held, 8 * s->k, 1, "decisions") || !hold(args[1], held + 1, pairs, 1, "support")) goto done;
    Trace t = trace_of(s, held[0].view.buf, decision);
    int ended = GAVE_UP;
    if (begin(s, held[1].view.buf, s->support) && synchronise(s, &t)) ended = pieces(s, &t, end, most, &found, &moved);
    s->factored = 0;
    if (ended == NO_MEMORY) {
        PyErr_NoMemory();
        goto done;
    }
    memcpy(held[1].view.buf, s->support, (size_t)pairs);
    answer = Py_BuildValue("iy#y#", ended, found.bytes ? found.bytes : "", (Py_ssize_t)found.used,
                           moved.bytes ? moved.bytes : "", (Py_ssize_t)moved.used);
done:
    free(found.bytes);
    free(moved.bytes);
    let_go(held, 2);
    return answer;
}

/* slopes(support, found) -> whether there are any: a row for each decision. */
static PyObject *small_slopes(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Small *s = (Small *)self;
    Held held[2] = {{.held = 0}};
    PyObject *answer = NULL;
    if (count != 2) return wrong_count("slopes", 2);
    if (!hold(args[0], held, s->n * s->m, 0, "support") || !hold(args[1], held + 1, 8 * s->k * (s->k + 1), 1, "found"))
        goto done;
    int found = begin(s, held[0].view.buf, s->after) && settle_on(s);
    for (Py_ssize_t d = 0; found && d < s->k; d++) slopes_of(s, d, (double *)held[1].view.buf + d * (s->k + 1));
    answer = PyBool_FromLong(found);
done:
    let_go(held, 2);
    return answer;
}

/* best(unit cost, cap) -> price, profit, pieces, where it ended, load there as traced and as it is, noise; or None. */
static PyObject *small_best(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Small *s = (Small *)self;
    Best b;
    if (count != 2) return wrong_count("best", 2);
    double cost = PyFloat_AsDouble(args[0]), cap = PyFloat_AsDouble(args[1]);
    if (PyErr_Occurred()) return NULL;
    if (s->k != 1 || !(cost < cap)) {
        PyErr_SetString(PyExc_ValueError, "one decision, and a cap above the unit cost, are asked for");
        return NULL;
    }
    int found = best_price(s, cost, cap, &b);
    s->factored = 0;
    if (!found) Py_RETURN_NONE;
    return Py_BuildValue("ddddddd", b.price, b.profit, b.pieces, b.end, b.traced, b.there, b.noise);
}

static PyMethodDef methods[] = {
    {"equilibrium", (PyCFunction)(void (*)(void))small_equilibrium, METH_FASTCALL, NULL},
    {"slopes", (PyCFunction)(void (*)(void))small_slopes, METH_FASTCALL, NULL},
    {"best", (PyCFunction)(void (*)(void))small_best, METH_FASTCALL, NULL},
    {"trace", (PyCFunction)(void (*)(void))small_trace, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)small_new},
    {Py_tp_dealloc, (void *)small_free},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"prillm_or.users._kernel.Small", sizeof(Small), 0, Py_TPFLAGS_DEFAULT, slots};

static int fill(PyObject *module) {
    PyObject *type = PyType_FromSpec(&spec);
    if (!type || PyModule_AddIntConstant(module, "FORM", FORM) < 0 || PyModule_AddObject(module, "Small", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static const char about[] = "_kernel: what `kernel.c` makes of the users of a small market; see `kernel.py`.";

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", about, 0, NULL, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
