//! Numbers: which are let in, and how they are written. A number is let in when binary64 holds exactly
//! what was written; it is written as ECMAScript does (RFC 8785 section 3.2.2.3).

use serde_json::Number;

/// The largest integer that binary64 and every JSON reader agree on: 2^53 − 1 (RFC 7493 section 2.2).
pub const LARGEST: i64 = (1 << 53) - 1;

/// Reads a number token that already has the grammar of RFC 8259 section 6. Integral values inside
/// ±(2^53−1) come back as integers, so that `1.0` and `1` are one number.
pub fn exact(token: &str) -> Option<Number> {
    let integer = !token.contains(['.', 'e', 'E']);
    if integer {
        let value: i64 = token.parse().ok()?;
        return (-LARGEST..=LARGEST).contains(&value).then(|| value.into());
    }
    let value: f64 = token.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    // Measured by the form we write: the standard library breaks ties between two shortest forms otherwise.
    let mut written = String::new();
    write(value, &mut written);
    if Decimal::of(token)? != Decimal::of(&written)? {
        return None;
    }
    if value.fract() == 0.0 && value.abs() <= LARGEST as f64 {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

/// Writes a finite binary64 as ECMAScript's `Number::toString` does.
pub fn write(value: f64, out: &mut String) {
    out.push_str(ryu_js::Buffer::new().format_finite(value));
}

/// The decimal value of a number token, without a binary detour: digits without leading or trailing
/// zeros, and the power of ten of the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    power: i64,
}

impl Decimal {
    fn of(token: &str) -> Option<Self> {
        let (negative, token) = token.strip_prefix('-').map_or((false, token), |rest| (true, rest));
        let (mantissa, exponent) = match token.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
                (mantissa, exponent.parse::<i64>().ok().filter(|e| e.abs() < 100_000)?)
            }
            None => (token, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let kept = all.trim_end_matches('0');
        let power = exponent - fraction.len() as i64 + (all.len() - kept.len()) as i64;
        let digits = kept.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), power: 0 });
        }
        Some(Self { negative, digits: digits.to_owned(), power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number vectors of RFC 8785 appendix B.
    const VECTORS: &[(u64, &str)] = &[
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];

    #[test]
    fn numbers_are_written_as_rfc_8785_says() {
        for (bits, expected) in VECTORS {
            let mut text = String::new();
            write(f64::from_bits(*bits), &mut text);
            assert_eq!(text, *expected, "{bits:016x}");
        }
    }

    #[test]
    fn only_what_binary64_holds_exactly_is_let_in() {
        for token in ["1", "-0", "0.1", "1.0", "1e21", "1.5E+3", "9007199254740991", "0.000", "5e-324"] {
            assert!(exact(token).is_some(), "{token}");
        }
        for token in [
            "9007199254740992",
            "9007199254740993",
            "-9007199254740992",
            "1.0000000000000001",
            "1e400",
            "0.1e-400",
            "18446744073709551615",
            "0.30000000000000001",
            "1e999999999999",
        ] {
            assert!(exact(token).is_none(), "{token}");
        }
        assert_eq!(exact("1.0"), exact("1"));
        // Both stand for the binary64 30050084295170.3125, and only one is written by ECMAScript.
        assert!(exact("30050084295170.312").is_some());
        assert!(exact("30050084295170.313").is_none());
    }
}
