//! What the functions that replace costly ones of SQLite answer, beside what SQLite answers.

use std::time::{Duration, Instant};

use super::*;

fn memory() -> Connection {
    // Other tests of this program count what SQLite takes, which has to be arranged before it starts.
    crate::host::sqlite::heap::install();
    Connection::open_in_memory().expect("memory")
}

fn ours() -> (Connection, Arc<Watch>) {
    let connection = memory();
    let watch = Arc::new(Watch::new(None));
    register(&connection, &watch, 1 << 20, 4096).expect("registered");
    (connection, watch)
}

fn ask(connection: &Connection, sql: &str) -> Result<Value, String> {
    let asked = connection.query_row(&format!("SELECT {sql}"), [], |row| row.get(0));
    asked.map_err(|error| error.to_string())
}

#[test]
fn they_answer_as_sqlites_own() {
    let theirs = memory();
    let (ours, _watch) = ours();
    let texts = [
        "''",
        "'a'",
        "'abcabc'",
        "'aXbXc'",
        "'äöü äöü'",
        "'日本語'",
        "x'0061'",
        "x'c3a4'",
        "'%_'",
        "'a%b'",
        "'A'",
        "'ABC'",
        "'--1A-fF--'",
        "'1A2'",
        "' \t x '",
        "123",
        "-7",
        "1.5",
        "1e20",
        "1.0e-7",
        "123456789012345678.0",
        "0.1",
        "100.0",
        "NULL",
        "'[a]'",
        "'a' || char(0) || 'b'",
        "1e999",
    ];
    let patterns = [
        "''", "'a'", "'b'", "'%'", "'%c'", "'a%'", "'%b%b%'", "'_'", "'___'", "'%_'", "'_%ö%'",
        "'ABC'", "'%%b_'", "'*'", "'a*'", "'*b*b*'", "'?'", "'*?'", "'[a-c]*'", "'[^a]*'", "'[]]'",
        "'[a'", "'*[bc]'", "'*[^x]'", "'[a-]'", "'本'", "'%本%'", "'*本*'", "'ä'", "x'ff'",
        "x'c3a4'", "' '", "'-'", "'x\t '", "1", "'1'", "NULL", "'äö'", "'\\%'", "'%\\%%'", "'\\'",
        "'a\\_'", "char(0)",
    ];
    for text in texts {
        for pattern in patterns {
            for sql in [
                format!("instr({text}, {pattern})"),
                format!("replace({text}, {pattern}, 'ñ-')"),
                format!("replace({text}, {pattern}, '')"),
                format!("replace({text}, {pattern}, NULL)"),
                format!("trim({text}, {pattern})"),
                format!("ltrim({text}, {pattern})"),
                format!("rtrim({text}, {pattern})"),
                format!("typeof(trim({text}, {pattern}))"),
                format!("unhex({text}, {pattern})"),
                format!("{text} LIKE {pattern}"),
                format!("{text} NOT LIKE {pattern}"),
                format!("{text} LIKE {pattern} ESCAPE '\\'"),
                format!("{text} LIKE {pattern} ESCAPE '%'"),
                format!("{text} LIKE {pattern} ESCAPE '_'"),
                format!("{text} LIKE {pattern} ESCAPE 'ab'"),
                format!("{text} LIKE {pattern} ESCAPE NULL"),
                format!("{text} GLOB {pattern}"),
            ] {
                assert_eq!(ask(&ours, &sql), ask(&theirs, &sql), "{sql}");
            }
        }
    }
    for sql in [
        r#"json_patch('{"a":1,"b":{"c":2}}', '{"b":{"c":null,"d":3}}')"#,
        r#"json_array(json_patch('{"a":1}', '{"a":2}'), 'x')"#,
        r#"json(jsonb_patch('{"a":1}', '{"a":2}'))"#,
        "json_patch('{', '{}')",
        "json_patch(NULL, '{}')",
        "json_patch('[1,2]', '{\"a\":1}')",
    ] {
        assert_eq!(ask(&ours, sql), ask(&theirs, sql), "{sql}");
    }
    assert_eq!(
        ask(&ours, "'x' LIKE replace(hex(zeroblob(3000)), '0', 'a')"),
        Err("LIKE or GLOB pattern too complex".to_owned())
    );
    assert!(ask(&ours, "length(replace(hex(zeroblob(500000)), '0', 'ab'))").is_err());
}

#[test]
fn what_took_hours_ends_with_its_time() {
    let budget = Duration::from_millis(100);
    for sql in [
        "instr(zeroblob(4000000), zeroblob(2000000) || x'01')",
        "replace(hex(zeroblob(500000)), hex(zeroblob(250000)) || 'b', '')",
        "trim(hex(zeroblob(500000)), replace(hex(zeroblob(250000)), '0', 'a') || '0')",
        "unhex(replace(hex(zeroblob(500000)), '0', '-'), replace(hex(zeroblob(250000)), '0', 'g') || '-')",
        "hex(zeroblob(500000)) LIKE '%' || hex(zeroblob(2000)) || 'b'",
        "hex(zeroblob(500000)) GLOB '*' || hex(zeroblob(2000)) || 'b'",
        "hex(zeroblob(500000)) GLOB '*[' || replace(hex(zeroblob(2000)), '0', 'b') || '0]c'",
        "json_patch(json_group_object('a' || value, 1), json_group_object('b' || value, 1)) FROM
            (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c LIMIT 50000) SELECT * FROM c)",
    ] {
        let (connection, watch) = ours();
        watch.start(budget, false);
        let began = Instant::now();
        let _ = ask(&connection, sql);
        let took = began.elapsed();
        // Generous for a machine that does other things; SQLite's own take from half a minute on.
        assert!(took < Duration::from_secs(5), "{took:?}: {sql}");
    }
}
