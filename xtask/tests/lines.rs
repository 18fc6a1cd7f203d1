//! What `docs/comparison.md` says of lines of code is about right.

use xtask::{House, lines, root};

const BEGIN: &str = "<!-- cargo xtask lines -->\n";

/// Lines come and go with every change: the page may be a third off. `SYNOD_REWRITE=1` writes what is so now.
#[test]
fn the_page_is_not_far_off() {
    let path = root().join("docs/comparison.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let now = lines::table(&House::read(&root()).unwrap());
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for them");
    let (told, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var("SYNOD_REWRITE").is_ok_and(|value| value == "1") {
        let page = format!("{before}{BEGIN}\n{now}\n<!-- end -->{after}");
        return std::fs::write(&path, page).unwrap();
    }
    let told: Vec<_> = told.trim().lines().collect();
    assert_eq!(
        told.len(),
        now.lines().count(),
        "another table; SYNOD_REWRITE=1 writes this one:\n{now}"
    );
    for (told, counted) in told.iter().zip(now.lines()) {
        for (told, counted) in told.split(" | ").zip(counted.split(" | ")) {
            let number = |cell: &str| cell.trim_matches([' ', '|']).parse::<f64>();
            let near = match (number(told), number(counted)) {
                (Ok(told), Ok(now)) => (told - now).abs() <= now.max(100.0) / 3.0,
                _ => told == counted,
            };
            assert!(near, "{told} where {counted} is so; SYNOD_REWRITE=1 writes this:\n{now}");
        }
    }
}
