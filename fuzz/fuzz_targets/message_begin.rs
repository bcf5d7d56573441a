//! Looks for bytes that break the laws of [`grantway_fuzz::message_begin`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(message_begin);
