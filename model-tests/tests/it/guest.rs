// SPDX-License-Identifier: BSD-2-Clause
//! Guest programs of any kind, and the two calls that benches measure.

use model_tests::fuzz::guest;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_as_a_program_stay_within_their_budget(
        data in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        guest::program(&data);
    }

    #[test]
    fn any_instructions_and_calls_leave_the_kernel_whole(
        data in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        guest::calls(&data);
    }

    #[test]
    fn any_text_assembles_or_is_refused_by_line_and_column(
        text in "([a-z0-9$:.,\\[\\]\"'=|# -]{0,12}[ \n]){0,20}",
    ) {
        guest::source(text.as_bytes());
    }

    #[test]
    fn text_made_of_the_words_of_the_language_assembles_or_is_refused(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "sys", "fork", "->", "r1", "r8", "sp", ".data", ".text", "\n", "\n", "x:", "y:",
                "x", "y.len", "string", "\"a\\n\"", "space", "1", "-1", "0x7fffffffffffffff",
                "add", "[r1 + 8]", "[sp-8]", "ld64", "beq", "=", "$P", "print", "exit", "set",
                "sockaddr_in", "1.2.3.4:$P", "quad", "word", "pollfd", "EINTR", "a|b", "'",
            ]),
            0..40,
        ),
    ) {
        guest::source(words.join(" ").as_bytes());
    }
}
