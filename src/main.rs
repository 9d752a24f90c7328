//! The program: see `sidetone --help`.

fn main() -> std::process::ExitCode {
    sidetone::cli::run()
}
