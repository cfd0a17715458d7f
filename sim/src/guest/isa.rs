// SPDX-License-Identifier: BSD-2-Clause
//! The instructions: eight bytes each, `op a b c imm32`, the immediate little endian.
//!
//! Registers: `r0` carries the number of a system call in and its result out, `r1`..`r6` the
//! arguments of calls; `r14` (`at`) belongs to the assembler, `r15` (`sp`) is the stack pointer.

use std::fmt;

/// Bytes in an instruction.
pub const INSN_SIZE: u64 = 8;
/// General registers.
pub const NREGS: usize = 16;
/// The register that the assembler may use for itself.
pub const AT: u8 = 14;
/// The stack pointer.
pub const SP: u8 = 15;

/// Which fields of an instruction mean something, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `op`
    None,
    /// `op a`
    A,
    /// `op a, b`
    AB,
    /// `op a, b, c`
    ABC,
    /// `op a, b, imm`
    ABImm,
    /// `op a, imm`
    AImm,
    /// `op a, [b + imm]`
    Mem,
    /// `op a, b, target`
    ABTarget,
    /// `op target`
    Target,
}

macro_rules! ops {
    ($($code:literal $op:ident $name:literal $shape:ident, $text:literal;)*) => {
        /// What an instruction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Op {
            $(#[doc = $text] $op = $code,)*
        }

        impl Op {
            /// Every operation, in order of its code.
            pub const ALL: &[Self] = &[$(Self::$op,)*];

            /// The operation with this code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$op),)*
                    _ => None,
                }
            }

            /// The operation with this mnemonic.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$op),)*
                    _ => None,
                }
            }

            /// Its mnemonic.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$op => $name,)*
                }
            }

            /// The fields it uses.
            pub const fn shape(self) -> Shape {
                match self {
                    $(Self::$op => Shape::$shape,)*
                }
            }
        }
    };
}

ops! {
    0x01 Nop "nop" None, "Nothing.";
    0x02 Mov "mov" AB, "`a = b`";
    0x03 Li "li" AImm, "`a = imm`, sign extended.";
    0x04 Lih "lih" AImm, "The upper half of `a` becomes `imm`.";
    0x10 Add "add" ABC, "`a = b + c`, wrapping.";
    0x11 Sub "sub" ABC, "`a = b - c`, wrapping.";
    0x12 Mul "mul" ABC, "`a = b * c`, wrapping.";
    0x13 Div "div" ABC, "`a = b / c`, unsigned; traps where `c` is 0.";
    0x14 Rem "rem" ABC, "`a = b % c`, unsigned; traps where `c` is 0.";
    0x15 And "and" ABC, "`a = b & c`";
    0x16 Or "or" ABC, "`a = b | c`";
    0x17 Xor "xor" ABC, "`a = b ^ c`";
    0x18 Shl "shl" ABC, "`a = b << (c mod 64)`";
    0x19 Shr "shr" ABC, "`a = b >> (c mod 64)`, zeros shifted in.";
    0x1a Sar "sar" ABC, "`a = b >> (c mod 64)`, the sign shifted in.";
    0x20 AddI "addi" ABImm, "`a = b + imm`, wrapping.";
    0x21 SubI "subi" ABImm, "`a = b - imm`, wrapping.";
    0x22 MulI "muli" ABImm, "`a = b * imm`, wrapping.";
    0x23 DivI "divi" ABImm, "`a = b / imm`, unsigned; traps where `imm` is 0.";
    0x24 RemI "remi" ABImm, "`a = b % imm`, unsigned; traps where `imm` is 0.";
    0x25 AndI "andi" ABImm, "`a = b & imm`";
    0x26 OrI "ori" ABImm, "`a = b | imm`";
    0x27 XorI "xori" ABImm, "`a = b ^ imm`";
    0x28 ShlI "shli" ABImm, "`a = b << (imm mod 64)`";
    0x29 ShrI "shri" ABImm, "`a = b >> (imm mod 64)`, zeros shifted in.";
    0x2a SarI "sari" ABImm, "`a = b >> (imm mod 64)`, the sign shifted in.";
    0x30 Ld8 "ld8" Mem, "Loads a byte, zero extended.";
    0x31 Ld16 "ld16" Mem, "Loads two bytes, zero extended.";
    0x32 Ld32 "ld32" Mem, "Loads four bytes, zero extended.";
    0x33 Ld64 "ld64" Mem, "Loads eight bytes.";
    0x34 Lds32 "lds32" Mem, "Loads four bytes, sign extended.";
    0x38 St8 "st8" Mem, "Stores the low byte of `a`.";
    0x39 St16 "st16" Mem, "Stores the low two bytes of `a`.";
    0x3a St32 "st32" Mem, "Stores the low four bytes of `a`.";
    0x3b St64 "st64" Mem, "Stores `a`.";
    0x40 Beq "beq" ABTarget, "Goes to the target where `a == b`.";
    0x41 Bne "bne" ABTarget, "Goes to the target where `a != b`.";
    0x42 Blt "blt" ABTarget, "Goes to the target where `a < b`, signed.";
    0x43 Bge "bge" ABTarget, "Goes to the target where `a >= b`, signed.";
    0x44 Bltu "bltu" ABTarget, "Goes to the target where `a < b`, unsigned.";
    0x45 Bgeu "bgeu" ABTarget, "Goes to the target where `a >= b`, unsigned.";
    0x46 Jerr "jerr" Target, "Goes to the target where the last system call failed (carry set).";
    0x47 Jok "jok" Target, "Goes to the target where the last system call succeeded.";
    0x48 Jmp "jmp" Target, "Goes to the target.";
    0x49 JmpR "jmpr" A, "Goes to the address in `a`.";
    0x4a Call "call" Target, "Pushes the next pc and goes to the target.";
    0x4b CallR "callr" A, "Pushes the next pc and goes to the address in `a`.";
    0x4c Ret "ret" None, "Pops the pc.";
    0x4d Push "push" A, "Pushes `a`.";
    0x4e Pop "pop" A, "Pops `a`.";
    0x50 Syscall "syscall" None, "Calls the kernel.";
    0x51 Brk "brk" None, "Traps (`SIGTRAP`).";
}

/// An instruction, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// What it does.
    pub op: Op,
    /// First register, mostly the one written to.
    pub a: u8,
    /// Second register.
    pub b: u8,
    /// Third register.
    pub c: u8,
    /// Immediate value, offset or target address.
    pub imm: i32,
}

impl Insn {
    /// An instruction without operands.
    pub const fn new(op: Op) -> Self {
        Self {
            op,
            a: 0,
            b: 0,
            c: 0,
            imm: 0,
        }
    }

    /// The eight bytes.
    pub const fn encode(self) -> [u8; INSN_SIZE as usize] {
        let [w, x, y, z] = self.imm.to_le_bytes();
        [self.op as u8, self.a, self.b, self.c, w, x, y, z]
    }

    /// From eight bytes; `None` where they are no instruction. Fields that the operation does not
    /// use must be zero, so that there is one encoding of each.
    pub fn decode(bytes: [u8; INSN_SIZE as usize]) -> Option<Self> {
        let [code, a, b, c, w, x, y, z] = bytes;
        let op = Op::from_code(code)?;
        let insn = Self {
            op,
            a,
            b,
            c,
            imm: i32::from_le_bytes([w, x, y, z]),
        };
        let (max_a, max_b, max_c, imm) = match op.shape() {
            Shape::None => (0, 0, 0, false),
            Shape::A => (15, 0, 0, false),
            Shape::AB => (15, 15, 0, false),
            Shape::ABC => (15, 15, 15, false),
            Shape::ABImm | Shape::Mem | Shape::ABTarget => (15, 15, 0, true),
            Shape::AImm => (15, 0, 0, true),
            Shape::Target => (0, 0, 0, true),
        };
        let good = a <= max_a && b <= max_b && c <= max_c && (imm || insn.imm == 0);
        good.then_some(insn)
    }

    /// The immediate as a branch target: text lies in the lower 4 GB.
    pub const fn target(self) -> u64 {
        self.imm as u32 as u64
    }
}

impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { a, b, c, imm, .. } = *self;
        let name = self.op.name();
        match self.op.shape() {
            Shape::None => write!(f, "{name}"),
            Shape::A => write!(f, "{name} r{a}"),
            Shape::AB => write!(f, "{name} r{a}, r{b}"),
            Shape::ABC => write!(f, "{name} r{a}, r{b}, r{c}"),
            Shape::ABImm => write!(f, "{name} r{a}, r{b}, {imm}"),
            Shape::AImm => write!(f, "{name} r{a}, {imm}"),
            Shape::Mem => write!(f, "{name} r{a}, [r{b} + {imm}]"),
            Shape::ABTarget => write!(f, "{name} r{a}, r{b}, {:#x}", self.target()),
            Shape::Target => write!(f, "{name} {:#x}", self.target()),
        }
    }
}

/// The text as instructions with their addresses, one a line; for traces.
pub fn disassemble(base: u64, text: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    let (insns, rest) = text.as_chunks::<{ INSN_SIZE as usize }>();
    let mut pc = base;
    for bytes in insns {
        // Writing to a string cannot fail.
        let _ = match Insn::decode(*bytes) {
            Some(insn) => writeln!(out, "{pc:#010x}  {insn}"),
            None => writeln!(out, "{pc:#010x}  .bytes {bytes:02x?}"),
        };
        pc = pc.wrapping_add(INSN_SIZE);
    }
    if !rest.is_empty() {
        let _ = writeln!(out, "{pc:#010x}  .bytes {rest:02x?}");
    }
    out
}
