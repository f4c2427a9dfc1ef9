//! e to a power, the normal distribution function, the logistic function and tanh, for loops that the compiler turns into vectors.

/// exp(x) for x <= 0 to two units in the last place; 0 below -87, and NaN for NaN.
///
/// exp(x) = 2^n exp(r) with n = round(x / log 2) and |r| <= log(2) / 2; exp(r) by its Taylor series to
/// the seventh power. No branch and no call, so a loop over it becomes vector instructions; `mul_add`
/// would become a call on processors without it.
#[inline(always)]
pub(crate) fn exp_of_at_most_zero(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which the low bits of the sum then hold.
    const ROUND: f32 = 12_582_912.0;
    /// log 2 in two parts: n times the first is exact.
    const LOG_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    const LEAST: f32 = -87.0;
    // Not f32::max, which would drop NaN.
    let inside = if x < LEAST { LEAST } else { x };
    let rounded = inside * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = inside - n * LOG_2[0] - n * LOG_2[1];
    let series = 1.0 / 5_040.0;
    let series = series * r + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    // 2^n by its exponent bits: n is between -126 and 0, so they are those of a normal number.
    let power =
        f32::from_bits((rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    if x < LEAST { 0.0 } else { series * power }
}

/// 1 / (1 + exp(-x)) to four units in the last place; NaN for NaN. As [`exp_of_at_most_zero`], it becomes vector
/// instructions.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let power = exp_of_at_most_zero(-x.abs());
    let part = if x < 0.0 { power } else { 1.0 };
    part / (1.0 + power)
}

/// tanh(x) to four units in the last place; NaN for NaN. As [`exp_of_at_most_zero`], it becomes vector instructions.
///
/// (1 - exp(-2 |x|)) / (1 + exp(-2 |x|)), and below 0.3 the Taylor series, where the difference loses digits.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    const SMALL: f32 = 0.3;
    let power = exp_of_at_most_zero(-2.0 * x.abs());
    let size = (1.0 - power) / (1.0 + power);
    let square = x * x;
    let series = 1_382.0 / 155_925.0;
    let series = series * -square + 62.0 / 2_835.0;
    let series = series * -square + 17.0 / 315.0;
    let series = series * -square + 2.0 / 15.0;
    let series = series * -square + 1.0 / 3.0;
    let series = series * -square + 1.0;
    if x.abs() < SMALL { series * x } else { size.copysign(x) }
}

/// The normal distribution function of x to 3e-7, given exp(-x^2 / 2): formula 7.1.26 of Abramowitz and
/// Stegun 1964 for erfc(|x| / sqrt 2). As [`exp_of_at_most_zero`], it becomes vector instructions.
#[inline(always)]
pub(crate) fn normal_distribution(x: f32, density: f32) -> f32 {
    const STEP: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + STEP * x.abs());
    let series = 1.061_405_4;
    let series = series * t - 1.453_152;
    let series = series * t + 1.421_413_7;
    let series = series * t - 0.284_496_74;
    let series = series * t + 0.254_829_6;
    let tail = 0.5 * series * t * density;
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logistic_function_and_tanh_are_right_to_four_units() {
        for step in -200_000..=200_000 {
            let x = step as f32 / 2_000.0;
            let wide = f64::from(x);
            for (name, got, wanted) in [
                ("sigmoid", sigmoid(x), 1.0 / (1.0 + (-wide).exp())),
                ("tanh", tanh(x), wide.tanh()),
            ] {
                // Below e^-87 the logistic function is 0.
                let error = (f64::from(got) - wanted).abs();
                assert!(error <= 4.8e-7 * wanted.abs() + 2e-38, "{name}({x}): {got} {wanted}");
            }
        }
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)], [1.0, -1.0]);
        assert_eq!([sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)], [1.0, 0.0]);
    }

    #[test]
    fn the_normal_distribution_function_is_right_to_three_ten_millionths() {
        for step in -8_000..8_000 {
            let x = step as f32 / 1_000.0;
            let got = normal_distribution(x, (-0.5 * x * x).exp());
            let wanted = candle_core::cpu::erf::erfc_f64(-f64::from(x) / 2f64.sqrt()) / 2.0;
            assert!((f64::from(got) - wanted).abs() < 3e-7, "{x}: {got} {wanted}");
        }
    }

    #[test]
    fn every_float_between_minus_87_and_0_is_right_to_two_units() {
        let mut worst = 0f64;
        let mut bits = (-87f32).to_bits();
        // Every 257th float: 10 million of them.
        while bits > 0x8000_0000 {
            let x = f32::from_bits(bits);
            let wanted = f64::from(x).exp();
            worst = worst.max((f64::from(exp_of_at_most_zero(x)) - wanted).abs() / wanted);
            bits -= 257;
        }
        assert!(worst < 2.4e-7, "{worst:e}");
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(exp_of_at_most_zero(0.0), 1.0);
        assert_eq!(exp_of_at_most_zero(-88.0), 0.0);
        assert_eq!(exp_of_at_most_zero(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_at_most_zero(f32::NAN).is_nan());
    }
}
