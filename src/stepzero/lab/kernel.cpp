// Trains small networks one after the other, each for many steps while its weights stay in the cache.
//
// A network is a list of operations on buffers of shape [rows][places][B], B samples innermost and padded to a multiple
// of 16 with samples that weigh nothing; a place is a pixel or a step, and most networks have but one. Every matrix product has the form out[M][J] = A[M][K] x[K][J] with J along the
// vector registers, so one routine serves the forward pass, the backward pass and the weight gradient. Nothing here
// reads another network's numbers, nor depends on where a network stands: same start, same bits.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX512F__
constexpr int WIDE = 64, TALL = 8;
#else
constexpr int WIDE = 32, TALL = 4;
#endif
constexpr int64_t LANES = 16;  // rows of a buffer are whole multiples of this, for every type

template <class T> struct Types;
template <> struct Types<float> {
    typedef float vec __attribute__((vector_size(WIDE), may_alias));
    typedef int32_t ivec __attribute__((vector_size(WIDE), may_alias));
    static constexpr int32_t BIAS = 127, SHIFT = 23;
    static constexpr float MAGIC = 12582912.0f, TOP = 88.0f, LOW = -87.0f;
    static constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
};
template <> struct Types<double> {
    typedef double vec __attribute__((vector_size(WIDE), may_alias));
    typedef int64_t ivec __attribute__((vector_size(WIDE), may_alias));
    static constexpr int64_t BIAS = 1023, SHIFT = 52;
    static constexpr double MAGIC = 6755399441055744.0, TOP = 709.0, LOW = -708.0;
    static constexpr double LN2_HIGH = 6.93145751953125e-1, LN2_LOW = 1.42860682030941723212e-6;
};
template <class T> using Vec = typename Types<T>::vec;
template <class T> using IVec = typename Types<T>::ivec;
template <class T> constexpr int64_t lanes() { return WIDE / int64_t(sizeof(T)); }
template <class T> Vec<T> load(const T* at) { Vec<T> v; std::memcpy(&v, at, WIDE); return v; }
template <class T> void store(T* at, Vec<T> v) { std::memcpy(at, &v, WIDE); }
template <class T> Vec<T> all(T x) { return Vec<T>{} + x; }
template <class T> T total(Vec<T> v) {
    T sum = 0;
    for (int i = 0; i < lanes<T>(); i++) sum += v[i];
    return sum;
}

// ------------------------------------------------------------------------------------------------ elementary functions

// exp by reduction to |r| <= ln 2 / 2 and its Taylor series, long enough for the type.
template <class T> Vec<T> exp_(Vec<T> x) {
    using C = Types<T>;
    Vec<T> bounded = x > all<T>(C::TOP) ? all<T>(C::TOP) : x;
    bounded = bounded < all<T>(C::LOW) ? all<T>(C::LOW) : bounded;
    Vec<T> n = (bounded * T(1.44269504088896340736) + C::MAGIC) - C::MAGIC;
    Vec<T> r = bounded - n * C::LN2_HIGH;
    r = r - n * C::LN2_LOW;
    constexpr int TERMS = sizeof(T) == 4 ? 7 : 13;
    T factor = 1;
    for (int k = 2; k <= TERMS; k++) factor /= T(k);
    Vec<T> sum = all<T>(factor);
    for (int k = TERMS; k > 0; k--) {
        factor *= T(k);
        sum = sum * r + factor;
    }
    IVec<T> power = (__builtin_convertvector(n, IVec<T>) + C::BIAS) << C::SHIFT;
    Vec<T> scaled = sum * (Vec<T>)power;
    return x == x ? scaled : x;
}

// expm1, good near zero too: (e^r - 1) 2^n + (2^n - 1).
template <class T> Vec<T> expm1_(Vec<T> x) {
    using C = Types<T>;
    Vec<T> bounded = x > all<T>(C::TOP) ? all<T>(C::TOP) : x;
    bounded = bounded < all<T>(C::LOW) ? all<T>(C::LOW) : bounded;
    Vec<T> n = (bounded * T(1.44269504088896340736) + C::MAGIC) - C::MAGIC;
    Vec<T> r = bounded - n * C::LN2_HIGH;
    r = r - n * C::LN2_LOW;
    constexpr int TERMS = sizeof(T) == 4 ? 8 : 14;
    T factor = 1;
    for (int k = 2; k <= TERMS; k++) factor /= T(k);
    Vec<T> sum = all<T>(factor);
    for (int k = TERMS; k > 1; k--) {
        factor *= T(k);
        sum = sum * r + factor;
    }
    IVec<T> power = (__builtin_convertvector(n, IVec<T>) + C::BIAS) << C::SHIFT;
    Vec<T> two_n = (Vec<T>)power;
    Vec<T> value = (sum * r) * two_n + (two_n - T(1));
    return x == x ? value : x;
}

template <class T> Vec<T> abs_(Vec<T> x) { return x < all<T>(0) ? -x : x; }
template <class T> Vec<T> tanh_(Vec<T> x) {
    Vec<T> doubled = abs_<T>(x) * T(2);
    doubled = doubled > all<T>(60) ? all<T>(60) : doubled;
    Vec<T> e = expm1_<T>(doubled);
    Vec<T> value = e / (e + T(2));
    Vec<T> is_signed = x < all<T>(0) ? -value : value;
    return x == x ? is_signed : x;
}
template <class T> Vec<T> sigmoid_(Vec<T> x) {
    Vec<T> e = exp_<T>(-abs_<T>(x));
    Vec<T> value = x < all<T>(0) ? e / (T(1) + e) : T(1) / (T(1) + e);
    return x == x ? value : x;
}

enum Activation { IDENTITY, RELU, TANH, LECUN_TANH, SIGMOID, SOFTSIGN, SILU, GELU_TANH, LEAKY_RELU };
constexpr double SLOPE = 0.01, LECUN_TOP = 1.7159, LECUN_INNER = 2.0 / 3.0;
constexpr double GELU_INNER = 0.79788456080286535588, GELU_CUBE = 0.044715;

template <class T, int A> Vec<T> value_(Vec<T> z) {
    if constexpr (A == RELU) return z < all<T>(0) ? all<T>(0) : z;
    if constexpr (A == TANH) return tanh_<T>(z);
    if constexpr (A == LECUN_TANH) return tanh_<T>(z * T(LECUN_INNER)) * T(LECUN_TOP);
    if constexpr (A == SIGMOID) return sigmoid_<T>(z);
    if constexpr (A == SOFTSIGN) return z / (T(1) + abs_<T>(z));
    if constexpr (A == SILU) return z * sigmoid_<T>(z);
    if constexpr (A == GELU_TANH)
        return z * T(0.5) * (T(1) + tanh_<T>((z + z * z * z * T(GELU_CUBE)) * T(GELU_INNER)));
    if constexpr (A == LEAKY_RELU) return z < all<T>(0) ? z * T(SLOPE) : z;
    return z;
}

// The derivative at z, where h is the value.
template <class T, int A> Vec<T> slope_(Vec<T> z, Vec<T> h) {
    if constexpr (A == RELU) return z > all<T>(0) ? all<T>(1) : all<T>(0);
    if constexpr (A == TANH) return T(1) - h * h;
    if constexpr (A == LECUN_TANH) {
        Vec<T> inner = h * T(1 / LECUN_TOP);
        return (T(1) - inner * inner) * T(LECUN_TOP * LECUN_INNER);
    }
    if constexpr (A == SIGMOID) return h * (T(1) - h);
    if constexpr (A == SOFTSIGN) {
        Vec<T> whole = T(1) + abs_<T>(z);
        return T(1) / (whole * whole);
    }
    if constexpr (A == SILU) {
        Vec<T> s = sigmoid_<T>(z);
        return s + h * (T(1) - s);
    }
    if constexpr (A == GELU_TANH) {
        Vec<T> t = tanh_<T>((z + z * z * z * T(GELU_CUBE)) * T(GELU_INNER));
        Vec<T> inner = (T(1) + z * z * T(3 * GELU_CUBE)) * T(GELU_INNER);
        return (T(1) + t) * T(0.5) + z * (T(1) - t * t) * inner * T(0.5);
    }
    if constexpr (A == LEAKY_RELU) return z > all<T>(0) ? all<T>(1) : all<T>(SLOPE);
    return all<T>(1);
}

template <class T, int A> void activate(const T* z, T* h, int64_t count) {
    for (int64_t i = 0; i < count; i += lanes<T>()) store<T>(h + i, value_<T, A>(load(z + i)));
}
template <class T, int A> void back_activate(const T* z, const T* h, const T* dh, T* dz, int64_t count, bool add) {
    for (int64_t i = 0; i < count; i += lanes<T>()) {
        Vec<T> d = load(dh + i) * slope_<T, A>(load(z + i), load(h + i));
        store<T>(dz + i, add ? load(dz + i) + d : d);
    }
}

#define FOR_EACH_ACTIVATION(DO) \
    DO(IDENTITY) DO(RELU) DO(TANH) DO(LECUN_TANH) DO(SIGMOID) DO(SOFTSIGN) DO(SILU) DO(GELU_TANH) DO(LEAKY_RELU)

// ------------------------------------------------------------------------------------------------------- matrix product

// One tile of R rows and C vectors: out = sum_k a[r * row + k * column] * x[k * ldx + j], plus out or bias.
template <class T, int R, int C>
inline void tile(const T* a, int64_t row, int64_t column, const T* x, int64_t ldx, T* out, int64_t ldo, int64_t K,
                 const T* bias, bool add) {
    constexpr int64_t W = lanes<T>();
    Vec<T> sum[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sum[r][c] = bias ? all<T>(bias[r]) : add ? load(out + r * ldo + c * W) : Vec<T>{};
    for (int64_t k = 0; k < K; k++) {
        Vec<T> right[C];
        for (int c = 0; c < C; c++) right[c] = load(x + k * ldx + c * W);
        for (int r = 0; r < R; r++) {
            T left = a[r * row + k * column];
            for (int c = 0; c < C; c++) sum[r][c] += left * right[c];
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) store<T>(out + r * ldo + c * W, sum[r][c]);
}

template <class T, int C>
inline void panel(const T* a, int64_t row, int64_t column, const T* x, int64_t ldx, T* out, int64_t ldo, int64_t M,
                  int64_t K, const T* bias, bool add) {
    int64_t m = 0;
    for (; m + TALL <= M; m += TALL)
        tile<T, TALL, C>(a + m * row, row, column, x, ldx, out + m * ldo, ldo, K, bias ? bias + m : nullptr, add);
    for (; m + 2 <= M; m += 2)
        tile<T, 2, C>(a + m * row, row, column, x, ldx, out + m * ldo, ldo, K, bias ? bias + m : nullptr, add);
    for (; m < M; m++)
        tile<T, 1, C>(a + m * row, row, column, x, ldx, out + m * ldo, ldo, K, bias ? bias + m : nullptr, add);
}

template <class T>
void product(const T* a, int64_t row, int64_t column, const T* x, int64_t ldx, T* out, int64_t ldo, int64_t M,
             int64_t K, int64_t J, const T* bias, bool add) {
    constexpr int64_t W = lanes<T>();
    int64_t j = 0;
    for (; j + 2 * W <= J; j += 2 * W) panel<T, 2>(a, row, column, x + j, ldx, out + j, ldo, M, K, bias, add);
    for (; j < J; j += W) panel<T, 1>(a, row, column, x + j, ldx, out + j, ldo, M, K, bias, add);
}

// out[J][I] = x[I][J]; both are padded to whole vectors.
template <class T> void transpose(const T* x, int64_t I, int64_t J, T* out, int64_t ldo) {
    constexpr int64_t W = lanes<T>();
    for (int64_t i = 0; i < I; i += W)
        for (int64_t j = 0; j < J; j += W) {
            Vec<T> rows[W];
            for (int64_t r = 0; r < W; r++) rows[r] = i + r < I ? load(x + (i + r) * J + j) : Vec<T>{};
            for (int64_t s = 1; s < W; s *= 2) {
                IVec<T> low, high;
                for (int64_t l = 0; l < W; l++) low[l] = (l & s) ? W + l - s : l, high[l] = (l & s) ? W + l : l + s;
                for (int64_t r = 0; r < W; r++)
                    if (!(r & s)) {
                        Vec<T> one = rows[r], other = rows[r + s];
                        rows[r] = __builtin_shuffle(one, other, low);
                        rows[r + s] = __builtin_shuffle(one, other, high);
                    }
            }
            for (int64_t r = 0; r < W; r++) store<T>(out + (j + r) * ldo + i, rows[r]);
        }
}

#include "spatial.cpp"

// ------------------------------------------------------------------------------------------------------------ a network

enum Kind { LINEAR, ACTIVATE, NORM, ADD, CONVOLVE, RECUR, ATTEND, SHIFT, MEAN, LAST };
// `other`: what is added, or the buffer in which an operation keeps what its backward pass needs. `size`: width of an
// image, number of heads.
struct Op { int64_t kind, source, other, out, offset, bias, size, activation, add_source, add_other; };
enum Loss { CROSS_ENTROPY, MSE };
enum Optimizer { SGD, MOMENTUM, ADAM, ADAMW };
constexpr double NORM_EPS = 1e-5;

extern "C" struct Setting {
    const Op* ops;
    int64_t num_ops;
    const int64_t *rows, *places;
    int64_t num_buffers, networks, stride, batch, samples, targets, steps, done, loss, optimizer;
    double momentum, beta1, beta2, eps, decay;
};

int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

template <class T> struct Aligned {
    std::vector<T> raw;
    T* data;
    explicit Aligned(int64_t count) : raw(size_t(count + 64 / sizeof(T)), T(0)) {
        data = raw.data() + (64 - reinterpret_cast<uintptr_t>(raw.data()) % 64) % 64 / sizeof(T);
    }
};

template <class T> struct Worker {
    const Setting& s;
    int64_t B;
    std::vector<int64_t> at;
    Aligned<T> values, deltas, flipped, wide, gradient, targets, nothing;
    std::vector<int64_t> classes;
    std::vector<const T*> pointers;

    static int64_t count(const Setting& s) {
        int64_t sum = 0;
        for (int64_t b = 0; b < s.num_buffers; b++) sum += s.rows[b] * s.places[b];
        return sum * padded(s.batch);
    }
    static int64_t tallest(const Setting& s) {
        int64_t most = 0;
        for (int64_t b = 0; b < s.num_buffers; b++) most = std::max(most, padded(s.rows[b]));
        return most;
    }
    static int64_t largest(const Setting& s) {
        int64_t most = 0;
        for (int64_t b = 0; b < s.num_buffers; b++) most = std::max(most, padded(s.rows[b]) * s.places[b]);
        return most * padded(s.batch);
    }
    static int64_t taps(const Setting& s) {
        return std::any_of(s.ops, s.ops + s.num_ops, [](const Op& op) { return op.kind == CONVOLVE; }) ? TAPS : 1;
    }
    explicit Worker(const Setting& s)
        : s(s), B(padded(s.batch)), values(count(s)), deltas(count(s)), flipped(largest(s)),
          wide(tallest(s) * tallest(s) * taps(s)), gradient(s.stride), targets(s.targets * padded(s.batch)),
          nothing(padded(s.batch)), classes(size_t(s.batch)), pointers(size_t(tallest(s) * taps(s))) {
        int64_t sum = 0;
        for (int64_t b = 0; b < s.num_buffers; b++) at.push_back(sum), sum += s.rows[b] * columns(b);
    }
    int64_t columns(int64_t buffer) const { return s.places[buffer] * B; }
    Image image(const Op& op) const { return {s.places[op.out] / op.size, op.size, B}; }
    Heads heads(const Op& op) const { return {s.rows[op.out], op.size, s.places[op.out], B}; }

    // Inputs come place by place, and within a place row by row.
    void take(const T* inputs, const T* wanted, const int64_t* labels, const int64_t* order) {
        int64_t rows = s.rows[0], places = s.places[0], d = rows * places;
        for (int64_t b = 0; b < s.batch; b++) {
            int64_t sample = order ? order[b] : b;
            for (int64_t p = 0; p < places; p++)
                for (int64_t r = 0; r < rows; r++) values.data[(r * places + p) * B + b] = inputs[sample * d + p * rows + r];
            if (s.loss == CROSS_ENTROPY) classes[size_t(b)] = labels[sample];
            else for (int64_t o = 0; o < s.targets; o++) targets.data[o * B + b] = wanted[sample * s.targets + o];
        }
    }

    void forward(const T* weights) {
        for (int64_t i = 0; i < s.num_ops; i++) {
            const Op& op = s.ops[i];
            const T* x = values.data + at[op.source];
            T* out = values.data + at[op.out];
            int64_t in = s.rows[op.source], rows = s.rows[op.out], J = columns(op.out);
            if (op.kind == LINEAR) {
                product<T>(weights + op.offset, in, 1, x, J, out, J, rows, in, J, weights + op.bias, false);
            } else if (op.kind == ACTIVATE) {
#define DO(A) if (op.activation == A) activate<T, A>(x, out, rows * J);
                FOR_EACH_ACTIVATION(DO)
#undef DO
            } else if (op.kind == NORM) {
                normalise(x, out, rows, J);
            } else if (op.kind == ADD) {
                const T* y = values.data + at[op.other];
                for (int64_t j = 0; j < rows * J; j++) out[j] = x[j] + y[j];
            } else {
                forward_spatial(op, weights, x, out);
            }
        }
    }

    void forward_spatial(const Op& op, const T* weights, const T* x, T* out) {
        int64_t in = s.rows[op.source], rows = s.rows[op.out], places = s.places[op.source];
        const T* W = weights + op.offset;
        T* kept = values.data + at[op.other];
        if (op.kind == CONVOLVE) {
            convolve<T>(W, weights + op.bias, x, out, in, rows, image(op), pointers.data(), nothing.data, false);
        } else if (op.kind == RECUR) {
#define DO(A) if (op.activation == A) recur<T, A>(W, x, kept, out, rows, places, B);
            FOR_EACH_ACTIVATION(DO)
#undef DO
        } else if (op.kind == ATTEND) {
            attend<T>(x, kept, out, heads(op));
        } else if (op.kind == SHIFT) {
            shift<T>(W, x, out, rows, places, B);
        } else if (op.kind == MEAN) {
            mean_of_places<T>(x, out, rows, places, B);
        } else {
            last_place<T>(x, out, rows, places, B);
        }
    }

    void moments(const T* x, int64_t rows, int64_t J, int64_t j, Vec<T>& mean, Vec<T>& inverse) {
        mean = Vec<T>{};
        for (int64_t r = 0; r < rows; r++) mean += load(x + r * J + j);
        mean /= T(rows);
        Vec<T> variance = {};
        for (int64_t r = 0; r < rows; r++) {
            Vec<T> off = load(x + r * J + j) - mean;
            variance += off * off;
        }
        for (int64_t l = 0; l < lanes<T>(); l++) inverse[l] = T(1) / std::sqrt(variance[l] / T(rows) + T(NORM_EPS));
    }

    void normalise(const T* x, T* out, int64_t rows, int64_t J) {
        for (int64_t j = 0; j < J; j += lanes<T>()) {
            Vec<T> mean, inverse;
            moments(x, rows, J, j, mean, inverse);
            for (int64_t r = 0; r < rows; r++) store<T>(out + r * J + j, (load(x + r * J + j) - mean) * inverse);
        }
    }

    void back_normalise(const T* x, const T* y, const T* dy, T* dx, int64_t rows, int64_t J, bool add) {
        for (int64_t j = 0; j < J; j += lanes<T>()) {
            Vec<T> mean, inverse, d = {}, dot = {};
            moments(x, rows, J, j, mean, inverse);
            for (int64_t r = 0; r < rows; r++) d += load(dy + r * J + j), dot += load(dy + r * J + j) * load(y + r * J + j);
            d /= T(rows), dot /= T(rows);
            for (int64_t r = 0; r < rows; r++) {
                Vec<T> part = inverse * (load(dy + r * J + j) - d - load(y + r * J + j) * dot);
                store<T>(dx + r * J + j, add ? load(dx + r * J + j) + part : part);
            }
        }
    }

    // Mean loss over the batch; its gradient at the output lands in the last buffer's deltas.
    T judge() {
        const T* y = values.data + at.back();
        T* d = deltas.data + at.back();
        int64_t C = s.targets;
        T sum = 0;
        if (s.loss == MSE) {
            T weight = T(1) / T(s.batch * C);
            for (int64_t o = 0; o < C; o++)
                for (int64_t b = 0; b < s.batch; b++) {
                    T off = y[o * B + b] - targets.data[o * B + b];
                    sum += off * off;
                    d[o * B + b] = 2 * off * weight;
                }
            return sum * weight;
        }
        for (int64_t j = 0; j < B; j += lanes<T>()) {
            Vec<T> top = load(y + j), whole = {};
            for (int64_t o = 1; o < C; o++) {
                Vec<T> each = load(y + o * B + j);
                top = each > top ? each : top;
            }
            for (int64_t o = 0; o < C; o++) {
                Vec<T> e = exp_<T>(load(y + o * B + j) - top);
                store<T>(d + o * B + j, e);
                whole += e;
            }
            for (int64_t l = 0; l < lanes<T>() && j + l < s.batch; l++)
                sum += std::log(whole[l]) + top[l] - y[classes[size_t(j + l)] * B + j + l];
            Vec<T> share;
            for (int64_t l = 0; l < lanes<T>(); l++) share[l] = j + l < s.batch ? T(1) / T(s.batch) : T(0);
            for (int64_t o = 0; o < C; o++) {
                Vec<T> probability = load(d + o * B + j) / whole;
                store<T>(d + o * B + j, probability * share);
            }
        }
        for (int64_t b = 0; b < s.batch; b++) d[classes[size_t(b)] * B + b] -= T(1) / T(s.batch);
        return sum / T(s.batch);
    }

    void backward(const T* weights) {
        for (int64_t i = s.num_ops - 1; i >= 0; i--) {
            const Op& op = s.ops[i];
            const T *x = values.data + at[op.source], *y = values.data + at[op.out];
            T *dy = deltas.data + at[op.out], *dx = deltas.data + at[op.source];
            int64_t rows = s.rows[op.out], J = columns(op.out);
            if (op.kind == LINEAR) {
                back_linear(op, weights + op.offset, x, dy, dx);
            } else if (op.kind == ACTIVATE) {
#define DO(A) if (op.activation == A) back_activate<T, A>(x, y, dy, dx, rows * J, op.add_source);
                FOR_EACH_ACTIVATION(DO)
#undef DO
            } else if (op.kind == NORM) {
                back_normalise(x, y, dy, dx, rows, J, op.add_source);
            } else if (op.kind == ADD) {
                T* other = deltas.data + at[op.other];
                pass(dy, dx, rows * J, op.add_source);
                pass(dy, other, rows * J, op.add_other);
            } else {
                back_spatial(op, weights + op.offset, x, y, dy, dx);
            }
        }
    }

    static void pass(const T* dy, T* dx, int64_t count, bool add) {
        for (int64_t j = 0; j < count; j++) dx[j] = add ? dx[j] + dy[j] : dy[j];
    }

    void back_spatial(const Op& op, const T* W, const T* x, const T* y, T* dy, T* dx) {
        int64_t in = s.rows[op.source], rows = s.rows[op.out], places = s.places[op.source], J = columns(op.source);
        T *G = gradient.data + op.offset, *kept = values.data + at[op.other], *scratch = deltas.data + at[op.other];
        if (op.kind == CONVOLVE) {
            tap_gradients<T>(dy, x, G, in, rows, image(op));
            bias_gradients(dy, gradient.data + op.bias, rows, J);
            if (!op.source) return;
            turned<T>(W, wide.data, in, rows);
            convolve<T>(wide.data, nullptr, dy, dx, rows, in, image(op), pointers.data(), nothing.data, op.add_source);
        } else if (op.kind == RECUR) {
#define DO(A) if (op.activation == A) back_recur<T, A>(W, kept, y, dy, scratch, rows, places, B);
            FOR_EACH_ACTIVATION(DO)
#undef DO
            if (places == 1) std::fill(G, G + rows * rows, T(0));
            else weight_gradients(scratch + B, y, G, rows, rows, J, J - B);
            pass(scratch, dx, rows * J, op.add_source);
        } else if (op.kind == ATTEND) {
            if (!op.add_source) std::fill(dx, dx + in * J, T(0));
            back_attend<T>(x, kept, dy, scratch, dx, heads(op));
        } else if (op.kind == SHIFT) {
            shift_gradients<T>(dy, G, rows, places, B);
            pass(dy, dx, rows * J, op.add_source);
        } else {
            back_to_places<T>(dy, dx, rows, places, B, op.kind == MEAN, op.add_source);
        }
    }

    // G[rows][in] = dy x^T, both J columns apart, over the first K columns.
    void weight_gradients(const T* dy, const T* x, T* G, int64_t in, int64_t rows, int64_t J, int64_t K) {
        int64_t ldx = padded(in);
        transpose<T>(x, in, J, flipped.data, ldx);
        T* out = ldx == in ? G : wide.data;
        product<T>(dy, J, 1, flipped.data, ldx, out, ldx, rows, K, ldx, nullptr, false);
        if (ldx != in)
            for (int64_t r = 0; r < rows; r++) std::memcpy(G + r * in, out + r * ldx, size_t(in) * sizeof(T));
    }

    static void bias_gradients(const T* dy, T* G, int64_t rows, int64_t J) {
        for (int64_t r = 0; r < rows; r++) {
            Vec<T> sum = {};
            for (int64_t j = 0; j < J; j += lanes<T>()) sum += load(dy + r * J + j);
            G[r] = total<T>(sum);
        }
    }

    void back_linear(const Op& op, const T* W, const T* x, const T* dy, T* dx) {
        int64_t in = s.rows[op.source], rows = s.rows[op.out], J = columns(op.out);
        weight_gradients(dy, x, gradient.data + op.offset, in, rows, J, J == B ? s.batch : J);
        bias_gradients(dy, gradient.data + op.bias, rows, J);
        if (op.source) product<T>(W, 1, in, dy, J, dx, J, in, rows, J, nullptr, op.add_source);
    }

    void step(T* w, T* first, T* second, T lr, int64_t number) {
        const T* g = gradient.data;
        const T mu = T(s.momentum), b1 = T(s.beta1), b2 = T(s.beta2), eps = T(s.eps), decay = T(s.decay);
        if (s.optimizer == SGD) {
            for (int64_t i = 0; i < s.stride; i++) w[i] -= lr * (g[i] + decay * w[i]);
        } else if (s.optimizer == MOMENTUM) {
            for (int64_t i = 0; i < s.stride; i++) {
                first[i] = mu * first[i] + (g[i] + decay * w[i]);
                w[i] -= lr * first[i];
            }
        } else {
            const T coupled = s.optimizer == ADAM ? decay : T(0), shrink = s.optimizer == ADAM ? T(1) : T(1) - lr * decay;
            const T one = lr / T(1 - std::pow(s.beta1, double(number))), two = T(1 / std::sqrt(1 - std::pow(s.beta2, double(number))));
            for (int64_t i = 0; i < s.stride; i++) {
                T each = g[i] + coupled * w[i];
                first[i] = b1 * first[i] + (1 - b1) * each;
                second[i] = b2 * second[i] + (1 - b2) * each * each;
                w[i] = shrink * w[i] - one * first[i] / (std::sqrt(second[i]) * two + eps);
            }
        }
    }
};

template <class T>
void train(const Setting* s, T* weights, T* first, T* second, const T* lr, const T* inputs, const T* wanted,
           const int64_t* labels, const int64_t* order, T* losses, int64_t* stopped) {
    Worker<T> worker(*s);
    for (int64_t n = 0; n < s->networks; n++) {
        T *w = weights + n * s->stride, *m = first + n * s->stride, *v = second + n * s->stride;
        for (int64_t t = 0; t < s->steps && stopped[n] < 0; t++) {
            worker.take(inputs, wanted, labels, order ? order + (n * s->steps + t) * s->batch : nullptr);
            worker.forward(w);
            T loss = worker.judge();
            losses[n * s->steps + t] = loss;
            if (!std::isfinite(loss)) {
                stopped[n] = s->done + t;
                break;
            }
            worker.backward(w);
            worker.step(w, m, v, lr[n], s->done + t + 1);
        }
    }
}

template <class T>
void observe(const Setting* s, const T* weights, const T* inputs, const T* wanted, const int64_t* labels, T* losses,
             T* values, T* deltas, T* gradients) {
    Worker<T> worker(*s);
    int64_t rows = Worker<T>::count(*s) / worker.B;
    worker.take(inputs, wanted, labels, nullptr);
    for (int64_t n = 0; n < s->networks; n++) {
        worker.forward(weights + n * s->stride);
        losses[n] = worker.judge();
        if (gradients) {
            worker.backward(weights + n * s->stride);
            std::memcpy(gradients + n * s->stride, worker.gradient.data, size_t(s->stride) * sizeof(T));
        }
        for (int64_t r = 0; r < rows; r++) {
            T* to = values + (n * rows + r) * s->batch;
            std::memcpy(to, worker.values.data + r * worker.B, size_t(s->batch) * sizeof(T));
            if (gradients)
                std::memcpy(deltas + (n * rows + r) * s->batch, worker.deltas.data + r * worker.B, size_t(s->batch) * sizeof(T));
        }
    }
}

#define ENTRY(T, NAME)                                                                                              \
    extern "C" void train_##NAME(const Setting* s, T* weights, T* first, T* second, const T* lr, const T* inputs,  \
                                 const T* wanted, const int64_t* labels, const int64_t* order, T* losses,          \
                                 int64_t* stopped) {                                                                \
        train<T>(s, weights, first, second, lr, inputs, wanted, labels, order, losses, stopped);                   \
    }                                                                                                               \
    extern "C" void observe_##NAME(const Setting* s, const T* weights, const T* inputs, const T* wanted,           \
                                   const int64_t* labels, T* losses, T* values, T* deltas, T* gradients) {         \
        observe<T>(s, weights, inputs, wanted, labels, losses, values, deltas, gradients);                         \
    }
ENTRY(float, float32)
ENTRY(double, float64)
