//! Statements, transactions and locks.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn values_of_every_kind_come_back_as_they_were_stored() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (a, b, c, d, e)")
        .await
        .unwrap();
    let values = vec![
        Value::Integer(i64::MIN),
        Value::Real(0.5),
        text("é"),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    let insert = "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)".to_owned();
    connection.execute(insert, values).await.unwrap();
    assert_eq!(connection.last_insert_rowid().await, 1);
    assert_eq!(connection.changes().await, 1);
    let result = run(&connection, "SELECT * FROM t").await.unwrap();
    assert_eq!(result.columns, ["a", "b", "c", "d", "e"]);
    let [
        Value::Integer(i64::MIN),
        Value::Real(0.5),
        Value::Text(text),
        Value::Blob(blob),
        Value::Null,
    ] = &result.rows[0].values[..]
    else {
        panic!("{:?}", result.rows);
    };
    assert_eq!((text.as_str(), &blob[..]), ("é", &[0, 255][..]));
}

#[tokio::test]
async fn only_the_first_statement_of_a_text_runs() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE a (x); CREATE TABLE b (x);")
        .await
        .unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'b')";
    assert_eq!(number(&connection, tables).await, 1);
}

#[tokio::test]
async fn a_transaction_spans_statements_and_is_invisible_to_others_until_its_end() {
    let fixture = fixture(limits());
    let (writer, reader) = (fixture.connect(), fixture.connect());
    run(&writer, "CREATE TABLE t (x)").await.unwrap();
    run(&writer, "BEGIN IMMEDIATE").await.unwrap();
    run(&writer, "INSERT INTO t VALUES (1)").await.unwrap();
    run(&writer, "INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 0);
    assert_eq!(number(&writer, "SELECT count(*) FROM t").await, 2);
    run(&writer, "COMMIT").await.unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test]
async fn a_transaction_of_the_platform_is_as_whole_as_any() {
    let fixture = fixture(Limits::platform());
    let (writer, reader) = (fixture.connect(), fixture.connect());
    run(&writer, "CREATE TABLE t (x UNIQUE)").await.unwrap();
    run(&writer, "BEGIN IMMEDIATE").await.unwrap();
    run(&writer, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(
        (writer.changes().await, writer.last_insert_rowid().await),
        (1, 1)
    );
    let reason = refusal(&writer, "INSERT INTO t VALUES (1)").await;
    assert!(reason.contains("UNIQUE constraint failed"), "{reason}");
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 0);
    run(&writer, "COMMIT").await.unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 1);
}

#[tokio::test]
async fn what_was_not_committed_is_rolled_back_when_the_connection_is_dropped() {
    let fixture = fixture(limits());
    let first = fixture.connect();
    run(&first, "CREATE TABLE t (x)").await.unwrap();
    run(&first, "BEGIN IMMEDIATE").await.unwrap();
    run(&first, "INSERT INTO t VALUES (1)").await.unwrap();
    drop(first);
    let second = fixture.connect();
    run(&second, "INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(number(&second, "SELECT sum(x) FROM t").await, 2);
}

#[tokio::test]
async fn writers_take_turns() {
    let fixture = fixture(limits());
    run(&fixture.connect(), "CREATE TABLE t (x)").await.unwrap();
    let writers = (0..32).map(|_| {
        let connection = fixture.connect();
        tokio::spawn(async move {
            run(&connection, "BEGIN IMMEDIATE").await?;
            run(&connection, "INSERT INTO t SELECT count(*) FROM t").await?;
            run(&connection, "COMMIT").await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let distinct = number(&fixture.connect(), "SELECT count(DISTINCT x) FROM t").await;
    assert_eq!(distinct, 32);
}

#[tokio::test]
async fn parameters_must_match_the_statement() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    let reason = refusal(&connection, "SELECT ?1").await;
    assert!(reason.contains("Got 0, needed 1"), "{reason}");
    let reason = refusal(&connection, "SELECT").await;
    assert!(reason.contains("incomplete input"), "{reason}");
    assert!(
        run(&connection, "").await.is_err() || run(&connection, "").await.unwrap().rows.is_empty()
    );
}

#[tokio::test]
async fn a_locked_database_says_so() {
    let fixture = fixture(Limits {
        busy_timeout: Duration::from_millis(50),
        ..limits()
    });
    let (first, second) = (fixture.connect(), fixture.connect());
    run(&first, "CREATE TABLE t (x)").await.unwrap();
    run(&first, "BEGIN IMMEDIATE").await.unwrap();
    let reason = refusal(&second, "INSERT INTO t VALUES (1)").await;
    assert_eq!(reason, "database is locked");
}

#[tokio::test]
async fn foreign_keys_are_enforced() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE a (id INTEGER PRIMARY KEY)")
        .await
        .unwrap();
    run(&connection, "CREATE TABLE b (a REFERENCES a (id))")
        .await
        .unwrap();
    let reason = refusal(&connection, "INSERT INTO b VALUES (1)").await;
    assert!(reason.contains("FOREIGN KEY"), "{reason}");
}

#[tokio::test]
async fn a_long_reader_does_not_hold_up_writers() {
    let fixture = fixture(limits());
    let (reader, writer) = (fixture.connect(), fixture.connect());
    run(&writer, "CREATE TABLE t (x)").await.unwrap();
    run(&reader, "BEGIN").await.unwrap();
    number(&reader, "SELECT count(*) FROM t").await;
    run(&writer, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t").await, 0);
}
