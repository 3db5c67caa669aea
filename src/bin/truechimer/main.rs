//! The `truechimer` command.
fn main() {}
