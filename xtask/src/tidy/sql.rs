//! SQL stands in one layer, and its parameters are numbered.

use super::{Fault, TextFile};

/// How statements begin. Upper case is the habit that makes them findable.
const STATEMENTS: [&str; 9] = [
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "CREATE UNIQUE INDEX ",
    "ALTER TABLE ",
];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    files
        .iter()
        .filter(|file| file.is_rust() && is_guest_code(&file.path))
        .flat_map(|file| {
            let in_store = is_store(&file.path);
            file.lines().filter_map(move |(number, line)| {
                let statement = has_statement(line);
                if statement && !in_store {
                    Some(file.fault(number, "SQL belongs into store/"))
                } else if in_store && has_named_parameter(line) {
                    Some(file.fault(number, "parameters are ?1, ?2 …; $1 is a name to SQLite"))
                } else {
                    None
                }
            })
        })
        .collect()
}

fn is_guest_code(path: &str) -> bool {
    (path.starts_with("components/") || path.starts_with("examples/")) && !is_test(path)
}

/// Tests look into the database behind the code's back.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn is_store(path: &str) -> bool {
    path.contains("/store/") || path.ends_with("/store.rs")
}

/// Whether a string on this line begins a statement, or the line does so inside a longer string.
fn has_statement(line: &str) -> bool {
    let start = line.trim_start();
    if start.starts_with("//") {
        return false;
    }
    STATEMENTS
        .iter()
        .any(|statement| start.starts_with(statement) || line.contains(&format!("\"{statement}")))
}

fn has_named_parameter(line: &str) -> bool {
    !line.trim_start().starts_with("//")
        && line
            .split('$')
            .skip(1)
            .any(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&[file(path, text)]).len()
    }

    #[test]
    fn sql_outside_the_store_is_a_fault() {
        let line = "let rows = db.query(\"SELECT id FROM users\");";
        assert_eq!(faults("components/auth/src/handlers/me.rs", line), 1);
        assert_eq!(faults("components/auth/src/store/users.rs", line), 0);
        assert_eq!(faults("components/auth/src/store.rs", line), 0);
        assert_eq!(faults("components/auth/src/tests/login.rs", line), 0);
    }

    #[test]
    fn a_statement_over_several_lines_is_seen_and_prose_is_not() {
        let text = "let text = \"\n    UPDATE users SET a = 1\";\n// SELECT in a comment\nlet word = \"UPDATED\";\n";
        assert_eq!(faults("components/auth/src/lib.rs", text), 1);
    }

    #[test]
    fn parameters_are_numbered_with_question_marks() {
        let store = "components/auth/src/store/users.rs";
        assert_eq!(faults(store, "\"SELECT id FROM users WHERE id = $1\""), 1);
        assert_eq!(faults(store, "\"SELECT id FROM users WHERE id = ?1\""), 0);
    }
}
