//! Directories that a store cannot have, and those that are free again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fastness::store::{Error, SledStore, Store};

use crate::block_on;
use crate::mounts::Tmpfs;
use crate::places::InDirectory;
use crate::rows::{grid_row, row, rows, write};

#[test]
fn a_directory_in_use_is_locked() {
    let place = InDirectory::new();
    let store = SledStore::open(place.path()).unwrap();
    let location = place.path().display().to_string();
    for _ in 0..3 {
        let second = SledStore::open(place.path()).err();
        assert_eq!(second, Some(Error::Locked { location: location.clone() }));
    }
    block_on(async {
        store.claim(&grid_row()).await.unwrap();
        write(&store, vec![row(1, 1, "x")]).await.unwrap();
        store.close().await.unwrap();
    });
    // At once, and while the closed handle is still there.
    let next = SledStore::open(place.path()).unwrap();
    assert_eq!(block_on(rows(&next)), Ok(vec![row(1, 1, "x")]));
    assert_eq!(block_on(rows(&store)), Err(Error::Closed));
}

#[test]
fn a_dropped_store_unlocks_its_directory() {
    let place = InDirectory::new();
    for seq in 1..10 {
        let store = SledStore::open(place.path()).unwrap();
        block_on(write(&store, vec![row(1, seq, "x")])).unwrap();
        drop(store);
    }
    let store = SledStore::open(place.path()).unwrap();
    assert_eq!(block_on(rows(&store)), Ok(vec![row(1, 9, "x")]));
}

#[test]
fn a_file_is_no_directory() {
    let place = InDirectory::new();
    fs::write(place.path(), "a file").unwrap();
    for path in [place.path(), place.path().join("below it")] {
        let found = SledStore::open(path).err();
        assert!(matches!(found, Some(Error::Unavailable { .. })), "{found:?}");
    }
    assert_eq!(fs::read(place.path()).unwrap(), b"a file");
}

#[test]
fn a_read_only_directory_is_unavailable() {
    let place = InDirectory::new();
    let parent = place.path().parent().unwrap().to_owned();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::create_dir(parent.join("probe")).is_ok() {
        println!("this user may write where nobody may, so permissions say nothing here");
        fs::remove_dir(parent.join("probe")).unwrap();
    } else {
        let found = SledStore::open(place.path()).err();
        assert!(matches!(found, Some(Error::Unavailable { .. })), "{found:?}");
    }
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_read_only_file_system_is_unavailable() {
    let Some(tmpfs) = Tmpfs::mount(16) else { return };
    let there = tmpfs.path().join("there");
    let store = SledStore::open(&there).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    tmpfs.make_read_only();
    for path in [there, tmpfs.path().join("not there")] {
        let found = SledStore::open(path).err();
        assert!(matches!(found, Some(Error::Unavailable { .. })), "{found:?}");
    }
}

/// What sled puts into files of its own it does not sync, and seldom removes.
#[test]
fn everything_is_in_one_file_however_large_it_is() {
    let place = InDirectory::new();
    let store = SledStore::open(place.path()).unwrap();
    for seq in 1..=3 {
        let large = |number: u32| {
            let mut row = row(number, seq, vec![number as u8; 5_000 + 1_000 * number as usize]);
            row.key.key = vec![number as u8; 32].into();
            row
        };
        block_on(write(&store, (0..100).map(large).collect())).unwrap();
    }
    block_on(store.close()).unwrap();
    let blobs = fs::read_dir(place.path().join("sled/blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}
