//! Kubernetes quantities: `100m`, `0.5`, `256Mi`, `1e3`.
//!
//! Source: Kubernetes API conventions, "Quantity" (`k8s.io/apimachinery/pkg/api/resource`). The
//! original text is kept, since it is what people wrote and what Kubernetes shall be given.

use std::fmt;

use crate::Invalid;

const NANO: u128 = 1_000_000_000;

/// A non-negative amount of CPU, memory or storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    /// Billionths of one, rounded up: the finest step Kubernetes knows.
    nanos: u128,
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// Negative amounts, unknown suffixes, and what does not fit 63 bits (Kubernetes' own bound).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a Kubernetes quantity, such as 100m or 256Mi");
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let too_long = whole.len() > 19 || fraction.len() > 9;
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || too_long {
            return Err(refused());
        }
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| refused())?
        };
        let fraction: u128 = format!("{fraction:0<9}").parse().map_err(|_| refused())?;
        let nanos = whole * NANO + fraction;

        let (multiplier, divisor) = scale(suffix).ok_or_else(refused)?;
        let nanos = nanos
            .checked_mul(multiplier)
            .map(|scaled| scaled.div_ceil(divisor))
            .filter(|scaled| scaled.div_ceil(NANO) <= i64::MAX as u128)
            .ok_or(Invalid::new("must be smaller"))?;
        Ok(Self {
            text: text.to_owned(),
            nanos,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Thousandths, rounded up: millicores of a CPU quantity.
    #[must_use]
    pub fn millis(&self) -> u64 {
        u64::try_from(self.nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded up: bytes of a memory quantity.
    #[must_use]
    pub fn units(&self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANO)).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// What a suffix stands for, as a fraction.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (NANO, 1),
        "T" => (NANO * 1_000, 1),
        "P" => (NANO * 1_000_000, 1),
        "E" => (NANO * NANO, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power = exponent.strip_prefix(['e', 'E'])?;
            match power.parse::<i8>().ok()? {
                power @ 0..=18 => (10_u128.pow(u32::from(power.unsigned_abs())), 1),
                power @ -9..=-1 => (1, 10_u128.pow(u32::from(power.unsigned_abs()))),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str) -> u64 {
        Quantity::parse(text).unwrap().units()
    }

    #[test]
    fn suffixes_mean_what_kubernetes_means() {
        assert_eq!(Quantity::parse("100m").unwrap().millis(), 100);
        assert_eq!(Quantity::parse("0.5").unwrap().millis(), 500);
        assert_eq!(Quantity::parse("2").unwrap().millis(), 2_000);
        assert_eq!(units("256Mi"), 256 << 20);
        assert_eq!(units("1.5Gi"), 3 << 29);
        assert_eq!(units("1k"), 1_000);
        assert_eq!(units("1e3"), 1_000);
        assert_eq!(units("1E"), 1_000_000_000_000_000_000);
    }

    #[test]
    fn parts_of_the_smallest_step_are_rounded_up() {
        assert_eq!(Quantity::parse("1n").unwrap().millis(), 1);
        assert_eq!(units("100m"), 1);
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for bad in [
            "", "-1", "+1", "m", "1.2.3", "1 Mi", "1mi", "1KB", "10E", "1e99", ".", "∞",
        ] {
            assert!(Quantity::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.eEkKmMgGinu+-]{0,30}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn mebibytes_scale(count in 0_u64..1_000_000) {
            let text = format!("{count}Mi");
            prop_assert_eq!(units(&text), count << 20);
        }
    }
}
