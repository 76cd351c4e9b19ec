#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cutover_tests::foreign::frame_table(bytes));
