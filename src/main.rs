//! The operator's binary.

/// It gives back to the system what is free, whoever freed it; see `docs/decisions/0013-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    server_group_operator::cli::main()
}
