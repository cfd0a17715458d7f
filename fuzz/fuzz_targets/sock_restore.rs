// SPDX-License-Identifier: BSD-2-Clause
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| model_tests::fuzz::sock_restore::sock_restore(data));
