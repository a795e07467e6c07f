//! Which parts of SQL a guest may use: everything that stays within its own database file.
//!
//! SQLite asks while it compiles a statement, and while VACUUM and table-valued pragmas run. Refused are other files
//! (ATTACH, VACUUM INTO, extensions, `temp_store_directory`), settings of the whole process, and settings that would
//! undo a limit. Pragmas are let through by name, so that one which a later SQLite brings is refused until it was read
//! about.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::watch::{Stain, Watch};

/// Pragmas that tell something, or change the database file only: harmless with and without a value.
const FREE: &[&str] = &[
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "optimize",
    "page_count",
    "pragma_list",
    "quick_check",
    "schema_version",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

/// Pragmas that may be read; setting them would undo a limit or hold up other connections, so a value is ignored.
const READ_ONLY: &[&str] = &[
    "busy_timeout",
    "hard_heap_limit",
    "journal_size_limit",
    "locking_mode",
    "max_page_count",
    "mmap_size",
    // The largest size of the file is counted in pages.
    "page_size",
    "soft_heap_limit",
    "temp_store",
    "threads",
    "wal_autocheckpoint",
];

/// Pragmas of one connection which opening sets too.
const RESTORED: &[&str] = &["foreign_keys", "synchronous"];

/// Pragmas of one connection that only its own statements feel; without `case_sensitive_like`, which puts SQLite's own
/// LIKE in place of ours ([`super::functions`]). `defer_foreign_keys` ends with its transaction, but a
/// connection that used it is rare enough to be closed all the same.
const OWN: &[&str] = &[
    "automatic_index",
    "cache_size",
    "cell_size_check",
    "checkpoint_fullfsync",
    "defer_foreign_keys",
    "fullfsync",
    "ignore_check_constraints",
    "legacy_alter_table",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
];

/// Journal modes that keep a transaction whole. `off` and `memory` lose the database when the process is killed.
const JOURNAL_MODES: &[&str] = &["delete", "persist", "truncate", "wal"];

/// The largest page cache of a connection that a guest may ask for, in pages, or in KiB when negative.
const MAX_CACHE: i64 = 4096;

/// The answer to SQLite's question whether a statement may do `context.action`; notes in `watch` what it leaves behind.
pub(super) fn authorize(context: &AuthContext<'_>, watch: &Watch) -> Authorization {
    match context.action {
        // VACUUM attaches a nameless temporary file by itself. VACUUM INTO would name one.
        AuthAction::Attach { filename: "" } if watch.is_vacuuming() => Authorization::Allow,
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => {
            Authorization::Deny
        }
        AuthAction::Function { function_name } => function(function_name),
        // Around a VACUUM, and where the disk has less room than the database may take: see
        // `RawConnection::store_temporary_in` and `RawConnection::bound_growth`.
        AuthAction::Pragma {
            pragma_name: "temp_store" | "max_page_count",
            ..
        } if watch.is_ours() => Authorization::Allow,
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => pragma(pragma_name, pragma_value, watch),
        AuthAction::Insert {
            table_name: "sqlite_temp_master" | "sqlite_temp_schema",
        } => {
            watch.note(Stain::Lasting);
            Authorization::Allow
        }
        AuthAction::CreateVtable { .. } if context.database_name == Some("temp") => {
            watch.note(Stain::Lasting);
            Authorization::Allow
        }
        _ => Authorization::Allow,
    }
}

fn function(name: &str) -> Authorization {
    // `load_extension` runs native code; `fts3_tokenizer` takes addresses of it.
    if ["load_extension", "fts3_tokenizer"]
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
    {
        Authorization::Deny
    } else {
        Authorization::Allow
    }
}

fn pragma(name: &str, value: Option<&str>, watch: &Watch) -> Authorization {
    let name = name.to_ascii_lowercase();
    let is = |list: &[&str]| list.contains(&name.as_str());
    if is(FREE) {
        return Authorization::Allow;
    }
    if is(READ_ONLY) {
        return match value {
            None => Authorization::Allow,
            Some(_) => Authorization::Ignore,
        };
    }
    if is(RESTORED) {
        if value.is_some() {
            watch.note(Stain::Settings);
        }
        return Authorization::Allow;
    }
    if is(OWN) {
        if name == "cache_size" && value.is_some_and(|value| !is_small_cache(value)) {
            return Authorization::Ignore;
        }
        if value.is_some() {
            watch.note(Stain::Lasting);
        }
        return Authorization::Allow;
    }
    if name == "journal_mode" {
        if value.is_some() {
            // How commits get to the disk depends on it.
            watch.note(Stain::Settings);
        }
        let allowed = value.is_none_or(|value| {
            JOURNAL_MODES
                .iter()
                .any(|mode| mode.eq_ignore_ascii_case(value))
        });
        return if allowed {
            Authorization::Allow
        } else {
            Authorization::Deny
        };
    }
    Authorization::Deny
}

fn is_small_cache(value: &str) -> bool {
    value
        .parse::<i64>()
        .is_ok_and(|value| value.unsigned_abs() <= MAX_CACHE.unsigned_abs())
}
