//! The tick: what drives time, since components can't run in the background.

use nokube_guest::{Ctx, Error, Method, Response};
use serde_json::{Map, Value};

/// The components that have something to do as time passes.
const TICKED: [&str; 2] = ["builds", "deploy"];

/// `POST /internal/tick`: passes it on. One component's failure does not keep it from the others; the
/// caller comes again in a second either way.
pub(crate) async fn tick(cx: Ctx) -> Result<Response, Error> {
    let mut outcomes = Map::new();
    let mut all_ok = true;
    for name in TICKED {
        let outcome = cx
            .call_component(name, Method::POST, "/internal/tick", None::<&()>)
            .await;
        let status = match outcome {
            Ok(answer) => answer.status,
            Err(error) => {
                cx.log("error", &format!("{name} does not answer: {error}"));
                503
            }
        };
        all_ok &= (200..300).contains(&status);
        outcomes.insert(name.to_owned(), Value::from(status));
    }
    let status = if all_ok { 200 } else { 503 };
    Ok(Response::json(status, &Value::Object(outcomes)))
}
