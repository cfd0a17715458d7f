// SPDX-License-Identifier: BSD-2-Clause
//! Assertions over `tcp_info`, with the results that Python gives for integers.

use super::names;
use crate::packetdrill::ast::{Expr, Operator};

/// Whether an assertion holds, or why it has no value.
///
/// # Errors
/// What has no value: a division by zero or one that does not come out whole, an overflow.
pub(super) fn holds(expr: &Expr, info: &[u8]) -> Result<bool, String> {
    evaluate(expr, info).map(|value| value != 0)
}

/// The names of an assertion with what they stand for, for the report.
pub(super) fn values(expr: &Expr, info: &[u8]) -> Vec<String> {
    match expr {
        Expr::Number(_) => Vec::new(),
        Expr::Name(name) => match names::tcp_info(info, name) {
            Some(value) => vec![format!("{name} = {value}")],
            None => Vec::new(),
        },
        Expr::Unary(_, inner) => values(inner, info),
        Expr::Binary(left, _, right) => {
            let mut all = values(left, info);
            all.extend(values(right, info));
            all
        }
    }
}

/// The value of an expression. Depth is bounded by the parser.
fn evaluate(expr: &Expr, info: &[u8]) -> Result<i64, String> {
    match expr {
        Expr::Number(n) => Ok(*n),
        Expr::Name(name) => names::tcp_info(info, name)
            .or_else(|| names::constant(name))
            .ok_or_else(|| format!("unknown name {name}")),
        Expr::Unary(operator, inner) => {
            let value = evaluate(inner, info)?;
            match operator {
                Operator::Not => Ok(i64::from(value == 0)),
                Operator::BitNot => Ok(!value),
                _ => value.checked_neg().ok_or_else(overflow),
            }
        }
        Expr::Binary(left, operator, right) => {
            let left = evaluate(left, info)?;
            match operator {
                // Python's result is the operand that decides.
                Operator::Or if left != 0 => return Ok(left),
                Operator::And if left == 0 => return Ok(left),
                _ => {}
            }
            binary(left, *operator, evaluate(right, info)?)
        }
    }
}

fn overflow() -> String {
    "a number beyond 64 bits".to_owned()
}

fn binary(left: i64, operator: Operator, right: i64) -> Result<i64, String> {
    let shift = || {
        u32::try_from(right)
            .ok()
            .filter(|by| *by < 63)
            .ok_or_else(overflow)
    };
    let zero = || "a division by zero".to_owned();
    let value = match operator {
        Operator::Or | Operator::And => Some(right),
        Operator::Equal => Some(i64::from(left == right)),
        Operator::Unequal => Some(i64::from(left != right)),
        Operator::Less => Some(i64::from(left < right)),
        Operator::AtMost => Some(i64::from(left <= right)),
        Operator::Greater => Some(i64::from(left > right)),
        Operator::AtLeast => Some(i64::from(left >= right)),
        Operator::BitOr => Some(left | right),
        Operator::BitXor => Some(left ^ right),
        Operator::BitAnd => Some(left & right),
        Operator::ShiftLeft => left.checked_mul(1 << shift()?),
        Operator::ShiftRight => Some(left >> shift()?),
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide | Operator::FloorDivide | Operator::Modulo if right == 0 => {
            return Err(zero());
        }
        Operator::Divide if left.checked_rem(right) != Some(0) => {
            return Err(format!(
                "{left} / {right} does not come out whole; write `//`"
            ));
        }
        Operator::Divide => left.checked_div(right),
        Operator::FloorDivide => floor_divide(left, right),
        Operator::Modulo => floor_divide(left, right)
            .and_then(|whole| whole.checked_mul(right))
            .and_then(|whole| left.checked_sub(whole)),
        Operator::Not | Operator::BitNot => None,
    };
    value.ok_or_else(overflow)
}

/// Division towards minus infinity.
fn floor_divide(left: i64, right: i64) -> Option<i64> {
    let whole = left.checked_div(right)?;
    let exact = left.checked_rem(right)? == 0;
    if !exact && (left < 0) != (right < 0) {
        whole.checked_sub(1)
    } else {
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::ast::Action;
    use super::super::super::parser::parse;
    use super::holds;

    fn verdict(code: &str) -> Result<bool, String> {
        let script = parse(&format!("0 %{{ assert {code} }}%"), &[]).map_err(|e| e.to_string())?;
        let Action::Code(assertions) = &script.events[0].action else {
            panic!()
        };
        // State 4, window scales 6 and 7, 8 in every byte behind.
        let mut info = vec![8; 256];
        info[0] = 4;
        info[6] = 0x76;
        holds(&assertions[0].expr, &info)
    }

    #[test]
    fn precedence_and_results_are_pythons() {
        for code in [
            "tcpi_state == TCPI_ESTABLISHED",
            "tcpi_snd_wscale + 1 == tcpi_rcv_wscale",
            "not tcpi_state == 5 and 1 | 2 == 3",
            "2 + 3 * 4 == 14 or 1 // 0 == 0",
            "-7 // 2 == -4 and -7 % 3 == 2 and 7 // -2 == -4",
            "1 << 4 == 16 and 255 >> 4 == 15 and 6 ^ 3 == 5 and ~0 == -1",
            "(1 + 2) * 3 == 9, 'a text'",
            "True and not False",
        ] {
            assert_eq!(verdict(code), Ok(true), "{code}");
        }
        assert_eq!(verdict("1 | 2 == 2"), Ok(false));
        assert_eq!(verdict("tcpi_state > TCPI_ESTABLISHED"), Ok(false));
    }

    #[test]
    fn what_has_no_value_and_what_is_no_assertion_is_told() {
        assert!(verdict("1 / 0 == 1").unwrap_err().contains("zero"));
        assert!(verdict("5 / 2 == 2").unwrap_err().contains("whole"));
        assert!(verdict("1 << 70 == 1").unwrap_err().contains("64 bits"));
        assert!(
            verdict("tcpi_ca_state == 0")
                .unwrap_err()
                .contains("tcpi_ca_state")
        );
        assert!(verdict("1 < 2 < 3").unwrap_err().contains("`and`"));
        assert!(verdict("2 ** 3 == 8").unwrap_err().contains("column"));
        assert!(verdict("len('x') == 1").unwrap_err().contains("`len`"));
    }
}
