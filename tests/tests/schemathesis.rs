//! Requests that schemathesis makes up from docs/openapi.json, valid ones and others, against the running platform:
//! every answer has to be one that the document tells of.
//!
//! Left out: `positive_data_acceptance`. A schema cannot say everything (a repository that may be fetched, a password
//! that is not too common); what it cannot is 422 with its reason, and `rules_of_every_route` sends what is accepted.

use std::path::Path;
use std::process::{Command, Stdio};

use nokube_tests::needs;
use nokube_tests::platform::{Platform, repository_root};

/// The same requests each time; another seed finds what this one does not: `NOKUBE_SCHEMATHESIS_SEED`.
const SEED: &str = "1";
/// For each operation and phase: all of it takes half a minute.
const EXAMPLES: &str = "25";
/// It makes accounts, and tries credentials, far more often than people do.
const PATIENT: [&str; 4] = [
    "--variable",
    "register_limit_per_address=1000000",
    "--variable",
    "login_limit_per_address=1000000",
];

/// Which operations, and who asks.
struct Run {
    of: &'static [&'static str],
    token: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_made_up_request_gets_an_answer_that_the_document_does_not_tell_of() {
    let Some(program) = needs::program("schemathesis", Some("NOKUBE_SCHEMATHESIS")) else {
        return;
    };
    let platform = Platform::start_with(&PATIENT);
    let admin = platform
        .api()
        .register("root1", Some(platform.setup_code()))
        .await;
    let user = platform.api().register("fuzz", None).await;
    let leaver = platform.api().register("leaver", None).await;
    let token = |api: &nokube_tests::api::Api| api.token().unwrap_or_default().to_owned();
    let runs = [
        Run {
            of: &[
                "--exclude-operation-id",
                "logout",
                "--exclude-path-regex",
                "^/api/v1/runner/",
            ],
            token: token(&user),
        },
        Run {
            of: &["--include-path-regex", "^/api/v1/runner/"],
            token: runner_token(platform.data_dir()),
        },
        // It ends the session that it is asked in.
        Run {
            of: &["--include-operation-id", "logout"],
            token: token(&leaver),
        },
        // Last: it takes accounts from others, and may give its own role away.
        Run {
            of: &["--include-path-regex", "^/api/v1/auth/(users|invitations)"],
            token: token(&admin),
        },
    ];
    let seed = std::env::var("NOKUBE_SCHEMATHESIS_SEED").unwrap_or_else(|_| SEED.to_owned());
    for run in runs {
        let folder = tempfile::tempdir().expect("a folder for what it writes");
        let output = Command::new(&program)
            .current_dir(folder.path())
            .arg("run")
            .arg(repository_root().join("docs/openapi.json"))
            .args(["--url", platform.url(), "--seed", &seed])
            .args(["--header", &format!("Authorization: Bearer {}", run.token)])
            .args([
                "--checks",
                "all",
                "--exclude-checks",
                "positive_data_acceptance",
            ])
            .args(["--phases", "examples,coverage,fuzzing,stateful"])
            .args(["--max-examples", EXAMPLES, "--suppress-health-check", "all"])
            .args(["--generation-database", "none", "--warnings", "off"])
            .args(["--continue-on-failure", "--no-color"])
            .args(run.of)
            .stdin(Stdio::null())
            .output()
            .expect("schemathesis starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("No issues found"),
            "with NOKUBE_SCHEMATHESIS_SEED={seed}:\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn runner_token(data: &Path) -> String {
    let keys = std::fs::read_to_string(data.join("data/keys.env")).expect("the keys");
    let line = keys
        .lines()
        .find_map(|line| line.strip_prefix("SPIN_VARIABLE_RUNNER_TOKEN="));
    line.expect("a runner token")
        .trim_matches(['"', '\''])
        .to_owned()
}
