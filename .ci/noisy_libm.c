/* Another machine's libm, for LD_PRELOAD: every result is off by -1, 0 or +1 ulp, a fixed function of the argument.

   cc -O2 -shared -fPIC -fno-builtin -DNOISE=0 -o noisy_libm.so noisy_libm.c -lm

   Each number NOISE gives another libm. It is written for x86-64, where long double has 64 bits of mantissa.

   A result is computed in extended precision, rounded, and moved by a whole ulp; it stays where the move would make the error
   1.49 ulp or more. It also stays where every libm agrees: exact results (exp 0, log 1, pow(x, 1), pow(2, k), cbrt 27,
   hypot(3, 4)), powers of two (which includes saturated tanh and erf), multiples of pi/4, 0, inf, nan and subnormal numbers.
   No move crosses one of these, so no result leaves the range of its function. The move depends on absolute values and changes
   the absolute value, so odd functions stay odd and even ones even. Complex functions and random numbers are not moved. */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <string.h>

static int way(int function, double x, double y) {  /* -1, 0 or 1 */
    uint64_t a, b;
    x = fabs(x), y = fabs(y);
    memcpy(&a, &x, 8), memcpy(&b, &y, 8);
    a = (a ^ (b * 0x9E3779B97F4A7C15u) ^ ((uint64_t)(function + 100 * NOISE) << 40)) * 0xBF58476D1CE4E5B9u;
    a = (a ^ (a >> 31)) * 0x94D049BB133111EBu;
    return (int)((a >> 33) % 3) - 1;
}

#define MOVED(T, BITS, FRACTION, NAME) \
    static T NAME(long double exact, int step) { \
        T near = (T)exact, out; \
        BITS bits; \
        memcpy(&bits, &near, sizeof bits); \
        if (!step || !isnormal(near) || !(bits & FRACTION)) return near; \
        for (int i = 1; i <= 4; i++) if (fabsl(near) == (T)(i * M_PI_4l)) return near; \
        bits += step; \
        memcpy(&out, &bits, sizeof bits); \
        long double error = fabsl(exact - near), ulp = fabsl((long double)out - near); \
        return error < ulp / 256 || error > 0.49L * ulp ? near : out; \
    }
MOVED(double, uint64_t, 0xFFFFFFFFFFFFFu, moved)
MOVED(float, uint32_t, 0x7FFFFFu, movedf)

#define ONE(name) \
    double name(double x) { return moved(name##l(x), way(__COUNTER__, x, 0)); } \
    float name##f(float x) { return movedf(name##l(x), way(__COUNTER__, x, 0)); }
#define TWO(name) \
    double name(double x, double y) { return moved(name##l(x, y), way(__COUNTER__, x, y)); } \
    float name##f(float x, float y) { return movedf(name##l(x, y), way(__COUNTER__, x, y)); }

ONE(exp)
ONE(exp2)
ONE(expm1)
ONE(log)
ONE(log2)
ONE(log10)
ONE(log1p)
ONE(sin)
ONE(cos)
ONE(tan)
ONE(asin)
ONE(acos)
ONE(atan)
ONE(sinh)
ONE(cosh)
ONE(tanh)
ONE(asinh)
ONE(acosh)
ONE(atanh)
ONE(cbrt)
ONE(erf)
ONE(erfc)
ONE(lgamma)
ONE(tgamma)
TWO(pow)
TWO(atan2)
TWO(hypot)

/* gcc joins sin and cos of one argument */
void sincos(double x, double *s, double *c) { *s = sin(x), *c = cos(x); }
void sincosf(float x, float *s, float *c) { *s = sinf(x), *c = cosf(x); }
