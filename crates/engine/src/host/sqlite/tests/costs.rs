//! What statements cost, in which place.

use std::time::{Duration, Instant};

use super::*;

/// `NOKUBE_MEASURE=1 cargo test --release -p nokube-engine sqlite_costs -- --nocapture`, to be read by people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_costs() {
    if std::env::var_os("NOKUBE_MEASURE").is_none() {
        return;
    }
    let fixture = fixture(Limits::platform());
    let connection = fixture.connect();
    run(
        &connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
    )
    .await
    .unwrap();
    run(&connection, "INSERT INTO t VALUES (1, 'one')")
        .await
        .unwrap();
    let mut table = Vec::new();
    let read = "SELECT x FROM t WHERE id = ?1";
    let blocking = Arc::new(Database::new(
        fixture.database.path(),
        Limits {
            inline_budget: Duration::ZERO,
            ..Limits::platform()
        },
        allowance(),
    ));
    for (name, database) in [("read", &fixture.database), ("read on a thread", &blocking)] {
        for tasks in [1, 16] {
            let start = Instant::now();
            let each = 20_000 / tasks;
            let tasks = (0..tasks).map(|_| {
                let database = Arc::clone(database);
                tokio::spawn(async move {
                    for _ in 0..each {
                        let connection = Connection::new(Arc::clone(&database));
                        let parameters = vec![Value::Integer(1)];
                        connection
                            .execute(read.to_owned(), parameters)
                            .await
                            .unwrap();
                    }
                })
            });
            let tasks: Vec<_> = tasks.collect();
            let count = tasks.len();
            for task in tasks {
                task.await.unwrap();
            }
            table.push(format!(
                "{name:20} x{count:<3} {:8.1} us",
                start.elapsed().as_micros() as f64 / 20_000.0
            ));
        }
    }
    for tasks in [1, 16] {
        let start = Instant::now();
        let tasks = (0..tasks).map(|_| {
            let database = Arc::clone(&fixture.database);
            tokio::spawn(async move {
                for _ in 0..2000 / tasks {
                    let connection = Connection::new(Arc::clone(&database));
                    for sql in [
                        "BEGIN IMMEDIATE",
                        "INSERT INTO t (x) VALUES ('more')",
                        "INSERT INTO t (x) VALUES ('audit')",
                        "COMMIT",
                    ] {
                        run(&connection, sql).await.unwrap();
                    }
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let count = tasks.len();
        for task in tasks {
            task.await.unwrap();
        }
        table.push(format!(
            "transaction of 4     x{count:<3} {:8.1} us",
            start.elapsed().as_micros() as f64 / 2000.0
        ));
    }
    println!("{}", table.join("\n"));
}
