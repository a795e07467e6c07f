//! What `nokube event` takes.

use clap::{Args, Subcommand, ValueEnum};

/// Events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// Create an event.
    Create(CreateArgs),
    /// List your events.
    List(ListArgs),
    /// Show one.
    Show {
        /// The event's id.
        id: String,
    },
    /// Change one; what is not named stays as it was.
    Edit(EditArgs),
    /// Delete one.
    Delete {
        /// The event's id.
        id: String,
    },
    /// Show whether your calendar has a private address, make a new one, or end it.
    Feed(FeedArgs),
}

/// How far along an event is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Draft,
    Published,
    Archived,
}

impl Status {
    /// The API's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Archived => "archived",
        }
    }
}

/// A new event.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What it is called.
    pub(crate) title: String,
    /// When it begins: a day (2026-01-31), or a time with its offset (2026-01-31T09:30:00+01:00).
    #[arg(long)]
    pub(crate) start: String,
    /// When it ends, of the same kind; by default as it begins. The last day belongs to it.
    #[arg(long)]
    pub(crate) end: Option<String>,
    /// More about it.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// How far along it is.
    #[arg(long, value_enum, default_value = "draft")]
    pub(crate) status: Status,
}

/// Which events, in which order.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this status.
    #[arg(long, value_enum)]
    pub(crate) status: Option<Status>,
    /// Only what goes on at this day or time, or later.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only what goes on until this day or time.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Only those with words that begin like this.
    #[arg(long)]
    pub(crate) query: Option<String>,
    /// `start_date`, `end_date`, `title`, `status`, `created_at` or `updated_at`; with `-` in front the other way round.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

/// What to change.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["title", "start", "end", "description", "status"])]
pub(crate) struct EditArgs {
    /// The event's id.
    pub(crate) id: String,
    /// Another title.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Another beginning.
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// Another end.
    #[arg(long)]
    pub(crate) end: Option<String>,
    /// Another description; an empty one removes it.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Another status.
    #[arg(long, value_enum)]
    pub(crate) status: Option<Status>,
}

/// What to do with the private address.
#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    /// Make a new address and show it, once; the one before ends.
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) renew: bool,
    /// End the address.
    #[arg(long)]
    pub(crate) revoke: bool,
}
