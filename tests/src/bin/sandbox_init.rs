//! What `nokube sandbox-init` is, for tests of the runner without `nokube`.

fn main() -> std::process::ExitCode {
    nokube_runner::sandbox_init(std::env::args_os().skip(1))
}
