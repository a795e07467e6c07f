//! What a guest reaches, and what it leaves behind for the next one.

use super::*;

#[tokio::test]
async fn other_files_are_out_of_reach() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    let other = fixture.folder.path().join("other.db");
    let other = other.to_str().unwrap();
    for sql in [
        format!("ATTACH '{other}' AS other"),
        format!("ATTACH 'file:{other}?mode=rwc' AS other"),
        "ATTACH '' AS other".to_owned(),
        "ATTACH ':memory:' AS other".to_owned(),
        format!("ATTACH '{other}' || '' AS other"),
        format!("VACUUM INTO '{other}'"),
        format!("VACUUM INTO '{other}' || ''"),
        "DETACH main".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "SELECT fts3_tokenizer('x')".to_owned(),
        "PRAGMA temp_store_directory = '/tmp'".to_owned(),
        "PRAGMA data_store_directory = '/tmp'".to_owned(),
        "PRAGMA database_list".to_owned(),
        "SELECT * FROM pragma_database_list".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "PRAGMA case_sensitive_like = ON".to_owned(),
        "PRAGMA trusted_schema = ON".to_owned(),
        "PRAGMA journal_mode = OFF".to_owned(),
        "PRAGMA journal_mode = MEMORY".to_owned(),
    ] {
        let reason = refusal(&connection, &sql).await;
        let is_refused = ["not authorized", "authorization denied"]
            .iter()
            .any(|words| reason.contains(words));
        assert!(is_refused, "{sql}: {reason}");
    }
    assert!(!std::fs::exists(other).unwrap());
}

#[tokio::test]
async fn limits_can_be_read_but_not_lifted() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    let pages = number(&connection, "PRAGMA max_page_count").await;
    for sql in [
        "PRAGMA max_page_count = 4294967294",
        "PRAGMA busy_timeout = 3600000",
        "PRAGMA cache_size = -1000000",
        "PRAGMA mmap_size = 1000000000",
        "PRAGMA hard_heap_limit = 0",
        "PRAGMA page_size = 65536",
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA threads = 8",
    ] {
        run(&connection, sql).await.unwrap();
    }
    assert_eq!(number(&connection, "PRAGMA max_page_count").await, pages);
    assert_eq!(number(&connection, "PRAGMA cache_size").await, -2048);
    assert_eq!(number(&connection, "PRAGMA threads").await, 0);
}

#[tokio::test]
async fn what_applications_use_is_allowed() {
    let fixture = fixture(limits());
    let connection = fixture.connect();
    for sql in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA synchronous = NORMAL",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body TEXT) STRICT",
        "CREATE TABLE b (a INTEGER REFERENCES a (id) ON DELETE CASCADE)",
        "CREATE INDEX ab ON b (a)",
        "CREATE VIEW v AS SELECT count(*) AS n FROM a",
        "CREATE TRIGGER tr AFTER INSERT ON a BEGIN INSERT INTO b VALUES (new.id); END",
        "INSERT INTO a (name) VALUES ('x') RETURNING id",
        "CREATE VIRTUAL TABLE f USING fts5(body)",
        "INSERT INTO f VALUES ('some words')",
        "SELECT * FROM f WHERE f MATCH 'words'",
        "CREATE VIRTUAL TABLE r USING rtree(id, x1, x2)",
        "CREATE TEMP TABLE t AS SELECT * FROM a",
        "ALTER TABLE a ADD COLUMN more TEXT",
        "ALTER TABLE a RENAME COLUMN more TO less",
        "ALTER TABLE a DROP COLUMN less",
        "UPDATE a SET body = json_object('k', 1) WHERE id = 1",
        "SELECT json_extract(body, '$.k'), datetime('now'), upper(name) FROM a",
        "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 10) SELECT * FROM c",
        "SAVEPOINT s",
        "RELEASE s",
        "PRAGMA table_info(a)",
        "SELECT * FROM pragma_table_info('a')",
        "PRAGMA user_version = 3",
        "PRAGMA user_version",
        "PRAGMA integrity_check",
        "PRAGMA optimize",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "ANALYZE",
        "REINDEX",
        "EXPLAIN QUERY PLAN SELECT * FROM a",
        "DELETE FROM a",
        "DROP TABLE f",
        "VACUUM",
        "PRAGMA journal_mode = DELETE",
    ] {
        if let Err(failure) = run(&connection, sql).await {
            panic!("{sql}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_database_that_leaves_write_ahead_mode_is_flushed_by_sqlite_again() {
    let fixture = fixture(Limits {
        max_connections: 1,
        ..limits()
    });
    for (mode, synchronous) in [("DELETE", 2), ("WAL", 1)] {
        let first = fixture.connect();
        let sql = format!("PRAGMA journal_mode = {mode}");
        run(&first, &sql).await.unwrap();
        drop(first);
        let next = fixture.connect();
        assert_eq!(number(&next, "PRAGMA synchronous").await, synchronous);
        run(&next, "CREATE TABLE IF NOT EXISTS t (x)")
            .await
            .unwrap();
        run(&next, "INSERT INTO t VALUES (1)").await.unwrap();
    }
}

#[tokio::test]
async fn settings_and_temporary_tables_do_not_reach_the_next_user() {
    let fixture = fixture(Limits {
        max_connections: 1,
        ..limits()
    });
    let first = fixture.connect();
    run(&first, "PRAGMA foreign_keys = OFF").await.unwrap();
    run(&first, "PRAGMA synchronous = OFF").await.unwrap();
    drop(first);
    let second = fixture.connect();
    assert_eq!(number(&second, "PRAGMA foreign_keys").await, 1);
    // NORMAL: it is the engine that flushes the log.
    assert_eq!(number(&second, "PRAGMA synchronous").await, 1);
    run(&second, "CREATE TEMP TABLE secret (x)").await.unwrap();
    run(&second, "PRAGMA query_only = ON").await.unwrap();
    drop(second);
    let third = fixture.connect();
    assert!(
        refusal(&third, "SELECT * FROM secret")
            .await
            .contains("no such table")
    );
    run(&third, "CREATE TABLE t (x)").await.unwrap();
    drop(third);
    let fourth = fixture.connect();
    assert_eq!(fourth.last_insert_rowid().await, 0);
    assert_eq!(fourth.changes().await, 0);
}

#[tokio::test]
async fn a_guest_gets_the_databases_it_was_granted_and_no_other() {
    let fixture = fixture(limits());
    let mut grants = Grants::default();
    grants.grant("default", Arc::clone(&fixture.database));
    grants.declare("lost");
    let mut state = SqliteState::new(Arc::new(grants));
    let opened = v3::HostConnection::open(&mut state, "auth".to_owned()).await;
    assert!(matches!(opened, Err(v3::Error::AccessDenied)), "{opened:?}");
    let opened = v3::HostConnection::open(&mut state, "lost".to_owned()).await;
    assert!(
        matches!(opened, Err(v3::Error::NoSuchDatabase)),
        "{opened:?}"
    );

    let connection = v3::HostConnection::open(&mut state, "default".to_owned())
        .await
        .unwrap();
    let handle = Resource::new_own(connection.rep());
    let result = v3::HostConnection::execute(&mut state, handle, "SELECT 1".to_owned(), Vec::new());
    assert_eq!(result.await.unwrap().rows.len(), 1);
    let handle = Resource::new_own(connection.rep());
    let result = v2::HostConnection::execute(&mut state, handle, "SELECT 1".to_owned(), Vec::new());
    assert_eq!(result.await.unwrap().columns, ["1"]);
    let handle = Resource::new_own(connection.rep());
    v3::HostConnection::drop(&mut state, connection)
        .await
        .unwrap();
    let result = v3::HostConnection::execute(&mut state, handle, "SELECT 1".to_owned(), Vec::new());
    assert!(matches!(result.await, Err(v3::Error::InvalidConnection)));
}

/// The flag is taken away in `.cargo/config.toml`, which a build from elsewhere does not read.
#[test]
fn page_caches_of_databases_are_apart() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    let mut options = database.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> = options
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        options
            .iter()
            .any(|option| option.starts_with("THREADSAFE"))
    );
    assert!(
        !options
            .iter()
            .any(|option| option == "ENABLE_MEMORY_MANAGEMENT"),
        "databases lend each other pages: {options:?}"
    );
}
