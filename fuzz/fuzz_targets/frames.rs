// SPDX-License-Identifier: BSD-2-Clause
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _read = model_tests::fuzz::frames::frames(data);
});
