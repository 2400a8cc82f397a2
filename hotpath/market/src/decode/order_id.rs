//! Ids that are texts, as 64-bit numbers.

/// A decimal number as it is, a UUID as the exclusive or of its halves, any other text by its FNV-1a hash (64 bits).
///
/// The halves of a random UUID are random but for six bits at different places, so two ids of a book of a million fold alike with a
/// chance of one in 4e7; a hash does no better, and this is cheaper.
pub(super) fn fold_id(text: &str) -> u64 {
    if let Some(id) = decimal_id(text) {
        return id;
    }
    if let Some(uuid) = uuid(text) {
        return (uuid >> 64) as u64 ^ uuid as u64;
    }
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The 128 bits of `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub(super) fn uuid(text: &str) -> Option<u128> {
    let bytes: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut value = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        if matches!(place, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
        } else {
            value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
        }
    }
    Some(value)
}

fn decimal_id(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_uuids_fold_texts_are_hashed() {
        assert_eq!(fold_id("42377944"), 42_377_944);
        assert_eq!(fold_id("00000000-0000-0003-0000-000000000005"), 6);
        assert_eq!(uuid("00065aad-a8b2-3408-0000-000102000020").map(|uuid| (uuid >> 64) as u64), Some(1_788_551_766_357_000));
        // The published test vector of FNV-1a for "foobar".
        assert_eq!(fold_id("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fold_id(""), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fold_id("O6ZQNQ-BXL4E-5WGINO"), fold_id("O6ZQNQ-BXL4E-5WGINP"));
        assert_ne!(fold_id("18446744073709551616"), 0);
    }
}
