//! An HTTP server that imitates the cloud APIs; development and tests only.
