//! Where the host comes in.
#![expect(
    unsafe_code,
    reason = "what the macro generates is the boundary to the host"
)]

use std::env;

use spin_sdk::http::{IncomingRequest, ResponseOutparam};
use spin_sdk::http_component;

use crate::site::{Settings, Site};
use crate::{answer, send};

#[http_component]
async fn serve_site(request: IncomingRequest, response: ResponseOutparam) {
    let site = Site::new(
        "/",
        Settings {
            fallback: env::var("FALLBACK_PATH").ok(),
            missing: env::var("CUSTOM_404_PATH").ok(),
        },
    );
    let answer = answer::answer(&site, &send::read_question(&request));
    send::send(answer, response).await;
}
