//! What programs do at their end, with small scripts in place of builds.

use rustix::process::test_kill_process;

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

async fn outcome(script: &str, wall: Duration) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let task = Task {
        command: shell(script),
        stdin: Vec::new(),
        wall,
        disk: Vec::new(),
        room: RoomBound {
            folder: folder.path().to_owned(),
            reserve_bytes: 0,
            fall_bytes: u64::MAX,
        },
        memory_bytes: None,
        capture: true,
    };
    run(task, &BuildLog::for_tests()).await.unwrap()
}

#[tokio::test]
async fn a_program_that_is_over_keeps_its_number_until_its_group_is_killed() {
    let children = signal(SignalKind::child()).unwrap();
    let mut child = shell("exit 3").process_group(0).spawn().unwrap();
    let leader = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    over(leader, children).await.unwrap();
    test_kill_process(leader).expect("nobody else has its number");
    let mut group = Group(Some(leader));
    group.kill();
    assert_eq!(group.0, None, "it is not killed again when it is dropped");
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn what_a_program_leaves_in_its_group_dies_with_it() {
    // The daemon holds the pipe.
    let outcome = outcome("sleep 600 & echo $!; exit 3", Duration::from_secs(60)).await;
    let Ended::Exited(status) = outcome.ended else {
        panic!("{outcome:?}");
    };
    assert_eq!(status.code(), Some(3));
    let daemon = String::from_utf8(outcome.stdout).unwrap();
    let stat = format!("/proc/{}/stat", daemon.trim());
    let is_alive = || {
        // Its parent, whoever that is now, may not have waited for it yet.
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains(") Z ")
    };
    let began = Instant::now();
    while is_alive() {
        assert!(began.elapsed() < Duration::from_secs(10), "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_program_that_closes_its_output_gains_no_time() {
    let script = "sleep 0.6; exec >&- 2>&-; sleep 0.8";
    let outcome = outcome(script, Duration::from_secs(1)).await;
    assert!(
        matches!(outcome.ended, Ended::Killed(Bound::Wall)),
        "{outcome:?}"
    );
}
