//! File systems of a test's own, where the user may mount them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system in memory, unmounted when it goes.
pub(crate) struct Tmpfs {
    // Dropped after it is unmounted.
    directory: tempfile::TempDir,
}

impl Tmpfs {
    /// `None`, said aloud, where this user may not mount.
    pub(crate) fn mount(mebibytes: u32) -> Option<Tmpfs> {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let size = format!("size={mebibytes}m");
        let path = directory.path().to_owned();
        if mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &path) {
            return Some(Tmpfs { directory });
        }
        println!("SKIPPED: this user may not mount a file system");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn make_read_only(&self) {
        assert!(mount(&["-o", "remount,ro"], self.path()), "it was mounted");
    }

    /// Takes all the room that is left, until the file is removed.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).expect("a file needs no room yet");
        let block = vec![1; 4096];
        while file.write(&block).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a store's thread may be on its way out.
        let umount = Command::new("umount").arg("-l").arg(self.path()).status();
        if !umount.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.path().display());
        }
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(arguments).arg(path).stderr(Stdio::null());
    mount.status().is_ok_and(|status| status.success())
}
