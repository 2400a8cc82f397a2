//! Which vector instructions the machine has, and functions compiled for each of them.

/// The vector instructions that a kernel may use. Every kernel gives the same bits with each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstructionSet {
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
    pub fn available() -> Vec<InstructionSet> {
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
    pub fn widest() -> InstructionSet {
        InstructionSet::available().pop().unwrap_or(InstructionSet::Baseline)
    }
}

/// Defines a function that takes an [`InstructionSet`] before its own arguments and whose body is compiled for each. What the body calls
/// has to be `#[inline(always)]`, else it is compiled once, for the baseline (a closure in place of this macro is no help: it is not
/// inlined for sure, and the step took more than twice as long).
#[macro_export]
macro_rules! for_each_instruction_set {
    ($(#[$attribute:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),*) $body:block) => {
        $(#[$attribute])*
        $visible fn $name(instruction_set: $crate::instruction_set::InstructionSet, $($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn with_avx2($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn with_avx512($($argument: $type),*) $body

            match instruction_set {
                $crate::instruction_set::InstructionSet::Baseline => $body,
                // SAFETY: `InstructionSet::available` detected these instructions on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::instruction_set::InstructionSet::Avx2 => unsafe { with_avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::instruction_set::InstructionSet::Avx512 => unsafe { with_avx512($($argument),*) },
            }
        }
    };
}
pub use for_each_instruction_set;
