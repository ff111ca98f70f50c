// What networks of images and sequences need beyond layers: part of kernel.cpp, which includes it.
//
// A buffer is [rows][places][B]: a place is a pixel or a step, B samples innermost and whole vectors each. Everything
// runs along the samples, so no operation of a sample reads another one's numbers, and borders cost no copies.

// --------------------------------------------------------------------------------------------------------- convolutions

// A tile of `product` whose rows of x lie anywhere: out[r] = sum_k a[r * K + k] x[k][j], plus out or bias.
template <class T, int R, int C>
inline void gathered_tile(const T* a, int64_t K, const T* const* x, int64_t j, T* out, int64_t ldo, const T* bias,
                          bool add) {
    constexpr int64_t W = lanes<T>();
    Vec<T> sum[R][C];
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sum[r][c] = bias ? all<T>(bias[r]) : add ? load(out + r * ldo + c * W) : Vec<T>{};
    for (int64_t k = 0; k < K; k++) {
        Vec<T> right[C];
        for (int c = 0; c < C; c++) right[c] = load(x[k] + j + c * W);
        for (int r = 0; r < R; r++) {
            T left = a[r * K + k];
            for (int c = 0; c < C; c++) sum[r][c] += left * right[c];
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) store<T>(out + r * ldo + c * W, sum[r][c]);
}

template <class T, int C>
inline void gathered_panel(const T* a, int64_t K, const T* const* x, int64_t j, T* out, int64_t ldo, int64_t M,
                           const T* bias, bool add) {
    int64_t m = 0;
    for (; m + TALL <= M; m += TALL)
        gathered_tile<T, TALL, C>(a + m * K, K, x, j, out + m * ldo, ldo, bias ? bias + m : nullptr, add);
    for (; m < M; m++)
        gathered_tile<T, 1, C>(a + m * K, K, x, j, out + m * ldo, ldo, bias ? bias + m : nullptr, add);
}

struct Image { int64_t high, wide, B; int64_t places() const { return high * wide; } };
constexpr int64_t TAPS = 9;

// Convolution 3 x 3 with zeros around; `rows` holds 9 * channels pointers, `nothing` B zeros.
template <class T>
void convolve(const T* a, const T* bias, const T* x, T* out, int64_t channels, int64_t M, Image image, const T** rows,
              const T* nothing, bool add) {
    constexpr int64_t W = lanes<T>();
    int64_t ld = image.places() * image.B, K = channels * TAPS;
    for (int64_t place = 0; place < image.places(); place++) {
        int64_t y = place / image.wide, z = place % image.wide;
        for (int64_t k = 0; k < K; k++) {
            int64_t down = k % TAPS / 3 - 1, right = k % 3 - 1;
            bool is_inside = y + down >= 0 && y + down < image.high && z + right >= 0 && z + right < image.wide;
            rows[k] = is_inside ? x + k / TAPS * ld + (place + down * image.wide + right) * image.B : nothing;
        }
        T* to = out + place * image.B;
        int64_t j = 0;
        for (; j + 2 * W <= image.B; j += 2 * W) gathered_panel<T, 2>(a, K, rows, j, to + j, ld, M, bias, add);
        for (; j < image.B; j += W) gathered_panel<T, 1>(a, K, rows, j, to + j, ld, M, bias, add);
    }
}

// The weight with which the gradient at the output is convolved: inputs and outputs swapped, turned by half a turn.
template <class T> void turned(const T* a, T* out, int64_t channels, int64_t M) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t m = 0; m < M; m++)
            for (int64_t t = 0; t < TAPS; t++) out[(c * M + m) * TAPS + TAPS - 1 - t] = a[(m * channels + c) * TAPS + t];
}

// R outputs and C channels of one tap of the weight's gradient: sum over places and samples of dy[r] x[c], x shifted.
template <class T, int R, int C>
inline void tap_tile(const T* dy, const T* x, Image image, int64_t tap, T* G, int64_t ldg) {
    int64_t down = tap / 3 - 1, right = tap % 3 - 1, ld = image.places() * image.B;
    const T* shifted = x + (down * image.wide + right) * image.B;
    Vec<T> sum[R][C] = {};
    for (int64_t y = std::max<int64_t>(0, -down); y < std::min(image.high, image.high - down); y++) {
        int64_t from = (y * image.wide + std::max<int64_t>(0, -right)) * image.B;
        int64_t to = (y * image.wide + image.wide - std::max<int64_t>(0, right)) * image.B;
        for (int64_t j = from; j < to; j += lanes<T>()) {
            Vec<T> other[C];
            for (int c = 0; c < C; c++) other[c] = load(shifted + c * ld + j);
            for (int r = 0; r < R; r++) {
                Vec<T> one = load(dy + r * ld + j);
                for (int c = 0; c < C; c++) sum[r][c] += one * other[c];
            }
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) G[r * ldg + c * TAPS + tap] = total<T>(sum[r][c]);
}

template <class T> void tap_gradients(const T* dy, const T* x, T* G, int64_t channels, int64_t M, Image image) {
    int64_t ld = image.places() * image.B, ldg = channels * TAPS;
    for (int64_t c = 0; c < channels; c += 2)
        for (int64_t m = 0; m < M; m += TALL)
            for (int64_t tap = 0; tap < TAPS; tap++) {
                const T *one = dy + m * ld, *other = x + c * ld;
                T* to = G + m * ldg + c * TAPS;
                if (m + TALL <= M && c + 2 <= channels) {
                    tap_tile<T, TALL, 2>(one, other, image, tap, to, ldg);
                    continue;
                }
                for (int64_t r = 0; r < std::min<int64_t>(TALL, M - m); r++)
                    for (int64_t s = 0; s < std::min<int64_t>(2, channels - c); s++)
                        tap_tile<T, 1, 1>(one + r * ld, other + s * ld, image, tap, to + r * ldg + s * TAPS, ldg);
            }
}

// ------------------------------------------------------------------------------------------------------------ sequences

// h_t = phi(z_t), z_t = u_t + V h_(t-1), V [U][U].
template <class T, int A> void recur(const T* V, const T* u, T* z, T* h, int64_t U, int64_t steps, int64_t B) {
    int64_t ld = steps * B;
    for (int64_t t = 0; t < steps; t++) {
        for (int64_t r = 0; r < U; r++) std::memcpy(z + r * ld + t * B, u + r * ld + t * B, size_t(B) * sizeof(T));
        if (t) product<T>(V, U, 1, h + (t - 1) * B, ld, z + t * B, ld, U, U, B, nullptr, true);
        for (int64_t r = 0; r < U; r++) activate<T, A>(z + r * ld + t * B, h + r * ld + t * B, B);
    }
}

// Gradients at z from those at h, which gather on the way what later steps send back.
template <class T, int A>
void back_recur(const T* V, const T* z, const T* h, T* dh, T* dz, int64_t U, int64_t steps, int64_t B) {
    int64_t ld = steps * B;
    for (int64_t t = steps - 1; t >= 0; t--) {
        for (int64_t r = 0; r < U; r++) {
            int64_t at = r * ld + t * B;
            back_activate<T, A>(z + at, h + at, dh + at, dz + at, B, false);
        }
        if (t) product<T>(V, 1, U, dz + t * B, ld, dh + (t - 1) * B, ld, U, U, B, nullptr, true);
    }
}

// A sequence's rows of queries, keys and values, and who attends to whom: shares [heads][steps][steps][B].
struct Heads { int64_t U, heads, steps, B; int64_t size() const { return U / heads; } };

template <class T> void attend(const T* packed, T* shares, T* out, Heads s) {
    int64_t ld = s.steps * s.B;
    const T scale = T(1) / std::sqrt(T(s.size()));
    for (int64_t j = 0; j < s.B; j += lanes<T>())
        for (int64_t head = 0; head < s.heads; head++)
            for (int64_t t = 0; t < s.steps; t++) {
                const T *q = packed + head * s.size() * ld + j, *k = q + s.U * ld, *v = k + s.U * ld;
                T* p = shares + (head * s.steps + t) * ld + j;
                Vec<T> top = all<T>(-INFINITY), whole = {};
                for (int64_t o = 0; o < s.steps; o++) {
                    Vec<T> score = {};
                    for (int64_t u = 0; u < s.size(); u++) score += load(q + u * ld + t * s.B) * load(k + u * ld + o * s.B);
                    score *= scale;
                    top = score > top ? score : top;
                    store<T>(p + o * s.B, score);
                }
                for (int64_t o = 0; o < s.steps; o++) {
                    Vec<T> e = exp_<T>(load(p + o * s.B) - top);
                    whole += e;
                    store<T>(p + o * s.B, e);
                }
                for (int64_t o = 0; o < s.steps; o++) store<T>(p + o * s.B, load(p + o * s.B) / whole);
                for (int64_t u = 0; u < s.size(); u++) {
                    Vec<T> sum = {};
                    for (int64_t o = 0; o < s.steps; o++) sum += load(p + o * s.B) * load(v + u * ld + o * s.B);
                    store<T>(out + (head * s.size() + u) * ld + t * s.B + j, sum);
                }
            }
}

template <class T> void grow(T* at, Vec<T> part) { store<T>(at, load(at) + part); }

// Adds to dpacked; dshares is scratch.
template <class T>
void back_attend(const T* packed, const T* shares, const T* dout, T* dshares, T* dpacked, Heads s) {
    int64_t ld = s.steps * s.B, part = s.U * ld;
    const T scale = T(1) / std::sqrt(T(s.size()));
    for (int64_t j = 0; j < s.B; j += lanes<T>())
        for (int64_t head = 0; head < s.heads; head++)
            for (int64_t t = 0; t < s.steps; t++) {
                int64_t first = head * s.size() * ld + j, own = first + t * s.B, row = (head * s.steps + t) * ld + j;
                Vec<T> dot = {};
                for (int64_t o = 0; o < s.steps; o++) {
                    Vec<T> sum = {}, share = load(shares + row + o * s.B);
                    for (int64_t u = 0; u < s.size(); u++) {
                        Vec<T> d = load(dout + own + u * ld);
                        sum += d * load(packed + 2 * part + first + u * ld + o * s.B);
                        grow<T>(dpacked + 2 * part + first + u * ld + o * s.B, share * d);
                    }
                    dot += share * sum;
                    store<T>(dshares + row + o * s.B, sum);
                }
                for (int64_t o = 0; o < s.steps; o++) {
                    Vec<T> d = load(shares + row + o * s.B) * (load(dshares + row + o * s.B) - dot) * scale;
                    for (int64_t u = 0; u < s.size(); u++) {
                        int64_t key = part + first + u * ld + o * s.B;
                        grow<T>(dpacked + own + u * ld, d * load(packed + key));
                        grow<T>(dpacked + key, d * load(packed + own + u * ld));
                    }
                }
            }
}

// ------------------------------------------------------------------------------------------------------ all places, one

template <class T> void mean_of_places(const T* x, T* out, int64_t rows, int64_t places, int64_t B) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < B; j += lanes<T>()) {
            Vec<T> sum = {};
            for (int64_t p = 0; p < places; p++) sum += load(x + (r * places + p) * B + j);
            store<T>(out + r * B + j, sum / T(places));
        }
}

template <class T> void last_place(const T* x, T* out, int64_t rows, int64_t places, int64_t B) {
    for (int64_t r = 0; r < rows; r++) std::memcpy(out + r * B, x + (r * places + places - 1) * B, size_t(B) * sizeof(T));
}

// Back from one place to many: every place gets `share` of it, or only the last one all.
template <class T>
void back_to_places(const T* dout, T* dx, int64_t rows, int64_t places, int64_t B, bool is_mean, bool add) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < places; p++)
            for (int64_t j = 0; j < B; j += lanes<T>()) {
                Vec<T> d = load(dout + r * B + j);
                d = is_mean ? d / T(places) : p == places - 1 ? d : Vec<T>{};
                T* at = dx + (r * places + p) * B + j;
                store<T>(at, add ? load(at) + d : d);
            }
}

// out = x + a[place][row]
template <class T> void shift(const T* a, const T* x, T* out, int64_t rows, int64_t places, int64_t B) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < places; p++)
            for (int64_t j = 0; j < B; j += lanes<T>())
                store<T>(out + (r * places + p) * B + j, load(x + (r * places + p) * B + j) + a[p * rows + r]);
}

template <class T> void shift_gradients(const T* dy, T* G, int64_t rows, int64_t places, int64_t B) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t p = 0; p < places; p++) {
            Vec<T> sum = {};
            for (int64_t j = 0; j < B; j += lanes<T>()) sum += load(dy + (r * places + p) * B + j);
            G[p * rows + r] = total<T>(sum);
        }
}
