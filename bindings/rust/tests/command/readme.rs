//! What the README says of the command is so.

use crate::stand::Stand;

const README: &str = include_str!("../../../../README.md");

/// The words of a line of a shell, as far as the README needs them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

#[test]
fn every_command_line_in_the_readme_is_one() {
    let stand = Stand::new();
    let shown = README
        .lines()
        .filter_map(|line| line.trim_matches('`').trim_start_matches("$ ").strip_prefix("grantway "));
    let lines: Vec<&str> = shown.map(|line| line.trim_end_matches(['.', '`'])).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines {
        let mut arguments = words(line);
        // It is parsed, and not carried out.
        arguments.push("--help".to_owned());
        let ended = stand.run("alice", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(ended.code == 0 && ended.out.contains("Usage: grantway "), "{line}: {ended:?}");
    }
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let help = Stand::new().run("alice", &["--help"]).out;
    let rows: Vec<(&str, &str)> = README
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .collect();
    assert_eq!(rows.len(), 5);
    for (code, meaning) in rows {
        assert!(help.contains(&format!("  {code}  {meaning}\n")), "{code} {meaning}");
    }
}
