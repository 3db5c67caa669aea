#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| truechimer::_fuzz::nts_reply(bytes));
