// The elements of patches, defined plainly: 16-bit floats by the table of all their numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

// A 16-bit float with so many bits for its exponent, in order: all numbers from 0 up to the one behind the largest,
// whose bits are those of infinity.
class Numbers16 {
   public:
    explicit Numbers16(int exponent_bits) : fraction_bits_(15 - exponent_bits) {
        const int bias = (1 << (exponent_bits - 1)) - 1, infinity = ((1 << exponent_bits) - 1) << fraction_bits_;
        for (int bits = 0; bits <= infinity; ++bits) {
            const int exponent = bits >> fraction_bits_, fraction = bits & ((1 << fraction_bits_) - 1);
            const int whole = exponent ? fraction + (1 << fraction_bits_) : fraction;
            numbers_.push_back(std::ldexp(whole, std::max(exponent, 1) - bias - fraction_bits_));
        }
    }
    double number(uint16_t bits) const {
        const std::size_t size = bits & 0x7fffu;
        if (size >= numbers_.size()) return std::numeric_limits<double>::quiet_NaN();
        const double x = size + 1 == numbers_.size() ? std::numeric_limits<double>::infinity() : numbers_[size];
        return bits & 0x8000u ? -x : x;
    }
    // Rounded to the nearest, ties to even bits.
    uint16_t bits(double x) const {
        const uint16_t sign = std::signbit(x) ? 0x8000u : 0;
        const double size = std::fabs(x);
        const auto above = std::lower_bound(numbers_.begin(), numbers_.end(), size);
        if (above == numbers_.begin()) return sign;
        if (above == numbers_.end()) return static_cast<uint16_t>(sign | (numbers_.size() - 1));
        const double up = *above - size, down = size - above[-1];
        const auto index = static_cast<uint16_t>(above - numbers_.begin());
        return static_cast<uint16_t>(sign | (up < down || (up == down && index % 2 == 0) ? index : index - 1));
    }

   private:
    int fraction_bits_;
    std::vector<double> numbers_;
};

// Elements by their type: `kind` is the type's number in FoldProblem, S the one in which sums run.
struct Uint8 {
    typedef float S;
    uint8_t bits;
    static constexpr int kind = 0;
    static Uint8 of(double x) { return {static_cast<uint8_t>(std::nearbyint(x > 0 ? std::min(x, 255.0) : 0))}; }
    double number() const { return bits; }
};
struct Float16 {
    typedef float S;
    uint16_t bits;
    static constexpr int kind = 1;
    static const Numbers16& all() {
        static const Numbers16 numbers(5);
        return numbers;
    }
    static Float16 of(double x) { return {all().bits(x)}; }
    double number() const { return all().number(bits); }
};
struct Brain16 {
    typedef float S;
    uint16_t bits;
    static constexpr int kind = 2;
    static const Numbers16& all() {
        static const Numbers16 numbers(8);
        return numbers;
    }
    static Brain16 of(double x) { return {all().bits(x)}; }
    double number() const { return all().number(bits); }
};
struct Float32 {
    typedef float S;
    float bits;
    static constexpr int kind = 3;
    static Float32 of(double x) { return {static_cast<float>(x)}; }
    double number() const { return static_cast<double>(bits); }
};
struct Float64 {
    typedef double S;
    double bits;
    static constexpr int kind = 4;
    static Float64 of(double x) { return {x}; }
    double number() const { return bits; }
};
