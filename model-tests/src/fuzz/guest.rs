// SPDX-License-Identifier: BSD-2-Clause
//! Guest programs: whatever text and registers hold, the machine traps or goes on, and the kernel
//! keeps its invariants.

use sim::guest::asm::{DATA_BASE, TEXT_BASE};
use sim::guest::isa::{INSN_SIZE, Insn, Op};
use sim::guest::{Program, assemble};
use sim::kern::hooks::NoHooks;
use sim::kern::proc::Ucred;
use sim::kern::{Config, Kern};

/// Bytes of text that are looked at.
const TEXT_MAX: usize = 4096;
/// Slices that a program gets.
const SLICES: usize = 400;
/// Instructions between two slices at most.
const QUANTUM: u64 = 200;

/// Source text of any kind either assembles to whole instructions or names a place in itself.
pub fn source(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match assemble(&text, &[("P", "7")]) {
        Ok(program) => {
            let (insns, rest) = program.text.as_chunks::<{ INSN_SIZE as usize }>();
            assert!(rest.is_empty());
            assert!(insns.iter().all(|bytes| Insn::decode(*bytes).is_some()));
        }
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.lines().count().max(1));
            assert!(error.column >= 1);
        }
    }
}

/// Any bytes as a program: they run within their budget, and nothing is left when they are killed.
pub fn program(data: &[u8]) {
    let text = data.get(..TEXT_MAX.min(data.len())).unwrap_or(data);
    execute(text.to_vec());
}

/// Bytes as a sequence of instructions that are mostly valid, system calls frequent among them.
pub fn calls(data: &[u8]) {
    let mut text = Vec::new();
    for bytes in data.as_chunks::<4>().0.iter().take(TEXT_MAX / 8) {
        let [kind, a, b, c] = *bytes;
        let ops = Op::ALL;
        let op = match kind % 4 {
            0 => Op::Li,
            1 => Op::Syscall,
            _ => ops
                .get(usize::from(kind) % ops.len())
                .copied()
                .unwrap_or(Op::Nop),
        };
        let mut insn = Insn::new(op);
        insn.a = a % 16;
        insn.b = b % 16;
        insn.c = c % 16;
        insn.imm = match c % 4 {
            // Numbers of calls, of descriptors and of processes; addresses of data and of text.
            0 => i32::from(b),
            1 => DATA_BASE as i32 + i32::from(b) * 8,
            2 => TEXT_BASE as i32 + i32::from(b) * 8,
            _ => i32::from_le_bytes([a, b, c, kind]),
        };
        text.extend(insn.encode());
    }
    execute(text);
}

fn execute(text: Vec<u8>) {
    let config = Config {
        quantum: QUANTUM,
        maxproc: 20,
        vmem_max: 1 << 22,
        pages: 1 << 10,
        nofile: 32,
        ..Config::default()
    };
    let mut kern = Kern::new(config);
    let program = Program {
        text,
        data: (0..=u8::MAX).cycle().take(4096).collect(),
        entry: TEXT_BASE,
        ..Program::default()
    };
    kern.install_program("/bin/fuzz", program);
    let made = kern.prison_create(&mut NoHooks, sim::kern::types::PrisonId::HOST, "j");
    let Ok((prison, _)) = made else {
        return;
    };
    let ucred = Ucred {
        prison,
        ..Ucred::default()
    };
    if kern
        .spawn(&mut NoHooks, "/bin/fuzz", &["x"], ucred)
        .is_err()
    {
        return;
    }
    for _ in 0..SLICES {
        let Some(next) = kern.next_event() else {
            break;
        };
        let now = next.max(kern.now());
        kern.run_callouts(now, &mut NoHooks);
        if let Some(slice) = kern.run_slice(now, &mut NoHooks) {
            let most = kern.config().syscall_ns + QUANTUM * kern.config().insn_ns;
            assert!(slice.spent.as_nanos() > 0 && slice.spent.as_nanos() <= most);
        }
        kern.take_trace();
        assert_eq!(kern.invariants(), Ok(()));
    }
    assert_eq!(kern.prison_drain(&mut NoHooks, prison), Ok(()));
    assert_eq!(kern.prison_destroy(&mut NoHooks, prison), Ok(()));
    assert_eq!(kern.invariants(), Ok(()));
    assert_eq!(kern.procs().count(), 1);
    assert_eq!(kern.objects().resident(), 0);
}
