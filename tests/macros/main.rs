//! The macros, as users meet them: what they accept and make, and how they report mistakes.
//!
//! `pass/` holds programs that run here as modules, `fail/` mistakes with what the compiler says
//! about them. Those texts belong to one release of the compiler, so no other is tried with them;
//! `TRYBUILD=overwrite` writes them anew.

#![allow(clippy::unwrap_used, reason = "all of it is test code")]

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

#[path = "pass/anywhere.rs"]
mod anywhere;
#[path = "pass/keys.rs"]
mod keys;
#[path = "pass/long_form.rs"]
mod long_form;
#[path = "pass/one_example.rs"]
mod one_example;

/// The release that the texts in `fail/` were written with.
const PINNED: &str = "rustc 1.95.";

#[test]
fn the_short_form_works() {
    one_example::main();
}

#[test]
fn the_long_form_works() {
    long_form::main();
}

#[test]
fn structs_are_keys() {
    keys::main();
}

#[test]
fn macros_work_anywhere() {
    anywhere::main();
}

#[test]
fn mistakes_are_reported_on_the_users_code() {
    let version = compiler_version();
    if version.starts_with(PINNED) {
        trybuild::TestCases::new().compile_fail("tests/macros/fail/*.rs");
    } else {
        println!("not tried: the texts are those of {PINNED}x, this is {version}");
    }
}

fn compiler_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// `renamed.rs` is a crate of its own, beside this one, whose dependency has another name.
#[test]
fn the_library_may_have_another_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("renamed");
    fs::create_dir_all(&scratch).unwrap();
    let manifest = format!(
        "[package]\nname = \"renamed\"\nedition = \"2024\"\n[workspace]\n\
         [lib]\npath = {source:?}\n\
         [dependencies]\ndata_grid = {{ package = \"fastness\", path = {root:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n",
        source = root.join("tests/macros/renamed.rs"),
    );
    fs::write(scratch.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), scratch.join("Cargo.lock")).unwrap();
    // Built where this test was, because there most of what it depends on is built already.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet", "--target-dir"])
        .arg(target)
        .current_dir(&scratch)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
