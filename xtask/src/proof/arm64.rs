// SPDX-License-Identifier: BSD-2-Clause
//! arm64: reads the few encodings that matter (Arm ARM, DDI 0487, C4.1).
//!
//! Every instruction that lowers `sp` is counted, once, wherever it stands; compilers lower it in
//! the prologue only, so the sum is the frame, and never less than it.

use super::code::{Body, Call, Callee};
use super::module::{Function, Module};

/// Decodes one function; also gives how many instructions it has.
pub(crate) fn body(module: &Module, function: &Function) -> (Body, usize) {
    let mut body = Body::default();
    let words: Vec<(u64, u32)> = function
        .code
        .chunks_exact(4)
        .zip((function.start..).step_by(4))
        .map(|(word, at)| (at, u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .collect();
    for (at, word) in &words {
        match lowers_sp(*word) {
            Lowers::By(bytes) => body.frame += bytes,
            Lowers::Unknown => {
                body.unbounded = Some(format!("{word:#010x} at {at:#x} moves sp unforeseeably"));
            }
            Lowers::Not => {}
        }
        if is_float(*word) {
            body.float.push(format!("{word:#010x} at {at:#x}"));
        }
    }
    let end = function.start + function.code.len() as u64;
    for (at, word) in &words {
        let callee = match branch(*at, *word) {
            Branch::Not => continue,
            Branch::To { target, link } => {
                if !link && (function.start..end).contains(&target) {
                    continue;
                }
                own(module, target)
            }
            Branch::Through => Callee::Unknown,
        };
        body.calls.push(Call {
            callee,
            depth: body.frame,
        });
    }
    (body, words.len())
}

fn own(module: &Module, target: u64) -> Callee {
    match (module.function_at(target), module.plt.get(&target)) {
        (Some(index), _) => Callee::Own(index),
        (None, Some(name)) => Callee::Kernel(name.clone()),
        (None, None) => Callee::Unknown,
    }
}

enum Lowers {
    Not,
    By(u64),
    Unknown,
}

fn lowers_sp(word: u32) -> Lowers {
    // SUB sp, sp, #imm12 {, LSL #12}
    if word & 0xff80_03ff == 0xd100_03ff {
        let imm = u64::from(word >> 10 & 0xfff);
        return Lowers::By(if word & 1 << 22 == 0 { imm } else { imm << 12 });
    }
    // STP, pre-indexed, base sp: imm7 scaled by 8
    if word & 0xffc0_03e0 == 0xa980_03e0 {
        let imm = word >> 15 & 0x7f;
        return Lowers::By(u64::from(0x80 - imm.max(0x40)) * 8);
    }
    // STR, pre-indexed, base sp: imm9
    if word & 0xffe0_0fe0 == 0xf800_0fe0 {
        let imm = word >> 12 & 0x1ff;
        return Lowers::By(u64::from(0x200 - imm.max(0x100)));
    }
    // SUB sp, sp, register; AND sp, ..., #mask
    if word & 0xffe0_03ff == 0xcb20_03ff || word & 0xff80_001f == 0x9200_001f {
        return Lowers::Unknown;
    }
    Lowers::Not
}

/// Groups "SIMD and floating point" and, among loads and stores, those with the V bit.
const fn is_float(word: u32) -> bool {
    let group = word >> 25 & 0xf;
    let simd = group & 0b0111 == 0b0111;
    let load_or_store = group & 0b0101 == 0b0100;
    simd || (load_or_store && word & 1 << 26 != 0)
}

enum Branch {
    Not,
    To { target: u64, link: bool },
    Through,
}

const fn branch(at: u64, word: u32) -> Branch {
    match word & 0xfc00_0000 {
        0x9400_0000 | 0x1400_0000 => {
            let words = ((word & 0x03ff_ffff) << 6) as i32 >> 6;
            Branch::To {
                target: at.wrapping_add_signed(words as i64 * 4),
                link: word >> 31 == 1,
            }
        }
        // BLR; BR is a jump table's or a tail call, which arm64 compilers here make by B.
        _ if word & 0xffff_fc1f == 0xd63f_0000 => Branch::Through,
        _ => Branch::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_the_prologue_takes() {
        // sub sp, sp, #0x30; stp x29, x30, [sp, #-16]!; str x19, [sp, #-32]!
        let frame = |word| match lowers_sp(word) {
            Lowers::By(bytes) => bytes,
            Lowers::Not => 0,
            Lowers::Unknown => u64::MAX,
        };
        assert_eq!(frame(0xd100_c3ff), 0x30);
        assert_eq!(frame(0xa9bf_7bfd), 16);
        assert_eq!(frame(0xf81e_0ff3), 32);
        assert_eq!(frame(0xcb21_63ff), u64::MAX);
        // add sp, sp, #0x30 gives back.
        assert_eq!(frame(0x9100_c3ff), 0);
    }

    #[test]
    fn vector_loads_and_arithmetic_are_told_from_integer_ones() {
        // ldr q0, [x0]; fadd d0, d0, d1; movi v0.2d, #0
        assert!(is_float(0x3dc0_0000));
        assert!(is_float(0x1e61_2800));
        assert!(is_float(0x6f00_e400));
        // ldr x0, [x0]; add x0, x0, x1; bl .
        assert!(!is_float(0xf940_0000));
        assert!(!is_float(0x8b01_0000));
        assert!(!is_float(0x9400_0000));
    }

    #[test]
    fn branches_reach_back_and_forth() {
        let target = |word| match branch(0x1000, word) {
            Branch::To { target, .. } => target,
            _ => 0,
        };
        assert_eq!(target(0x9400_0002), 0x1008);
        assert_eq!(target(0x17ff_ffff), 0xffc);
    }
}
