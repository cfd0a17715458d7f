// SPDX-License-Identifier: BSD-2-Clause
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| model_tests::fuzz::image::remap(data));
