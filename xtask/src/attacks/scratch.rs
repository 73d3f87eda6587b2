//! A copy of the project in which defences are taken away, so that nobody's work is touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::removal::Removal;
use crate::failure::Failure;
use crate::steps::root;
use crate::tracked;

/// The copy and its own target directory; both stay for the next run, which then builds little.
#[derive(Debug)]
pub(super) struct Scratch {
    tree: PathBuf,
    target: PathBuf,
}

impl Scratch {
    /// Makes the copy equal to the project. Files that are equal keep their time, so that cargo leaves them alone.
    pub(super) fn open() -> Result<Self, Failure> {
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| root().join("target"), |path| root().join(path));
        let folder = target.join("attacks");
        let scratch = Self {
            tree: folder.join("tree"),
            target: folder.join("build"),
        };
        fs::create_dir_all(&scratch.tree).map_err(Failure::doing("the scratch folder"))?;
        let tracked: BTreeSet<String> = tracked::paths()?.into_iter().collect();
        for path in &tracked {
            scratch.bring(path)?;
        }
        scratch.clear(&scratch.tree, &tracked)?;
        Ok(scratch)
    }

    /// Where it lies.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Where it is built.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Copies one file, where it differs.
    fn bring(&self, path: &str) -> Result<(), Failure> {
        let (from, to) = (root().join(path), self.tree.join(path));
        let Ok(wanted) = fs::read(&from) else {
            return Ok(()); // deleted, and git does not know yet
        };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(Failure::doing(path))?;
        }
        // A write, not a copy of the file's time: cargo must see that it changed.
        fs::write(&to, wanted).map_err(Failure::doing(path))
    }

    /// Removes what the project has no more.
    fn clear(&self, folder: &Path, tracked: &BTreeSet<String>) -> Result<(), Failure> {
        for entry in fs::read_dir(folder).map_err(Failure::doing("the scratch folder"))? {
            let path = entry.map_err(Failure::doing("the scratch folder"))?.path();
            if path.is_dir() {
                self.clear(&path, tracked)?;
                continue;
            }
            let name = path.strip_prefix(&self.tree).unwrap_or(&path);
            let name = name.to_string_lossy().into_owned();
            if !tracked.contains(&name) || !root().join(&name).exists() {
                fs::remove_file(&path).map_err(Failure::doing(&name))?;
            }
        }
        Ok(())
    }

    /// Takes one defence away; gives back what stood there.
    pub(super) fn apply(&self, removal: &Removal) -> Result<String, Failure> {
        let path = self.tree.join(&removal.file);
        let text = fs::read_to_string(&path).map_err(Failure::doing(&removal.file))?;
        let Some(without) = removal.applied(&text) else {
            let words = "what row {} removes does not stand exactly once in {}";
            let words = words.replacen("{}", &removal.row, 1);
            return Err(Failure::new(words.replacen("{}", &removal.file, 1)));
        };
        fs::write(&path, without).map_err(Failure::doing(&removal.file))?;
        Ok(text)
    }

    /// Puts back what stood there, and not what stands in the project by now.
    pub(super) fn restore(&self, removal: &Removal, text: &str) -> Result<(), Failure> {
        let path = self.tree.join(&removal.file);
        fs::write(path, text).map_err(Failure::doing(&removal.file))
    }
}
