// Operations on NVIDIA's devices. Compiled at run time for the device that is there; no header is included, so that
// nothing but the compiler is needed. In tests the host compiles and runs it, with the threads of a block as threads.
//
// Names end in the element type: f32, f64, or bf16, which is computed in f32. Blocks have a power of two of threads,
// at most 256. Results have the same bits each time: no atomic additions.

typedef unsigned long long Size;

// The upper half of an f32.
struct bf16 {
    unsigned short bits;
};

template <typename T> struct Computed { typedef T type; };
template <> struct Computed<bf16> { typedef float type; };

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ double wide(double x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ __forceinline__ void store(float *to, float x) { *to = x; }
__device__ __forceinline__ void store(double *to, double x) { *to = x; }
__device__ __forceinline__ void store(bf16 *to, float x) {
    unsigned bits = __float_as_uint(x);
    // To the nearest, of two equally near the even one; a NaN stays one.
    unsigned rounded = bits + 0x7fff + ((bits >> 16) & 1);
    to->bits = (unsigned short)((x == x ? rounded : bits | 0x400000) >> 16);
}

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ float error_function(float x) { return erff(x); }
__device__ __forceinline__ double error_function(double x) { return erf(x); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ double hyperbolic_tangent(double x) { return tanh(x); }

__device__ __forceinline__ Size first_of_thread() {
    return (Size)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ Size all_threads() { return (Size)gridDim.x * blockDim.x; }

// The sum of the values of a block's threads, in a fixed order.
template <typename A> __device__ A block_sum(A value) {
    __shared__ A values[256];
    values[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
        __syncthreads();
    }
    A sum = values[0];
    __syncthreads();
    return sum;
}

// The largest of the values of a block's threads; NaN if one of them is.
template <typename A> __device__ A block_max(A value) {
    __shared__ A values[256];
    values[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            A other = values[threadIdx.x + half];
            if (other > values[threadIdx.x] || other != other) values[threadIdx.x] = other;
        }
        __syncthreads();
    }
    A largest = values[0];
    __syncthreads();
    return largest;
}

// ---- softmax of rows: a block for each

template <typename T> __device__ void softmax(const T *x, T *y, Size n) {
    typedef typename Computed<T>::type A;
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    A largest = wide(x[0]);
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        A value = wide(x[i]);
        if (value > largest || value != value) largest = value;
    }
    largest = block_max(largest);
    A sum = 0;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) sum += exponential(wide(x[i]) - largest);
    sum = block_sum(sum);
    for (Size i = threadIdx.x; i < n; i += blockDim.x) store(y + i, exponential(wide(x[i]) - largest) / sum);
}

// y (g - sum of y g)
template <typename T> __device__ void softmax_gradient(const T *y, const T *g, T *dx, Size n) {
    typedef typename Computed<T>::type A;
    Size start = blockIdx.x * n;
    A sum = 0;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) sum += wide(y[start + i]) * wide(g[start + i]);
    sum = block_sum(sum);
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        store(dx + start + i, wide(y[start + i]) * (wide(g[start + i]) - sum));
    }
}

// ---- log sum exp of x (outer, n, inner) over n. blockDim.x columns at a time, whose values blockDim.y threads share

// Of two pairs of a largest value and a sum of exponentials without it.
template <typename A> __device__ __forceinline__ void merge(A &largest, A &sum, A other, A others) {
    if (other > largest) {
        sum = sum * exponential(largest - other) + others;
        largest = other;
    } else {
        // Equal ones may both be minus infinity.
        sum += other == largest ? others : others * exponential(other - largest);
    }
}

template <typename T> __device__ void log_sum_exp(const T *x, T *y, Size n, Size inner) {
    typedef typename Computed<T>::type A;
    __shared__ A largests[256];
    __shared__ A sums[256];
    Size tiles = (inner + blockDim.x - 1) / blockDim.x;
    Size outer = blockIdx.x / tiles;
    Size column = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    bool is_column = column < inner;
    A largest = 0, sum = 0;
    bool any = false;
    for (Size i = threadIdx.y; is_column && i < n; i += blockDim.y) {
        A value = wide(x[(outer * n + i) * inner + column]);
        if (any) {
            merge(largest, sum, value, (A)1);
        } else {
            largest = value;
            sum = 1;
            any = true;
        }
    }
    unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
    largests[own] = largest;
    sums[own] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && is_column) {
        for (unsigned other = 1; other < blockDim.y && other < n; other++) {
            unsigned at = other * blockDim.x + threadIdx.x;
            merge(largest, sum, largests[at], sums[at]);
        }
        store(y + outer * inner + column, largest + logarithm(sum));
    }
}

// g exp(x - y)
template <typename T>
__device__ void log_sum_exp_gradient(const T *x, const T *y, const T *g, T *dx, Size count, Size n, Size inner) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size column = i / (n * inner) * inner + i % inner;
        store(dx + i, wide(g[column]) * exponential(wide(x[i]) - wide(y[column])));
    }
}

// ---- layer norm of rows: a block for each

template <typename A> struct Moments {
    A mean, inverse;
};

template <typename T>
__device__ Moments<typename Computed<T>::type> row_moments(const T *x, Size n, double eps) {
    typedef typename Computed<T>::type A;
    A sum = 0;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) sum += wide(x[i]);
    A mean = block_sum(sum) / (A)n;
    A squares = 0;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        A centred = wide(x[i]) - mean;
        squares += centred * centred;
    }
    A var = block_sum(squares) / (A)n;
    Moments<A> moments = {mean, 1 / square_root(var + (A)eps)};
    return moments;
}

template <typename T>
__device__ void layer_norm(const T *x, const T *weight, const T *bias, T *y, Size n, double eps) {
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    Moments<typename Computed<T>::type> of = row_moments(x, n, eps);
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        store(y + i, (wide(x[i]) - of.mean) * of.inverse * wide(weight[i]) + wide(bias[i]));
    }
}

// With h = (x - mean) / std and d = g weight: (d - mean of d - h mean of d h) / std
template <typename T>
__device__ void layer_norm_gradient(const T *x, const T *weight, const T *g, T *dx, Size n, double eps) {
    typedef typename Computed<T>::type A;
    x += blockIdx.x * n;
    g += blockIdx.x * n;
    dx += blockIdx.x * n;
    Moments<A> of = row_moments(x, n, eps);
    A sum = 0, along = 0;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        A d = wide(g[i]) * wide(weight[i]);
        sum += d;
        along += d * (wide(x[i]) - of.mean) * of.inverse;
    }
    sum = block_sum(sum) / (A)n;
    along = block_sum(along) / (A)n;
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        A h = (wide(x[i]) - of.mean) * of.inverse;
        store(dx + i, (wide(g[i]) * wide(weight[i]) - sum - h * along) * of.inverse);
    }
}

// (x - mean) / std of each row, and the row's own g times it: what the weight's gradient sums.
template <typename T> __device__ void layer_norm_weighted(const T *x, const T *g, T *to, Size n, double eps) {
    x += blockIdx.x * n;
    Moments<typename Computed<T>::type> of = row_moments(x, n, eps);
    for (Size i = threadIdx.x; i < n; i += blockDim.x) {
        store(to + blockIdx.x * n + i, wide(g[blockIdx.x * n + i]) * (wide(x[i]) - of.mean) * of.inverse);
    }
}

// ---- columns of x (rows, columns): blocks of 32 x 8 threads, gridDim.y of them one below the other, whose parts a
// second kernel puts together

template <typename A>
__device__ __forceinline__ void merge_moments(A &count, A &mean, A &squares, A count2, A mean2, A squares2) {
    A all = count + count2;
    if (count2 == 0) return;
    A gap = mean2 - mean;
    mean += gap * (count2 / all);
    squares += squares2 + gap * gap * (count * (count2 / all));
    count = all;
}

// The parts: count, mean and sum of squared differences, (3, gridDim.y, columns).
template <typename T, typename A> __device__ void column_moments(const T *x, A *parts, Size rows, Size columns) {
    __shared__ A counts[256];
    __shared__ A means[256];
    __shared__ A all_squares[256];
    Size column = (Size)blockIdx.x * blockDim.x + threadIdx.x;
    A count = 0, mean = 0, squares = 0;
    Size step = (Size)gridDim.y * blockDim.y;
    for (Size row = (Size)blockIdx.y * blockDim.y + threadIdx.y; column < columns && row < rows; row += step) {
        A value = wide(x[row * columns + column]);
        count += 1;
        A gap = value - mean;
        mean += gap / count;
        squares += gap * (value - mean);
    }
    unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
    counts[own] = count;
    means[own] = mean;
    all_squares[own] = squares;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (unsigned other = 1; other < blockDim.y; other++) {
            unsigned at = other * blockDim.x + threadIdx.x;
            merge_moments(count, mean, squares, counts[at], means[at], all_squares[at]);
        }
        Size of_part = (Size)gridDim.y * columns;
        Size to = blockIdx.y * columns + column;
        parts[to] = count;
        parts[of_part + to] = mean;
        parts[2 * of_part + to] = squares;
    }
}

// Mean and biased variance, (2, columns).
template <typename A> __device__ void merged_moments(const A *parts, A *to, Size count_of_parts, Size columns) {
    Size of_part = count_of_parts * columns;
    for (Size column = first_of_thread(); column < columns; column += all_threads()) {
        A count = 0, mean = 0, squares = 0;
        for (Size part = 0; part < count_of_parts; part++) {
            Size at = part * columns + column;
            merge_moments(count, mean, squares, parts[at], parts[of_part + at], parts[2 * of_part + at]);
        }
        to[column] = mean;
        to[columns + column] = squares / count;
    }
}

// The parts of the sums of g and of g (x - centre), (2, gridDim.y, columns).
template <typename T, typename A>
__device__ void column_sums(const T *g, const T *x, const A *centre, A *parts, Size rows, Size columns) {
    __shared__ A plain_sums[256];
    __shared__ A along_sums[256];
    Size column = (Size)blockIdx.x * blockDim.x + threadIdx.x;
    A plain = 0, along = 0;
    Size step = (Size)gridDim.y * blockDim.y;
    for (Size row = (Size)blockIdx.y * blockDim.y + threadIdx.y; column < columns && row < rows; row += step) {
        A gradient = wide(g[row * columns + column]);
        plain += gradient;
        along += gradient * (wide(x[row * columns + column]) - centre[column]);
    }
    unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
    plain_sums[own] = plain;
    along_sums[own] = along;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (unsigned other = 1; other < blockDim.y; other++) {
            plain += plain_sums[other * blockDim.x + threadIdx.x];
            along += along_sums[other * blockDim.x + threadIdx.x];
        }
        Size to = blockIdx.y * columns + column;
        parts[to] = plain;
        parts[(Size)gridDim.y * columns + to] = along;
    }
}

// The parts of the sums of x, (gridDim.y, columns).
template <typename T, typename A> __device__ void column_sum(const T *x, A *parts, Size rows, Size columns) {
    __shared__ A sums[256];
    Size column = (Size)blockIdx.x * blockDim.x + threadIdx.x;
    A sum = 0;
    Size step = (Size)gridDim.y * blockDim.y;
    for (Size row = (Size)blockIdx.y * blockDim.y + threadIdx.y; column < columns && row < rows; row += step) {
        sum += wide(x[row * columns + column]);
    }
    sums[threadIdx.y * blockDim.x + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (unsigned other = 1; other < blockDim.y; other++) sum += sums[other * blockDim.x + threadIdx.x];
        parts[blockIdx.y * columns + column] = sum;
    }
}

// (sets, columns) of (sets, parts, columns).
template <typename A>
__device__ void merged_sums(const A *parts, A *to, Size count_of_parts, Size columns, Size sets) {
    for (Size i = first_of_thread(); i < sets * columns; i += all_threads()) {
        A sum = 0;
        for (Size part = 0; part < count_of_parts; part++) {
            sum += parts[(i / columns * count_of_parts + part) * columns + i % columns];
        }
        to[i] = sum;
    }
}

// ---- batch norm of x (rows, channels), with the residual that is added to it and the ReLU after both

// Scale, centre and shift (3, channels) of statistics (mean and variance) and parameters (weight and bias).
template <typename A>
__device__ void norm_affine(const A *statistics, const A *parameters, A *to, Size channels, double eps) {
    for (Size c = first_of_thread(); c < channels; c += all_threads()) {
        to[c] = parameters[c] / square_root(statistics[channels + c] + (A)eps);
        to[channels + c] = statistics[c];
        to[2 * channels + c] = parameters[channels + c];
    }
}

// scale (x - centre) + shift
template <typename T, typename A>
__device__ void normalise(const T *x, const A *affine, T *y, Size count, Size channels, Size relu) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size c = i % channels;
        A value = affine[c] * (wide(x[i]) - affine[channels + c]) + affine[2 * channels + c];
        // Not the larger of the two: NaN stays.
        store(y + i, relu && value < 0 ? (A)0 : value);
    }
}

template <typename T, typename A>
__device__ void normalise_residual(
    const T *x, const A *affine, const T *residual, T *y, Size count, Size channels, Size relu) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size c = i % channels;
        A value = affine[c] * (wide(x[i]) - affine[channels + c]) + affine[2 * channels + c];
        value += wide(residual[i]);
        store(y + i, relu && value < 0 ? (A)0 : value);
    }
}

// Of the sums (2, channels) of g and of g (x - mean) over `count` values of each channel: a, b, mean and c (4,
// channels) of the gradient a g + b (x - mean) + c of x, and the gradients of weight and bias, two more. Statistics that
// were given depend on no x: b and c are 0.
template <typename A>
__device__ void norm_gradients(
    const A *statistics, const A *parameters, const A *sums, A *to, Size channels, Size count, Size given, double eps) {
    for (Size c = first_of_thread(); c < channels; c += all_threads()) {
        A inverse = 1 / square_root(statistics[channels + c] + (A)eps);
        A scale = parameters[c] * inverse;
        A share = given ? (A)0 : 1 / (A)count;
        to[c] = scale;
        to[channels + c] = -scale * inverse * inverse * sums[channels + c] * share;
        to[2 * channels + c] = statistics[c];
        to[3 * channels + c] = -scale * sums[c] * share;
        to[4 * channels + c] = sums[channels + c] * inverse;
        to[5 * channels + c] = sums[c];
    }
}

template <typename T, typename A>
__device__ void normalise_gradient(const T *g, const T *x, const A *affine, T *dx, Size count, Size channels) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size c = i % channels;
        A centred = wide(x[i]) - affine[2 * channels + c];
        store(dx + i, affine[c] * wide(g[i]) + affine[channels + c] * centred + affine[3 * channels + c]);
    }
}

// g where y is above 0
template <typename T> __device__ void relu_gradient(const T *y, const T *g, T *dx, Size count) {
    typedef typename Computed<T>::type A;
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        store(dx + i, wide(y[i]) > 0 ? wide(g[i]) : (A)0);
    }
}

// ---- maximum over windows, channels last

struct Windows {
    Size height, width, channels, out_height, out_width;
    Size kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
};

// Where in the image the largest value of a window is: the first of equal ones, and NaN before all.
template <typename T>
__device__ Size winner(const T *image, const Windows &of, Size i, Size j, Size channel) {
    typedef typename Computed<T>::type A;
    bool any = false;
    Size at = 0;
    A best = 0;
    for (Size u = 0; u < of.kernel_height; u++) {
        Size row = i * of.stride_height + u - of.padding_height;
        // Below 0 it wraps to a large number.
        if (row >= of.height) continue;
        for (Size v = 0; v < of.kernel_width; v++) {
            Size column = j * of.stride_width + v - of.padding_width;
            if (column >= of.width) continue;
            A value = wide(image[(row * of.width + column) * of.channels + channel]);
            if (!any || value > best || value != value) {
                any = true;
                best = value;
                at = row * of.width + column;
            }
        }
    }
    return at;
}

template <typename T> __device__ void max_pool(const T *x, T *y, Size count, Windows of) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size channel = i % of.channels, position = i / of.channels;
        Size column = position % of.out_width, row = position / of.out_width % of.out_height;
        const T *image = x + position / (of.out_width * of.out_height) * of.height * of.width * of.channels;
        y[i] = image[winner(image, of, row, column, channel) * of.channels + channel];
    }
}

// Each pixel asks the windows above it whether it is their largest.
template <typename T> __device__ void max_pool_gradient(const T *x, const T *g, T *dx, Size count, Windows of) {
    typedef typename Computed<T>::type A;
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        Size channel = i % of.channels, pixel = i / of.channels % (of.height * of.width);
        Size example = i / (of.channels * of.height * of.width);
        const T *image = x + example * of.height * of.width * of.channels;
        const T *from = g + example * of.out_height * of.out_width * of.channels;
        Size row = pixel / of.width + of.padding_height, column = pixel % of.width + of.padding_width;
        Size first_row = row < of.kernel_height ? 0 : (row - of.kernel_height) / of.stride_height + 1;
        Size first_column = column < of.kernel_width ? 0 : (column - of.kernel_width) / of.stride_width + 1;
        A sum = 0;
        for (Size a = first_row; a <= row / of.stride_height && a < of.out_height; a++) {
            for (Size b = first_column; b <= column / of.stride_width && b < of.out_width; b++) {
                if (winner(image, of, a, b, channel) == pixel) {
                    sum += wide(from[(a * of.out_width + b) * of.channels + channel]);
                }
            }
        }
        store(dx + i, sum);
    }
}

// ---- Gaussian error linear units: 0 exact, 1 with tanh, 2 quick

template <typename A> __device__ A gelu_value(A x, Size form) {
    if (form == 0) return (A)0.5 * x * (1 + error_function(x * (A)0.70710678118654752440));
    if (form == 1) {
        A inner = (A)0.79788456080286535588 * (x + (A)0.044715 * x * x * x);
        return (A)0.5 * x * (1 + hyperbolic_tangent(inner));
    }
    return x / (1 + exponential((A)-1.702 * x));
}

template <typename A> __device__ A gelu_slope(A x, Size form) {
    if (form == 0) {
        A cumulative = (A)0.5 * (1 + error_function(x * (A)0.70710678118654752440));
        return cumulative + x * (A)0.39894228040143267794 * exponential((A)-0.5 * x * x);
    }
    if (form == 1) {
        A t = hyperbolic_tangent((A)0.79788456080286535588 * (x + (A)0.044715 * x * x * x));
        A inner = (A)0.79788456080286535588 * (1 + 3 * (A)0.044715 * x * x);
        return (A)0.5 * (1 + t) + (A)0.5 * x * (1 - t * t) * inner;
    }
    A sigmoid = 1 / (1 + exponential((A)-1.702 * x));
    return sigmoid * (1 + (A)1.702 * x * (1 - sigmoid));
}

template <typename T> __device__ void gelu(const T *x, T *y, Size count, Size form) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) store(y + i, gelu_value(wide(x[i]), form));
}

template <typename T> __device__ void gelu_gradient(const T *x, const T *g, T *dx, Size count, Size form) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        store(dx + i, wide(g[i]) * gelu_slope(wide(x[i]), form));
    }
}

// ---- max(0, x) that does not hide NaN

template <typename T> __device__ void relu(const T *x, T *y, Size count) {
    typedef typename Computed<T>::type A;
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        A value = wide(x[i]);
        store(y + i, value <= 0 ? 0 : value);
    }
}

// ---- a bias for each column

template <typename T> __device__ void add_bias(const T *x, const T *bias, T *y, Size count, Size columns) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        store(y + i, wide(x[i]) + wide(bias[i % columns]));
    }
}

// ---- dropout by the numbers of ChaCha8, of which a block of the generator has sixteen: those that the host draws

struct Key {
    unsigned words[8];
};

__device__ __forceinline__ void add_and_rotate(unsigned &a, unsigned b, unsigned &d, int by) {
    a += b;
    d ^= a;
    d = d << by | d >> (32 - by);
}

__device__ __forceinline__ void quarter_round(unsigned &a, unsigned &b, unsigned &c, unsigned &d) {
    add_and_rotate(a, b, d, 16);
    add_and_rotate(c, d, b, 12);
    add_and_rotate(a, b, d, 8);
    add_and_rotate(c, d, b, 7);
}

__device__ void sixteen_numbers(const Key &key, Size block, unsigned *numbers) {
    unsigned start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (int i = 0; i < 8; i++) start[4 + i] = key.words[i];
    start[12] = (unsigned)block;
    start[13] = (unsigned)(block >> 32);
    unsigned s[16];
    for (int i = 0; i < 16; i++) s[i] = start[i];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 4; i++) quarter_round(s[i], s[4 + i], s[8 + i], s[12 + i]);
        for (int i = 0; i < 4; i++) quarter_round(s[i], s[4 + (i + 1) % 4], s[8 + (i + 2) % 4], s[12 + (i + 3) % 4]);
    }
    for (int i = 0; i < 16; i++) numbers[i] = s[i] + start[i];
}

// 0 where the number is below `dropped`, else x kept
template <typename T>
__device__ void dropout(const T *x, T *y, Size count, const Key &key, Size dropped, double kept) {
    typedef typename Computed<T>::type A;
    for (Size block = first_of_thread(); block * 16 < count; block += all_threads()) {
        unsigned numbers[16];
        sixteen_numbers(key, block, numbers);
        for (Size i = block * 16, n = 0; n < 16 && i < count; i++, n++) {
            // Times 0, so that NaN stays one.
            store(y + i, wide(x[i]) * (numbers[n] < dropped ? (A)0 : (A)kept));
        }
    }
}

// ---- steps of optimisers, in place

// momentum <- kept momentum + fresh (gradient + decay value)
template <typename A>
__device__ void sgd_momentum(
    A *momentum, const A *gradient, const A *value, Size count, double kept, double fresh, double decay) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        momentum[i] = (A)kept * momentum[i] + (A)fresh * (gradient[i] + (A)decay * value[i]);
    }
}

// value <- value - rate momentum, or with Nesterov's value - rate (gradient + decay value + kept momentum)
template <typename A>
__device__ void sgd_value(
    A *value, const A *gradient, const A *momentum, Size count, double rate, double kept, double decay, Size nesterov) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        A along = nesterov ? gradient[i] + (A)decay * value[i] + (A)kept * momentum[i] : momentum[i];
        value[i] -= (A)rate * along;
    }
}

// mean <- old mean + fresh g, with g the gradient, or gradient + decay value where decay is coupled
template <typename A>
__device__ void adam_mean(
    A *mean, const A *gradient, const A *value, Size count, Size coupled, double decay, double old, double fresh) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        // Not 0 times the value, which is NaN for an infinite one.
        A g = coupled ? gradient[i] + (A)decay * value[i] : gradient[i];
        mean[i] = (A)old * mean[i] + (A)fresh * g;
    }
}

// square <- old square + fresh g^2
template <typename A>
__device__ void adam_square(
    A *square, const A *gradient, const A *value, Size count, Size coupled, double decay, double old, double fresh) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        A g = coupled ? gradient[i] + (A)decay * value[i] : gradient[i];
        square[i] = (A)old * square[i] + (A)fresh * g * g;
    }
}

// value <- kept value - rate mean / (sqrt(unbiased square) + eps)
template <typename A>
__device__ void adam_value(
    A *value, const A *mean, const A *square, Size count, double kept, double rate, double unbiased, double eps) {
    for (Size i = first_of_thread(); i < count; i += all_threads()) {
        A root = square_root(square[i] * (A)unbiased) + (A)eps;
        value[i] = value[i] * (A)kept - (A)rate * mean[i] / root;
    }
}

#define NAMED(T, name)                                                                                               \
    extern "C" __global__ void softmax_##name(const T *x, T *y, Size n) { softmax(x, y, n); }                        \
    extern "C" __global__ void softmax_gradient_##name(const T *y, const T *g, T *dx, Size n) {                      \
        softmax_gradient(y, g, dx, n);                                                                               \
    }                                                                                                                \
    extern "C" __global__ void log_sum_exp_##name(const T *x, T *y, Size n, Size inner) {                            \
        log_sum_exp(x, y, n, inner);                                                                                 \
    }                                                                                                                \
    extern "C" __global__ void log_sum_exp_gradient_##name(                                                          \
        const T *x, const T *y, const T *g, T *dx, Size count, Size n, Size inner) {                                 \
        log_sum_exp_gradient(x, y, g, dx, count, n, inner);                                                          \
    }                                                                                                                \
    extern "C" __global__ void layer_norm_##name(                                                                    \
        const T *x, const T *weight, const T *bias, T *y, Size n, double eps) {                                      \
        layer_norm(x, weight, bias, y, n, eps);                                                                      \
    }                                                                                                                \
    extern "C" __global__ void layer_norm_gradient_##name(                                                           \
        const T *x, const T *weight, const T *g, T *dx, Size n, double eps) {                                        \
        layer_norm_gradient(x, weight, g, dx, n, eps);                                                               \
    }                                                                                                                \
    extern "C" __global__ void layer_norm_weighted_##name(const T *x, const T *g, T *to, Size n, double eps) {       \
        layer_norm_weighted(x, g, to, n, eps);                                                                       \
    }                                                                                                                \
    extern "C" __global__ void column_moments_##name(const T *x, Computed<T>::type *parts, Size rows, Size columns) { \
        column_moments(x, parts, rows, columns);                                                                     \
    }                                                                                                                \
    extern "C" __global__ void column_sum_##name(const T *x, Computed<T>::type *parts, Size rows, Size columns) {     \
        column_sum(x, parts, rows, columns);                                                                         \
    }                                                                                                                \
    extern "C" __global__ void column_sums_##name(                                                                   \
        const T *g, const T *x, const Computed<T>::type *centre, Computed<T>::type *parts, Size rows, Size columns) { \
        column_sums(g, x, centre, parts, rows, columns);                                                             \
    }                                                                                                                \
    extern "C" __global__ void normalise_##name(                                                                     \
        const T *x, const Computed<T>::type *affine, T *y, Size count, Size channels, Size relu) {                   \
        normalise(x, affine, y, count, channels, relu);                                                              \
    }                                                                                                                \
    extern "C" __global__ void normalise_residual_##name(                                                            \
        const T *x, const Computed<T>::type *affine, const T *residual, T *y, Size count, Size channels, Size relu) { \
        normalise_residual(x, affine, residual, y, count, channels, relu);                                           \
    }                                                                                                                \
    extern "C" __global__ void normalise_gradient_##name(                                                            \
        const T *g, const T *x, const Computed<T>::type *affine, T *dx, Size count, Size channels) {                 \
        normalise_gradient(g, x, affine, dx, count, channels);                                                       \
    }                                                                                                                \
    extern "C" __global__ void relu_gradient_##name(const T *y, const T *g, T *dx, Size count) {                     \
        relu_gradient(y, g, dx, count);                                                                              \
    }                                                                                                                \
    extern "C" __global__ void max_pool_##name(                                                                      \
        const T *x, T *y, Size count, Size height, Size width, Size channels, Size out_height, Size out_width,       \
        Size kernel_height, Size kernel_width, Size stride_height, Size stride_width, Size padding_height,           \
        Size padding_width) {                                                                                        \
        Windows of = {height, width, channels, out_height, out_width, kernel_height, kernel_width,                   \
                      stride_height, stride_width, padding_height, padding_width};                                   \
        max_pool(x, y, count, of);                                                                                   \
    }                                                                                                                \
    extern "C" __global__ void max_pool_gradient_##name(                                                             \
        const T *x, const T *g, T *dx, Size count, Size height, Size width, Size channels, Size out_height,          \
        Size out_width, Size kernel_height, Size kernel_width, Size stride_height, Size stride_width,                \
        Size padding_height, Size padding_width) {                                                                   \
        Windows of = {height, width, channels, out_height, out_width, kernel_height, kernel_width,                   \
                      stride_height, stride_width, padding_height, padding_width};                                   \
        max_pool_gradient(x, g, dx, count, of);                                                                      \
    }                                                                                                                \
    extern "C" __global__ void gelu_##name(const T *x, T *y, Size count, Size form) { gelu(x, y, count, form); }     \
    extern "C" __global__ void gelu_gradient_##name(const T *x, const T *g, T *dx, Size count, Size form) {          \
        gelu_gradient(x, g, dx, count, form);                                                                        \
    }                                                                                                                \
    extern "C" __global__ void relu_##name(const T *x, T *y, Size count) { relu(x, y, count); }                      \
    extern "C" __global__ void add_bias_##name(const T *x, const T *bias, T *y, Size count, Size columns) {          \
        add_bias(x, bias, y, count, columns);                                                                        \
    }                                                                                                                \
    extern "C" __global__ void dropout_##name(                                                                       \
        const T *x, T *y, Size count, Size a, Size b, Size c, Size d, Size e, Size f, Size g, Size h, Size dropped,  \
        double kept) {                                                                                               \
        Key key = {{(unsigned)a, (unsigned)b, (unsigned)c, (unsigned)d, (unsigned)e, (unsigned)f, (unsigned)g,       \
                    (unsigned)h}};                                                                                   \
        dropout(x, y, count, key, dropped, kept);                                                                    \
    }

NAMED(float, f32)
NAMED(double, f64)
NAMED(bf16, bf16)

// What is in the type that is computed in.
#define NAMED_WIDE(A, name)                                                                                          \
    extern "C" __global__ void merged_moments_##name(const A *parts, A *to, Size count, Size columns) {              \
        merged_moments(parts, to, count, columns);                                                                   \
    }                                                                                                                \
    extern "C" __global__ void merged_sums_##name(const A *parts, A *to, Size count, Size columns, Size sets) {      \
        merged_sums(parts, to, count, columns, sets);                                                                \
    }                                                                                                                \
    extern "C" __global__ void norm_affine_##name(                                                                   \
        const A *statistics, const A *parameters, A *to, Size channels, double eps) {                                \
        norm_affine(statistics, parameters, to, channels, eps);                                                      \
    }                                                                                                                \
    extern "C" __global__ void norm_gradients_##name(                                                                \
        const A *statistics, const A *parameters, const A *sums, A *to, Size channels, Size count, Size given,       \
        double eps) {                                                                                                \
        norm_gradients(statistics, parameters, sums, to, channels, count, given, eps);                               \
    }                                                                                                                \
    extern "C" __global__ void sgd_momentum_##name(                                                                  \
        A *momentum, const A *gradient, const A *value, Size count, double kept, double fresh, double decay) {       \
        sgd_momentum(momentum, gradient, value, count, kept, fresh, decay);                                          \
    }                                                                                                                \
    extern "C" __global__ void sgd_value_##name(                                                                     \
        A *value, const A *gradient, const A *momentum, Size count, double rate, double kept, double decay,          \
        Size nesterov) {                                                                                             \
        sgd_value(value, gradient, momentum, count, rate, kept, decay, nesterov);                                    \
    }                                                                                                                \
    extern "C" __global__ void adam_mean_##name(                                                                     \
        A *mean, const A *gradient, const A *value, Size count, Size coupled, double decay, double old,              \
        double fresh) {                                                                                              \
        adam_mean(mean, gradient, value, count, coupled, decay, old, fresh);                                         \
    }                                                                                                                \
    extern "C" __global__ void adam_square_##name(                                                                   \
        A *square, const A *gradient, const A *value, Size count, Size coupled, double decay, double old,            \
        double fresh) {                                                                                              \
        adam_square(square, gradient, value, count, coupled, decay, old, fresh);                                     \
    }                                                                                                                \
    extern "C" __global__ void adam_value_##name(                                                                    \
        A *value, const A *mean, const A *square, Size count, double kept, double rate, double unbiased,             \
        double eps) {                                                                                                \
        adam_value(value, mean, square, count, kept, rate, unbiased, eps);                                           \
    }

NAMED_WIDE(float, f32)
NAMED_WIDE(double, f64)
