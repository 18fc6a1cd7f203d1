//! The house is tidy.

#[test]
fn the_house_is_tidy() {
    let complaints = xtask::tidy(&xtask::root()).unwrap();
    let lines: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}
