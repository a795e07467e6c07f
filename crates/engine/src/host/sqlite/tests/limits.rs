//! What is cut off: time, size, number.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_statement_that_does_not_end_is_interrupted() {
    let fixture = fixture(Limits {
        statement_budget: Duration::from_millis(200),
        ..limits()
    });
    let connection = fixture.connect();
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
        SELECT count(*) FROM c";
    let start = Instant::now();
    let reason = refusal(&connection, endless).await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert!(reason.contains("ran for more than 200 ms"), "{reason}");
    assert_eq!(number(&connection, "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_long_statement_leaves_the_thread_of_the_guests_free() {
    let fixture = fixture(Limits {
        statement_budget: Duration::from_millis(500),
        ..limits()
    });
    let connection = fixture.connect();
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
        SELECT count(*) FROM c";
    // This test's runtime has one thread.
    let running = tokio::spawn(async move { run(&connection, endless).await });
    tokio::task::yield_now().await;
    let start = Instant::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(
        start.elapsed() < Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn a_statement_nobody_waits_for_is_interrupted() {
    let fixture = fixture(Limits {
        statement_budget: Duration::from_secs(60),
        max_connections: 1,
        ..limits()
    });
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    let endless = "INSERT INTO t
        WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c";
    let given_up =
        tokio::time::timeout(Duration::from_millis(100), run(&connection, endless)).await;
    assert!(given_up.is_err());
    let lost = run(&connection, "SELECT 1").await;
    assert!(matches!(lost, Err(Failure::Lost)), "{lost:?}");
    drop(connection);
    // The only connection comes back, and works.
    assert_eq!(
        number(&fixture.connect(), "SELECT count(*) FROM t").await,
        0
    );
}

#[tokio::test]
async fn a_database_does_not_outgrow_its_largest_size() {
    let max = 1024 * 1024;
    let fixture = fixture(Limits {
        max_database_bytes: Some(max),
        ..limits()
    });
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    let mut refused = None;
    for _ in 0..64 {
        let insert = "INSERT INTO t VALUES (zeroblob(100000))";
        if let Err(failure) = run(&connection, insert).await {
            refused = Some(failure);
            break;
        }
    }
    assert!(matches!(refused, Some(Failure::Full)), "{refused:?}");
    run(&connection, "DELETE FROM t").await.unwrap();
    run(&connection, "INSERT INTO t VALUES (1)").await.unwrap();
    assert!(std::fs::metadata(fixture.database.path()).unwrap().len() <= max);
}

#[tokio::test]
async fn the_log_of_a_database_does_not_outgrow_it_by_far() {
    let max = 256 * 1024;
    let fixture = fixture(Limits {
        max_database_bytes: Some(max),
        ..limits()
    });
    let (reader, writer) = (fixture.connect(), fixture.connect());
    run(&writer, "CREATE TABLE t (x)").await.unwrap();
    run(&writer, "INSERT INTO t VALUES (zeroblob(50000))")
        .await
        .unwrap();
    // A reader that stays keeps the log from being emptied.
    run(&reader, "BEGIN").await.unwrap();
    number(&reader, "SELECT count(*) FROM t").await;
    let mut refused = None;
    for _ in 0..64 {
        let update = "UPDATE t SET x = randomblob(50000)";
        if let Err(failure) = run(&writer, update).await {
            refused = Some(failure);
            break;
        }
    }
    assert!(matches!(refused, Some(Failure::Full)), "{refused:?}");
    run(&reader, "COMMIT").await.unwrap();
    run(&writer, "UPDATE t SET x = 1").await.unwrap();
}

#[tokio::test]
async fn results_and_values_have_a_largest_size() {
    let fixture = fixture(Limits {
        max_result_bytes: 100_000,
        max_result_rows: 1000,
        max_value_bytes: 1_000_000,
        ..limits()
    });
    let connection = fixture.connect();
    let numbers =
        "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 1001)";
    let rows = refusal(&connection, &format!("{numbers} SELECT x FROM c")).await;
    assert!(rows.contains("1000 rows"), "{rows}");
    let bytes = format!("{numbers} SELECT zeroblob(20000) FROM c");
    let bytes = refusal(&connection, &bytes).await;
    assert_eq!(bytes, "query result exceeds limit of 100000 bytes");
    let value = refusal(&connection, "SELECT length(randomblob(1000001))").await;
    assert!(value.contains("too big"), "{value}");
}

#[tokio::test]
async fn open_connections_are_counted() {
    let fixture = fixture(limits());
    let grants = [("default".to_owned(), Arc::clone(&fixture.database))];
    let mut state = SqliteState::new(Arc::new(grants.into_iter().collect()));
    let mut handles = Vec::new();
    for _ in 0..MAX_OPEN_CONNECTIONS {
        handles.push(SqliteState::open(&mut state, "default").unwrap());
    }
    assert!(SqliteState::open(&mut state, "default").is_err());
    state.drop(handles.pop().unwrap()).await.unwrap();
    SqliteState::open(&mut state, "default").unwrap();
}

#[tokio::test]
async fn a_connection_that_does_not_become_free_is_refused() {
    let fixture = fixture(Limits {
        max_connections: 1,
        busy_timeout: Duration::from_millis(50),
        ..limits()
    });
    let (first, second) = (fixture.connect(), fixture.connect());
    run(&first, "SELECT 1").await.unwrap();
    assert_eq!(
        refusal(&second, "SELECT 1").await,
        "too many connections opened"
    );
    drop(first);
    run(&second, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_holds_no_thread() {
    let fixture = fixture_on(
        limits(),
        Allowance {
            threads: threads(1),
            ..allowance()
        },
    );
    let (holder, waiter) = (fixture.connect(), fixture.connect());
    run(&holder, "CREATE TABLE t (x)").await.unwrap();
    run(&holder, "BEGIN IMMEDIATE").await.unwrap();
    // Inside a transaction it does not stand in line but meets SQLite's own lock.
    run(&waiter, "BEGIN").await.unwrap();
    let waiting = tokio::spawn({
        let waiter = waiter.clone();
        async move { run(&waiter, "INSERT INTO t VALUES (1)").await }
    });
    // The only thread is free for the one who holds the lock.
    for _ in 0..3 {
        run(&holder, "INSERT INTO t VALUES (2)").await.unwrap();
    }
    assert!(!waiting.is_finished());
    run(&holder, "COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    run(&waiter, "COMMIT").await.unwrap();
    assert_eq!(number(&holder, "SELECT count(*) FROM t").await, 4);
}

#[tokio::test]
async fn a_call_that_would_take_hours_ends_with_its_time() {
    let fixture = fixture(Limits {
        statement_budget: Duration::from_millis(200),
        ..limits()
    });
    let connection = fixture.connect();
    let large = "length(randomblob(4000000)), ".repeat(1000);
    for sql in [
        "SELECT instr(zeroblob(4000000), zeroblob(2000000) || x'01')".to_owned(),
        "SELECT hex(zeroblob(2000000)) LIKE '%' || hex(zeroblob(2000)) || 'b'".to_owned(),
        "SELECT hex(zeroblob(2000000)) GLOB '*' || hex(zeroblob(2000)) || 'b'".to_owned(),
        "SELECT trim(hex(zeroblob(2000000)), replace(hex(zeroblob(1000000)), '0', 'a') || '0')"
            .to_owned(),
        // Nothing in it that SQLite would ask at.
        format!("SELECT {large} 1"),
    ] {
        let began = Instant::now();
        let _ = run(&connection, &sql).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}: {sql:.80}");
    }
    assert_eq!(number(&connection, "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_page_size_does_not_lift_the_largest_size() {
    let max = 1024 * 1024;
    let fixture = fixture(Limits {
        max_database_bytes: Some(max),
        ..limits()
    });
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    for sql in [
        "PRAGMA journal_mode = delete",
        "PRAGMA page_size = 65536",
        "VACUUM",
    ] {
        run(&connection, sql).await.unwrap();
    }
    let mut refused = None;
    for _ in 0..64 {
        let insert = "INSERT INTO t VALUES (zeroblob(100000))";
        if let Err(failure) = run(&connection, insert).await {
            refused = Some(failure);
            break;
        }
    }
    assert!(matches!(refused, Some(Failure::Full)), "{refused:?}");
    assert!(std::fs::metadata(fixture.database.path()).unwrap().len() <= max);
}

#[tokio::test]
async fn memory_that_one_application_takes_is_not_missing_to_another() {
    let small = || Allowance {
        heap: Heap::of(4 << 20),
        ..allowance()
    };
    let allowance = small();
    let (greedy, modest) = (
        fixture_on(limits(), allowance.clone()),
        fixture_on(limits(), small()),
    );
    let connection = greedy.connect();
    run(&connection, "CREATE TEMP TABLE t (x)").await.unwrap();
    let mut refused = None;
    for _ in 0..64 {
        let insert = "INSERT INTO t VALUES (zeroblob(200000))";
        if let Err(failure) = run(&connection, insert).await {
            refused = Some(failure.to_string());
            break;
        }
    }
    let refused = refused.expect("memory has an end");
    assert!(refused.contains("4194304 bytes"), "{refused}");
    assert!(allowance.heap.used() <= 4 << 20);
    let other = modest.connect();
    let sorted = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000)
        SELECT max(length(y)) FROM (SELECT hex(randomblob(50)) AS y FROM c ORDER BY y)";
    assert_eq!(number(&other, sorted).await, 100);
    // The application itself goes on when it lets go.
    drop(connection);
    assert_eq!(number(&greedy.connect(), "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_database_larger_than_its_memory_can_be_vacuumed() {
    let fixture = fixture_on(
        limits(),
        Allowance {
            // The page caches of the database and of its copy, and something to work with.
            heap: Heap::of(8 << 20),
            ..allowance()
        },
    );
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    for _ in 0..100 {
        run(&connection, "INSERT INTO t VALUES (zeroblob(200000))")
            .await
            .unwrap();
    }
    run(&connection, "DELETE FROM t WHERE rowid % 2")
        .await
        .unwrap();
    run(&connection, "VACUUM").await.unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t").await, 50);
    assert_eq!(number(&connection, "PRAGMA temp_store").await, 2);
    // Compiled with the first statement, which is where SQLite would obey.
    for sql in [
        "VACUUM; PRAGMA temp_store = file",
        "BEGIN",
        "VACUUM; PRAGMA temp_store = file",
    ] {
        let _ = run(&connection, sql).await;
    }
    assert_eq!(number(&connection, "PRAGMA temp_store").await, 2);
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed() {
    let fixture = fixture(Limits {
        idle_timeout: Duration::from_millis(20),
        ..limits()
    });
    for _ in 0..2 {
        let (one, two) = (fixture.connect(), fixture.connect());
        run(&one, "SELECT 1").await.unwrap();
        run(&two, "SELECT 1").await.unwrap();
        drop((one, two));
        let began = Instant::now();
        while fixture.database.idle_count() > 0 {
            assert!(began.elapsed() < Duration::from_secs(10), "they stay open");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
