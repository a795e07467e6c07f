//! What a statement does, as far as its first words tell. Decides where it runs and whether it waits for its turn to
//! write, never what is allowed.

/// Kinds of statements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// May only read.
    Reads,
    /// Begins a transaction by taking the lock to write.
    Begins,
    /// Changes rows.
    Changes,
    /// Changes tables, or the whole file.
    Rebuilds,
    /// Takes no lock to write by itself: ends of transactions, transactions that begin by reading, pragmas.
    Other,
}

impl Kind {
    pub(super) fn of(sql: &str) -> Self {
        let (first, rest) = word(sql);
        let is = |keywords: &[&str]| keywords.iter().any(|word| word.eq_ignore_ascii_case(first));
        if is(&["SELECT", "WITH", "VALUES", "EXPLAIN"]) {
            Self::Reads
        } else if is(&["INSERT", "UPDATE", "DELETE", "REPLACE"]) {
            Self::Changes
        } else if is(&["BEGIN"]) {
            let (second, _rest) = word(rest);
            if ["IMMEDIATE", "EXCLUSIVE"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(second))
            {
                Self::Begins
            } else {
                Self::Other
            }
        } else if is(&[
            "COMMIT",
            "END",
            "PRAGMA",
            "RELEASE",
            "ROLLBACK",
            "SAVEPOINT",
        ]) {
            Self::Other
        } else {
            Self::Rebuilds
        }
    }
}

/// Whether `sql` is a VACUUM.
pub(super) fn is_vacuum(sql: &str) -> bool {
    word(sql).0.eq_ignore_ascii_case("VACUUM")
}

/// The first word of `sql`, behind white space, and what follows it.
fn word(sql: &str) -> (&str, &str) {
    let sql = sql.trim_start();
    let end = sql
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(sql.len());
    sql.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_tell_what_a_statement_does() {
        for (sql, kind) in [
            ("select 1", Kind::Reads),
            ("\n WITH x AS (SELECT 1) SELECT * FROM x", Kind::Reads),
            ("INSERT INTO t VALUES (1)", Kind::Changes),
            ("BEGIN", Kind::Other),
            ("BEGIN;", Kind::Other),
            ("begin  immediate transaction", Kind::Begins),
            ("BEGIN EXCLUSIVE", Kind::Begins),
            ("COMMIT", Kind::Other),
            ("CREATE TABLE t (x)", Kind::Rebuilds),
            ("-- a comment\nSELECT 1", Kind::Rebuilds),
            ("", Kind::Rebuilds),
        ] {
            assert_eq!(Kind::of(sql), kind, "{sql}");
        }
        assert!(is_vacuum(" vacuum;") && !is_vacuum("SELECT 'VACUUM'"));
    }
}
