// SPDX-License-Identifier: BSD-2-Clause
use super::*;
use crate::guest::isa::{Insn, disassemble};

fn wrong(source: &str) -> (usize, usize, AsmErrorKind) {
    match assemble(source, &[]) {
        Ok(program) => panic!("assembled:\n{}", disassemble(TEXT_BASE, &program.text)),
        Err(AsmError { line, column, kind }) => (line, column, kind),
    }
}

fn listing(source: &str) -> Vec<String> {
    let program = assemble(source, &[]).expect("the source is right");
    let (insns, rest) = program.text.as_chunks();
    assert!(rest.is_empty());
    let insns = insns.iter().map(|bytes| Insn::decode(*bytes));
    insns
        .map(|i| i.expect("an instruction").to_string())
        .collect()
}

#[test]
fn an_error_names_line_column_and_what_to_do() {
    let error = assemble(".text\n  frob r1\n", &[]).map_err(|e| e.to_string());
    let text = "line 2, column 3: `frob` is no instruction, data item or directive; \
                a label ends with `:`";
    assert_eq!(error, Err(text.into()));
}

#[test]
fn each_mistake_is_found_where_it_is() {
    use AsmErrorKind as K;
    assert_eq!(wrong("x: mov r1 q"), (1, 11, K::NotARegister("q".into())));
    assert_eq!(wrong("mov r1 r14"), (1, 8, K::NotARegister("r14".into())));
    assert_eq!(wrong("jmp away"), (1, 5, K::Undefined("away".into())));
    assert_eq!(wrong("sys frok"), (1, 5, K::UnknownSyscall("frok".into())));
    assert_eq!(wrong("a: nop\na: nop"), (2, 1, K::Redefined("a".into())));
    assert_eq!(wrong("EINTR: nop"), (1, 1, K::Redefined("EINTR".into())));
    assert_eq!(wrong(".data\nx: string \"a"), (2, 11, K::Unclosed('"')));
    assert_eq!(wrong("ld8 r1 [r2"), (1, 8, K::Unclosed('[')));
    assert_eq!(
        wrong(".data\nx: byte 256"),
        (2, 9, K::TooLarge("256".into()))
    );
    assert_eq!(wrong(".data\nnop"), (2, 1, K::WrongSection("nop".into())));
    assert_eq!(wrong("space 4"), (1, 1, K::WrongSection("space".into())));
    assert_eq!(
        wrong("exit $CODE"),
        (1, 6, K::UnknownParameter("CODE".into()))
    );
    assert_eq!(wrong("# nothing\n"), (1, 1, K::Empty));
    assert_eq!(
        wrong(".data\nx: sockaddr_in 1.2.3:4"),
        (2, 16, K::NotASockaddr("1.2.3:4".into()))
    );
    let operands = |word: &str, takes, given| K::Operands {
        word: word.into(),
        takes,
        given,
    };
    assert_eq!(wrong("sys kill 1"), (1, 5, operands("kill", 2, 1)));
    assert_eq!(wrong("add r1 r2"), (1, 1, operands("add", 3, 2)));
}

#[test]
fn sizes_are_bounded_before_anything_is_made() {
    use AsmErrorKind as K;
    let just = format!(".data\nx: space {DATA_MAX}\n.text\nnop");
    assert!(assemble(&just, &[]).is_ok());
    let more = format!(".data\nx: space {}\n.text\nnop", DATA_MAX + 1);
    assert_eq!(wrong(&more).2, K::TooMuchData);
    let long = " ".repeat(SOURCE_MAX + 1);
    assert_eq!(wrong(&long).2, K::SourceTooLong);
    let many = "nop\n".repeat(INSNS_MAX + 1);
    assert_eq!(wrong(&many).2, K::TooManyInstructions);
}

#[test]
fn arguments_are_placed_as_if_all_at_once() {
    let swapped = listing("sys kill r2 r1");
    assert_eq!(
        swapped,
        [
            "mov r14, r2",
            "mov r2, r1",
            "mov r1, r14",
            "li r0, 37",
            "syscall"
        ]
    );
    let chain = listing("sys write r2 r3 7");
    assert_eq!(
        chain,
        [
            "mov r1, r2",
            "mov r2, r3",
            "li r3, 7",
            "li r0, 4",
            "syscall"
        ]
    );
}

#[test]
fn a_constant_may_stand_for_the_last_register() {
    assert_eq!(listing("add r1, r1, 8"), ["addi r1, r1, 8"]);
    assert_eq!(
        listing("x: beq r0, EINTR, x"),
        ["li r14, 4", "beq r0, r14, 0x400000"]
    );
    assert_eq!(
        listing("add r1 r1 0x100000000"),
        ["li r14, 0", "lih r14, 1", "add r1, r1, r14"]
    );
    assert_eq!(listing("set r1 -1"), ["li r1, -1"]);
    assert_eq!(listing("set r1 POLLIN|POLLOUT"), ["li r1, 5"]);
}

#[test]
fn data_has_addresses_and_sizes() {
    let source = ".data\nport = 7\na: sockaddr_in 10.0.0.1:port\nb: string \"x\\x41\\n\"\n\
                  .text\nset r1 b.len\nset r2 b";
    assert_eq!(listing(source), ["li r1, 3", "li r2, 8388624"]);
    let program = assemble(source, &[]).expect("right");
    assert_eq!(
        program.data,
        b"\x10\x02\0\x07\x0a\0\0\x01\0\0\0\0\0\0\0\0xA\n"
    );
}

#[test]
fn parameters_are_replaced_in_the_text() {
    let program = assemble("exit $A$B", &[("A", "1"), ("B", "2")]);
    assert_eq!(program, assemble("exit 12", &[]));
}

#[test]
fn execution_begins_at_start_wherever_it_is() {
    let entry = |source| assemble(source, &[]).map(|program| program.entry);
    assert_eq!(entry("nop\nstart: nop"), Ok(TEXT_BASE + 8));
    assert_eq!(entry("nop\nother: nop"), Ok(TEXT_BASE));
}
