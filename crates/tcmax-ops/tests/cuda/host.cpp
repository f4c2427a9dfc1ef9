// Runs the kernels on a processor: the threads of a block take turns, each up to where all wait for one another, and
// blocks run one after the other.
//
// Reads launches from standard input, in words: a kernel's name, blocks (x y), threads of a block (x y), and the kernel's
// arguments: `f32`, `f64` or `bf16` with a count and values, `size` or `number` with one value. Writes the values of all
// buffers of a launch in a line.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static

struct Index {
    unsigned x, y;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

// A thread of the block, and whether it has ended.
struct Fibre {
    ucontext_t context;
    std::vector<char> stack;
    bool ended;
};
static std::vector<Fibre> fibres;
static unsigned running;
static ucontext_t scheduler;
static std::function<void()> kernel_of_fibres;

static void __syncthreads() { swapcontext(&fibres[running].context, &scheduler); }
static float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

#include "../../src/cuda/kernels.cu"

static std::string word() {
    char text[64];
    if (scanf("%63s", text) != 1) exit(0);
    return text;
}

struct Buffer {
    std::string type;
    std::vector<char> bytes;
};
static std::vector<std::unique_ptr<Buffer>> buffers;

static void *read_buffer() {
    std::unique_ptr<Buffer> buffer(new Buffer);
    buffer->type = word();
    size_t count = strtoull(word().c_str(), 0, 10), size = buffer->type == "f64" ? 8 : buffer->type == "f32" ? 4 : 2;
    buffer->bytes.resize(count * size);
    char *at = buffer->bytes.data();
    for (size_t i = 0; i < count; i++, at += size) {
        double value = strtod(word().c_str(), 0);
        if (size == 8) *(double *)at = value;
        if (size == 4) *(float *)at = (float)value;
        if (size == 2) store((bf16 *)at, (float)value);
    }
    buffers.push_back(std::move(buffer));
    return buffers.back()->bytes.data();
}

template <typename P> struct Argument;
template <typename T> struct Argument<T *> {
    static T *read() { return (T *)read_buffer(); }
};
template <> struct Argument<Size> {
    static Size read() { return word() == "size" ? strtoull(word().c_str(), 0, 10) : (abort(), 0); }
};
template <> struct Argument<double> {
    static double read() { return word() == "number" ? strtod(word().c_str(), 0) : (abort(), 0); }
};

template <typename... P> static std::function<void()> bound(void (*kernel)(P...)) {
    // In braces they are read from left to right.
    std::tuple<P...> arguments{Argument<P>::read()...};
    return [=] { std::apply(kernel, arguments); };
}

#define KERNEL(name) {#name, [] { return bound(name); }}
#define OF_TYPE(T)                                                                                       \
    KERNEL(softmax_##T), KERNEL(softmax_gradient_##T), KERNEL(log_sum_exp_##T),                          \
        KERNEL(log_sum_exp_gradient_##T), KERNEL(layer_norm_##T), KERNEL(layer_norm_gradient_##T),       \
        KERNEL(layer_norm_weighted_##T), KERNEL(column_moments_##T), KERNEL(column_sums_##T),            \
        KERNEL(column_sum_##T),                                                                          \
        KERNEL(normalise_##T), KERNEL(normalise_residual_##T), KERNEL(normalise_gradient_##T),           \
        KERNEL(relu_gradient_##T), KERNEL(max_pool_##T), KERNEL(max_pool_gradient_##T), KERNEL(gelu_##T), \
        KERNEL(gelu_gradient_##T), KERNEL(relu_##T), KERNEL(add_bias_##T), KERNEL(dropout_##T)
#define OF_WIDE_TYPE(T) \
    KERNEL(merged_moments_##T), KERNEL(merged_sums_##T), KERNEL(norm_affine_##T), KERNEL(norm_gradients_##T), \
        KERNEL(sgd_momentum_##T), KERNEL(sgd_value_##T), KERNEL(adam_mean_##T), KERNEL(adam_square_##T), \
        KERNEL(adam_value_##T)

static const std::map<std::string, std::function<std::function<void()>()>> KERNELS = {
    OF_TYPE(f32), OF_TYPE(f64), OF_TYPE(bf16), OF_WIDE_TYPE(f32), OF_WIDE_TYPE(f64)};

static unsigned number() { return (unsigned)strtoul(word().c_str(), 0, 10); }

static void run_fibre() {
    kernel_of_fibres();
    fibres[running].ended = true;
}

static void run_block() {
    for (Fibre &fibre : fibres) {
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = &scheduler;
        fibre.ended = false;
        makecontext(&fibre.context, run_fibre, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (running = 0; running < fibres.size(); running++) {
            if (fibres[running].ended) continue;
            threadIdx = {running % blockDim.x, running / blockDim.x};
            swapcontext(&scheduler, &fibres[running].context);
            any = any || !fibres[running].ended;
        }
    }
}

static void launch(const std::function<void()> &kernel) {
    kernel_of_fibres = kernel;
    fibres.resize(blockDim.x * blockDim.y);
    for (Fibre &fibre : fibres) fibre.stack.resize(1 << 16);
    for (unsigned block = 0; block < gridDim.x * gridDim.y; block++) {
        blockIdx = {block % gridDim.x, block / gridDim.x};
        run_block();
    }
}

int main() {
    for (;;) {
        std::string name = word();
        auto kernel = KERNELS.find(name);
        if (kernel == KERNELS.end()) {
            fprintf(stderr, "there is no kernel %s\n", name.c_str());
            return 1;
        }
        gridDim.x = number(), gridDim.y = number(), blockDim.x = number(), blockDim.y = number();
        buffers.clear();
        launch(kernel->second());
        for (const auto &buffer : buffers) {
            const char *at = buffer->bytes.data(), *end = at + buffer->bytes.size();
            if (buffer->type == "f64") for (; at < end; at += 8) printf("%.17g ", *(const double *)at);
            if (buffer->type == "f32") for (; at < end; at += 4) printf("%.9g ", *(const float *)at);
            if (buffer->type == "bf16") for (; at < end; at += 2) printf("%.9g ", wide(*(const bf16 *)at));
        }
        printf("\n");
        fflush(stdout);
    }
}
