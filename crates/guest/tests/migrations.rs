//! Schemas that grow: each migration is applied once, and none is passed over.

use nokube_guest::db::{Migration, Value, migrate};
use nokube_guest::testing::TestApp;
use nokube_guest::{Component, Ctx, Error, Response, Route};

static NOTES: Component = Component {
    name: "notes",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/api/v1/notes/first" => bring_up_to_the_first;
        GET "/api/v1/notes/gap" => bring_up_with_a_gap;
        GET "/api/v1/notes/all" => bring_up_to_date;
    }
};

const FIRST: Migration = Migration {
    version: 1,
    name: "notes",
    sql: "CREATE TABLE notes (title TEXT);\n",
};
const SECOND: Migration = Migration {
    version: 2,
    name: "colours",
    sql: "ALTER TABLE notes ADD COLUMN colour TEXT;\n",
};
const THIRD: Migration = Migration {
    version: 3,
    name: "tags",
    sql: "CREATE TABLE tags (name TEXT);\nINSERT INTO tags VALUES ('made once');\n",
};

static UP_TO_THE_FIRST: &[Migration] = &[FIRST];
static WITH_A_GAP: &[Migration] = &[FIRST, THIRD];
static ALL: &[Migration] = &[FIRST, SECOND, THIRD];

async fn bring_up_to_the_first(cx: Ctx) -> Result<Response, Error> {
    bring_up(&cx, UP_TO_THE_FIRST).await
}

async fn bring_up_with_a_gap(cx: Ctx) -> Result<Response, Error> {
    bring_up(&cx, WITH_A_GAP).await
}

async fn bring_up_to_date(cx: Ctx) -> Result<Response, Error> {
    bring_up(&cx, ALL).await
}

async fn bring_up(cx: &Ctx, migrations: &'static [Migration]) -> Result<Response, Error> {
    migrate(&cx.database("notes")?, migrations).await?;
    Ok(Response::no_content())
}

fn applied(app: &TestApp) -> Vec<Value> {
    let rows = app.sql(
        "notes",
        "SELECT version FROM schema_migrations ORDER BY version",
    );
    rows.into_iter().flatten().collect()
}

#[test]
fn a_migration_that_was_passed_over_is_made_up_for_and_none_is_applied_twice() {
    let app = TestApp::new(&NOTES);
    for (step, versions) in [
        ("first", &[1][..]),
        ("gap", &[1, 3]),
        ("gap", &[1, 3]),
        ("all", &[1, 2, 3]),
        ("all", &[1, 2, 3]),
        // An older program finds what a newer one left.
        ("first", &[1, 2, 3]),
    ] {
        let path = format!("/api/v1/notes/{step}");
        assert_eq!(app.get(&path).send().status, 204, "{step}");
        let versions: Vec<Value> = versions.iter().copied().map(Value::Integer).collect();
        assert_eq!(applied(&app), versions, "{step}");
    }
    app.sql(
        "notes",
        "INSERT INTO notes (title, colour) VALUES ('a', 'red')",
    );
    let tags = app.sql("notes", "SELECT count(*) FROM tags");
    assert_eq!(tags[0][0], Value::Integer(1));
}
