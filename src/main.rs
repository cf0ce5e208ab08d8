//! The operator's binary.

fn main() -> std::process::ExitCode {
    server_group_operator::cli::main()
}
