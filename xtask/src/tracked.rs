//! The files that git tracks, or would track.

use crate::failure::Failure;
use crate::steps::{command, output_of};

/// Their paths from the root of the workspace; one that was just deleted may be among them.
pub(crate) fn paths() -> Result<Vec<String>, Failure> {
    // A checkout of another user is read here, not run.
    let listing = [
        "-c",
        "safe.directory=*",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ];
    let paths = output_of(command("git", &listing))?;
    let paths = paths.split('\0').filter(|path| !path.is_empty());
    Ok(paths.map(str::to_owned).collect())
}
