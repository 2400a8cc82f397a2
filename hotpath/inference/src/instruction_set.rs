//! Which vector instructions the machine has.

/// The vector instructions that a kernel may use. Every kernel gives the same bits with each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InstructionSet {
    /// What every machine of the target has: SSE2 on x86-64.
    Baseline,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// All that this machine has, the widest last.
    pub(crate) fn available() -> Vec<InstructionSet> {
        let mut sets = vec![InstructionSet::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                sets.push(InstructionSet::Avx2);
            }
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_avx512 {
                sets.push(InstructionSet::Avx512);
            }
        }
        sets
    }

    /// The widest that this machine has.
    pub(crate) fn widest() -> InstructionSet {
        InstructionSet::available().pop().unwrap_or(InstructionSet::Baseline)
    }
}
