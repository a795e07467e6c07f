//! What is acknowledged is on the disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::super::flush::{Flusher, Unflushed};
use super::*;

const WRITERS: i64 = 8;
const WRITES_EACH: i64 = 12;

/// What would be left after a loss of power: the files as they were when the last flush that ended began.
#[derive(Default)]
struct Disk {
    files: Mutex<Vec<(&'static str, Vec<u8>)>>,
    flushes: AtomicUsize,
}

impl Disk {
    fn flush(&self, database: &Path) {
        let files = ["app.db", "app.db-wal"].map(|name| {
            let content = std::fs::read(database.with_file_name(name)).unwrap();
            (name, content)
        });
        *self.files.lock().unwrap() = files.into();
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// The rows that are found after it.
    fn rows(&self) -> Vec<i64> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &*self.files.lock().unwrap() {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let database = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
        let mut rows = database.prepare("SELECT x FROM t").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

fn flushed_by(flush: impl Fn(&Path) -> Result<(), Unflushed> + Send + Sync + 'static) -> Fixture {
    let mut fixture = fixture(limits());
    let database = Arc::get_mut(&mut fixture.database).unwrap();
    let path = database.path().to_owned();
    database.flusher = Arc::new(Flusher::new(move || flush(&path)));
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_there_after_a_loss_of_power() {
    let disk = Arc::new(Disk::default());
    let to = Arc::clone(&disk);
    let fixture = flushed_by(move |path| {
        to.flush(path);
        Ok(())
    });
    run(&fixture.connect(), "CREATE TABLE t (x)").await.unwrap();
    let before = disk.flushes.load(Ordering::Relaxed);
    let writers = (0..WRITERS).map(|writer| {
        let (connection, disk) = (fixture.connect(), Arc::clone(&disk));
        tokio::spawn(async move {
            for write in 0..WRITES_EACH {
                let row = writer * WRITES_EACH + write;
                let insert = format!("INSERT INTO t VALUES ({row})");
                if write % 2 == 0 {
                    run(&connection, &insert).await.unwrap();
                } else {
                    for sql in ["BEGIN IMMEDIATE", &insert, "COMMIT"] {
                        run(&connection, sql).await.unwrap();
                    }
                }
                assert!(disk.rows().contains(&row), "{row} was acknowledged");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(disk.rows().len() as i64, WRITERS * WRITES_EACH);
    let flushes = disk.flushes.load(Ordering::Relaxed) - before;
    assert!(flushes as i64 <= WRITERS * WRITES_EACH, "{flushes} flushes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_the_disk_refused_stays_so_when_its_application_is_loaded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let (broken, asked) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (refuses, flushes) = (Arc::clone(&broken), Arc::clone(&asked));
    // Kept, so that the first database finds it.
    let flusher = Flusher::shared(&path, move || {
        Flusher::new(move || {
            flushes.fetch_add(1, Ordering::Relaxed);
            if refuses.load(Ordering::Relaxed) {
                let error = std::io::Error::other("for a test");
                return Err(Unflushed::Broken(Arc::new(error)));
            }
            Ok(())
        })
    });
    for load in 0..2 {
        let database = Arc::new(Database::new(&path, limits(), allowance()));
        let create = format!("CREATE TABLE t{load} (x)");
        let refused = refusal(&Connection::new(database), &create).await;
        assert!(refused.contains("disk I/O error"), "{refused}");
        // The disk is well again, and what it lost is not known: only a new process may go on.
        broken.store(false, Ordering::Relaxed);
    }
    drop(flusher);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_wait_while_the_disk_is_busy_share_one_flush() {
    let disk = Arc::new(Disk::default());
    let busy = Arc::new((Mutex::new(false), Condvar::new()));
    let (to, held) = (Arc::clone(&disk), Arc::clone(&busy));
    let fixture = flushed_by(move |path| {
        to.flush(path);
        let (is_busy, changed) = &*held;
        drop(changed.wait_while(is_busy.lock().unwrap(), |is_busy| *is_busy));
        Ok(())
    });
    run(&fixture.connect(), "CREATE TABLE t (x)").await.unwrap();
    let before = disk.flushes.load(Ordering::Relaxed);
    *busy.0.lock().unwrap() = true;
    let writers: Vec<_> = (0..WRITERS)
        .map(|row| {
            let connection = fixture.connect();
            let insert = format!("INSERT INTO t VALUES ({row})");
            tokio::spawn(async move { run(&connection, &insert).await.map(drop) })
        })
        .collect();
    // One of them has the disk; all others have committed and wait.
    let others = async {
        while fixture.database.flusher.waiting() as i64 != WRITERS - 1 {
            tokio::task::yield_now().await;
        }
    };
    let waiting = tokio::time::timeout(Duration::from_secs(30), others).await;
    *busy.0.lock().unwrap() = false;
    busy.1.notify_all();
    waiting.expect("a flush keeps no other connection from committing");
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(disk.flushes.load(Ordering::Relaxed) - before, 2);
    assert_eq!(disk.rows().len() as i64, WRITERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_reads_or_is_rolled_back_is_not_flushed() {
    let disk = Arc::new(Disk::default());
    let to = Arc::clone(&disk);
    let fixture = flushed_by(move |path| {
        to.flush(path);
        Ok(())
    });
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    let before = disk.flushes.load(Ordering::Relaxed);
    for sql in [
        "SELECT * FROM t",
        "BEGIN IMMEDIATE",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM t",
        "ROLLBACK",
        "BEGIN",
        "SELECT * FROM t",
        "COMMIT",
    ] {
        run(&connection, sql).await.unwrap();
    }
    assert_eq!(disk.flushes.load(Ordering::Relaxed), before);
    assert!(disk.rows().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_disk_refuses_nothing_is_changed_any_more() {
    let refuses = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&refuses);
    let fixture = flushed_by(move |_| {
        if asked.load(Ordering::Relaxed) {
            let error = std::io::Error::other("for a test");
            return Err(Unflushed::Broken(Arc::new(error)));
        }
        Ok(())
    });
    let connection = fixture.connect();
    run(&connection, "CREATE TABLE t (x)").await.unwrap();
    run(&connection, "INSERT INTO t VALUES (1)").await.unwrap();
    refuses.store(true, Ordering::Relaxed);
    let insert = "INSERT INTO t VALUES (2)";
    assert!(
        refusal(&connection, insert)
            .await
            .contains("disk I/O error")
    );
    let seen = number(&connection, "SELECT count(*) FROM t").await;
    refuses.store(false, Ordering::Relaxed);
    for sql in [insert, "BEGIN IMMEDIATE"] {
        let _ = run(&connection, sql).await;
    }
    run(&connection, insert).await.unwrap();
    assert!(
        refusal(&connection, "COMMIT")
            .await
            .contains("disk I/O error")
    );
    let now = number(&connection, "SELECT count(*) FROM t").await;
    assert_eq!(now, seen, "later changes are rolled back");
    let next = fixture.connect();
    assert!(refusal(&next, insert).await.contains("disk I/O error"));
}
