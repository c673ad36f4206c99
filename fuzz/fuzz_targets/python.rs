#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bkm_agent::fuzzing::python(data));
