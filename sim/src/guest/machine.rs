// SPDX-License-Identifier: BSD-2-Clause
//! The machine: executes instructions until the kernel is needed.

use super::isa::{INSN_SIZE, Insn, NREGS, Op, SP};
use crate::vm::{Fault, PAGE_SIZE, Page, View, trunc_page};

/// All of a guest thread's state that is not in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regs {
    /// General registers.
    pub r: [u64; NREGS],
    /// Address of the next instruction.
    pub pc: u64,
    /// Set by a system call that failed, cleared by one that did not.
    pub carry: bool,
}

/// Why the machine came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The budget is spent.
    Budget,
    /// A system call; the pc is behind the instruction.
    Syscall,
    /// Memory could not be accessed (`SIGSEGV`, `SIGBUS`).
    Fault(Fault),
    /// The bytes at the pc are no instruction (`SIGILL`).
    Illegal,
    /// A division by zero (`SIGFPE`).
    DivideByZero,
    /// A breakpoint (`SIGTRAP`).
    Breakpoint,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Why it ended.
    pub stop: Stop,
    /// Instructions executed; the one that trapped counts.
    pub used: u64,
}

/// Executes at most `budget` instructions.
pub fn run(regs: &mut Regs, mem: &mut View<'_>, budget: u64) -> Ran {
    let mut text = Text::default();
    let mut used = 0;
    while used < budget {
        used += 1;
        let stop = match text.fetch(mem, regs.pc) {
            Ok(Some(insn)) => step(regs, mem, insn),
            Ok(None) => Err(Stop::Illegal),
            Err(fault) => Err(Stop::Fault(fault)),
        };
        if let Err(stop) = stop {
            return Ran { stop, used };
        }
    }
    Ran {
        stop: Stop::Budget,
        used,
    }
}

/// The page that instructions are being fetched from, kept as long as it cannot change.
#[derive(Default)]
struct Text {
    page: Option<(u64, Page)>,
}

impl Text {
    fn fetch(&mut self, mem: &View<'_>, pc: u64) -> Result<Option<Insn>, Fault> {
        if !pc.is_multiple_of(INSN_SIZE) {
            return Ok(None);
        }
        let va = trunc_page(pc);
        let at = ((pc % PAGE_SIZE) / INSN_SIZE) as usize;
        let insn = |page: &Page| {
            let (insns, _) = page.as_chunks::<{ INSN_SIZE as usize }>();
            insns.get(at).copied().and_then(Insn::decode)
        };
        if let Some((cached, page)) = &self.page
            && *cached == va
        {
            return Ok(insn(page));
        }
        let (page, stable) = mem.fetch(pc)?;
        let found = insn(&page);
        self.page = stable.then_some((va, page));
        Ok(found)
    }
}

fn step(regs: &mut Regs, mem: &mut View<'_>, insn: Insn) -> Result<(), Stop> {
    let next = regs.pc.wrapping_add(INSN_SIZE);
    let (ra, rb) = (reg(regs, insn.a), reg(regs, insn.b));
    let rc = reg(regs, insn.c);
    let imm = i64::from(insn.imm) as u64;
    let mut pc = next;
    match insn.op {
        Op::Nop => {}
        Op::Mov => set(regs, insn.a, rb),
        Op::Li => set(regs, insn.a, imm),
        Op::Lih => set(regs, insn.a, (ra & 0xffff_ffff) | imm << 32),
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Rem | Op::And | Op::Or | Op::Xor => {
            set(regs, insn.a, arith(insn.op, rb, rc)?);
        }
        Op::Shl | Op::Shr | Op::Sar => set(regs, insn.a, arith(insn.op, rb, rc)?),
        Op::AddI | Op::SubI | Op::MulI | Op::DivI | Op::RemI | Op::AndI | Op::OrI | Op::XorI => {
            set(regs, insn.a, arith(insn.op, rb, imm)?);
        }
        Op::ShlI | Op::ShrI | Op::SarI => set(regs, insn.a, arith(insn.op, rb, imm)?),
        Op::Ld8 | Op::Ld16 | Op::Ld32 | Op::Ld64 | Op::Lds32 => {
            let value = load(mem, insn.op, rb.wrapping_add(imm))?;
            set(regs, insn.a, value);
        }
        Op::St8 => store(mem, rb.wrapping_add(imm), ra, 1)?,
        Op::St16 => store(mem, rb.wrapping_add(imm), ra, 2)?,
        Op::St32 => store(mem, rb.wrapping_add(imm), ra, 4)?,
        Op::St64 => store(mem, rb.wrapping_add(imm), ra, 8)?,
        Op::Beq | Op::Bne | Op::Blt | Op::Bge | Op::Bltu | Op::Bgeu | Op::Jerr | Op::Jok => {
            if taken(insn.op, ra, rb, regs.carry) {
                pc = insn.target();
            }
        }
        Op::Jmp => pc = insn.target(),
        Op::JmpR => pc = ra,
        Op::Call => {
            push(regs, mem, next)?;
            pc = insn.target();
        }
        Op::CallR => {
            push(regs, mem, next)?;
            pc = ra;
        }
        Op::Ret => pc = pop(regs, mem)?,
        Op::Push => push(regs, mem, ra)?,
        Op::Pop => {
            let value = pop(regs, mem)?;
            set(regs, insn.a, value);
        }
        Op::Syscall => {
            regs.pc = next;
            return Err(Stop::Syscall);
        }
        Op::Brk => return Err(Stop::Breakpoint),
    }
    regs.pc = pc;
    Ok(())
}

fn reg(regs: &Regs, index: u8) -> u64 {
    regs.r.get(usize::from(index)).copied().unwrap_or(0)
}

fn set(regs: &mut Regs, index: u8, value: u64) {
    if let Some(place) = regs.r.get_mut(usize::from(index)) {
        *place = value;
    }
}

fn arith(op: Op, b: u64, c: u64) -> Result<u64, Stop> {
    let shift = (c & 63) as u32;
    Ok(match op {
        Op::Add | Op::AddI => b.wrapping_add(c),
        Op::Sub | Op::SubI => b.wrapping_sub(c),
        Op::Mul | Op::MulI => b.wrapping_mul(c),
        Op::Div | Op::DivI => b.checked_div(c).ok_or(Stop::DivideByZero)?,
        Op::Rem | Op::RemI => b.checked_rem(c).ok_or(Stop::DivideByZero)?,
        Op::And | Op::AndI => b & c,
        Op::Or | Op::OrI => b | c,
        Op::Xor | Op::XorI => b ^ c,
        Op::Shl | Op::ShlI => b << shift,
        Op::Shr | Op::ShrI => b >> shift,
        _ => ((b as i64) >> shift) as u64,
    })
}

fn taken(op: Op, a: u64, b: u64, carry: bool) -> bool {
    match op {
        Op::Beq => a == b,
        Op::Bne => a != b,
        Op::Blt => (a as i64) < (b as i64),
        Op::Bge => (a as i64) >= (b as i64),
        Op::Bltu => a < b,
        Op::Bgeu => a >= b,
        Op::Jerr => carry,
        _ => !carry,
    }
}

fn load(mem: &View<'_>, op: Op, va: u64) -> Result<u64, Stop> {
    let width = match op {
        Op::Ld8 => 1,
        Op::Ld16 => 2,
        Op::Ld32 | Op::Lds32 => 4,
        _ => 8,
    };
    let mut bytes = [0; 8];
    if let Some(out) = bytes.get_mut(..width) {
        mem.read(va, out).map_err(Stop::Fault)?;
    }
    let value = u64::from_le_bytes(bytes);
    Ok(match op {
        Op::Lds32 => i64::from(value as u32 as i32) as u64,
        _ => value,
    })
}

/// A store either happens whole or not at all: the machine has no partly executed instructions.
fn store(mem: &mut View<'_>, va: u64, value: u64, width: usize) -> Result<(), Stop> {
    let bytes = value.to_le_bytes();
    let data = bytes.get(..width).unwrap_or(&bytes);
    if va % PAGE_SIZE + width as u64 > PAGE_SIZE {
        let check = mem.check(va, width as u64, crate::vm::Access::Write);
        check.map_err(Stop::Fault)?;
    }
    mem.write(va, data).map_err(Stop::Fault)
}

fn push(regs: &mut Regs, mem: &mut View<'_>, value: u64) -> Result<(), Stop> {
    let sp = reg(regs, SP).wrapping_sub(8);
    store(mem, sp, value, 8)?;
    set(regs, SP, sp);
    Ok(())
}

fn pop(regs: &mut Regs, mem: &View<'_>) -> Result<u64, Stop> {
    let sp = reg(regs, SP);
    let value = load(mem, Op::Ld64, sp)?;
    set(regs, SP, sp.wrapping_add(8));
    Ok(value)
}
