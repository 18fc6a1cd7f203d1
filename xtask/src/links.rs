//! Links between the Markdown documents of the repository: each leads to a file, and to a heading,
//! and every document can be found by following them from `README.md`.

use std::collections::BTreeSet;

use crate::{Complaint, House};

/// Complains about each relative link whose file or heading does not exist, and about documents
/// that no way leads to.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let mut complaints = check_links(house);
    let mut found = BTreeSet::new();
    follow(house, "README.md", &mut found);
    let lost = house.ending_in(".md").filter(|(path, _)| !found.contains(*path));
    let what = "cannot be found from README.md; link it from the page that it belongs to";
    complaints.extend(lost.map(|(path, _)| Complaint::about(path, what)));
    complaints
}

fn follow(house: &House, path: &str, found: &mut BTreeSet<String>) {
    let Some(text) = house.files.get(path).filter(|_| path.ends_with(".md")) else { return };
    if found.insert(path.to_string()) {
        for (_, link) in links(text) {
            let file = link.split('#').next().unwrap_or(link);
            follow(house, &resolve(path, file), found);
        }
    }
}

fn check_links(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in house.ending_in(".md") {
        for (line, link) in links(text) {
            if let Some(what) = broken(house, path, link) {
                complaints.push(Complaint::at(path, line, what));
            }
        }
    }
    complaints
}

/// The targets of all links outside of code, each with its line.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut fenced = false;
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let outside_code = line.split('`').step_by(2);
        for target in outside_code.flat_map(|text| text.split("](").skip(1)) {
            links.extend(target.split(')').next().map(|target| (number, target)));
        }
    }
    links
}

fn broken(house: &House, from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { from.to_string() } else { resolve(from, file) };
    let is_folder = || house.files.keys().any(|known| known.starts_with(&format!("{path}/")));
    let Some(text) = house.files.get(&path) else {
        return if is_folder() { None } else { Some(format!("{link}: there is no {path}")) };
    };
    let known = heading.is_empty() || headings(text).any(|known| known == heading);
    (!known).then(|| format!("{link}: {path} has no heading #{heading}"))
}

/// The path that `link` means in the file `from`.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.rsplit_once('/').map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names by which GitHub lets the headings of `text` be linked.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let house = House::of_files(&[
            ("docs/a.md", text),
            ("docs/guide/b.md", "# One\n## What `synod` does, and not\n"),
            ("README.md", ""),
        ]);
        check_links(&house).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_document_that_no_way_leads_to_is_caught() {
        let house = House::of_files(&[
            ("README.md", "[a](docs/a.md#x)"),
            ("docs/a.md", "# X\n[b](guide/b.md)"),
            ("docs/guide/b.md", "[a](../a.md)"),
            ("docs/guide/c.md", "[a](../a.md)"),
        ]);
        let complaints: Vec<_> = check(&house).iter().map(ToString::to_string).collect();
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("docs/guide/c.md: cannot be found"));
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "# Here\n[b](guide/b.md), [r](../README.md), [h](#here), [f](guide)\n\
                    [s](guide/b.md#what-synod-does-and-not), [web](https://example.org/a.md)\n";
        assert_eq!(complaints(text), [""; 0]);
    }

    #[test]
    fn a_link_to_a_missing_file_is_caught() {
        let text = "one\n[b](b.md) and [c](guide/c.md)\n";
        let complaints = complaints(text);
        assert_eq!(complaints[0], "docs/a.md:2: b.md: there is no docs/b.md");
        assert_eq!(complaints[1], "docs/a.md:2: guide/c.md: there is no docs/guide/c.md");
    }

    #[test]
    fn a_link_to_a_missing_heading_is_caught() {
        assert_eq!(complaints("[b](guide/b.md#two)\n").len(), 1);
        assert_eq!(complaints("[b](#two)\n").len(), 1);
    }

    #[test]
    fn code_is_not_a_link() {
        assert_eq!(complaints("`[a](b.md)`\n```\n[a](b.md)\n```\n"), [""; 0]);
    }
}
