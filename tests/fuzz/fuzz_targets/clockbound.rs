#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| truechimer_fuzz::clockbound(bytes));
