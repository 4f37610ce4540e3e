//! The help is as recorded in `tests/cmd`; `TRYCMD=overwrite` records it anew.

#[test]
fn help_is_as_recorded() {
    let program = env!("CARGO_BIN_EXE_trainer");
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .register_bin("trainer", std::path::Path::new(program))
        .case("tests/cmd/*.trycmd");
}
