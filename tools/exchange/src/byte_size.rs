//! Sizes as people write them.

/// Bytes of a size such as `500000`, `10GB`, `1.5 GiB`: a number and a unit, `B` or `k`, `M`, `G`, `T` with `B` (powers of 1,000) or
/// `iB` (powers of 1,024), in either case.
///
/// # Errors
/// What is wrong, for the one who wrote it.
pub fn parse_byte_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (number, unit) = lower.split_at(lower.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(lower.len()));
    let unit_bytes = match unit {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024f64.powi(2),
        "gib" => 1024f64.powi(3),
        "tib" => 1024f64.powi(4),
        _ => return Err(format!("unknown unit `{unit}`; known are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB")),
    };
    let bytes = number.trim().parse::<f64>().map_err(|_| format!("`{text}` is not a size such as 500MB or 10GB"))? * unit_bytes;
    // Above 2^53 bytes the number is no longer exact, and no disk is that large.
    if (1.0..=2f64.powi(53)).contains(&bytes) { Ok(bytes as u64) } else { Err(format!("`{text}` is not between 1 B and 8 PiB")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        for (text, bytes) in [
            ("1", 1),
            ("500000", 500_000),
            ("10GB", 10_000_000_000),
            ("10 gb", 10_000_000_000),
            ("1.5MiB", 1_572_864),
            ("2k", 2_000),
            ("8PB", 0),
            ("GB", 0),
            ("", 0),
            ("-1", 0),
            ("0", 0),
            ("1e30", 0),
            ("nan", 0),
            ("9000TiB", 0),
        ] {
            match bytes {
                0 => assert!(parse_byte_size(text).is_err(), "{text}"),
                _ => assert_eq!(parse_byte_size(text), Ok(bytes), "{text}"),
            }
        }
    }
}
