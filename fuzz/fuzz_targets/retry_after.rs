//! Looks for bytes that break the laws of [`grantway_fuzz::retry_after`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(retry_after);
