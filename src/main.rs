//! The operator's binary.

/// This allocator gives free memory back to the system, whichever thread freed it; see `docs/decisions/0013-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    server_group_operator::cli::main()
}
