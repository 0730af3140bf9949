//! sled's file, damaged while nobody has it open.
//!
//! sled takes a damaged part of its log for one that was never finished, and goes on without what
//! was in it: what is lost must be missed by the store itself. sled's panics are printed.

use std::fs;
use std::path::Path;

use fastness::store::{Error, Row, SledStore, Store};

use crate::block_on;
use crate::places::InDirectory;
use crate::rows::{PARTITION, Random, grid_row, row, rows, write};

#[test]
fn a_flipped_bit_never_loses_a_row_silently() {
    let sounds = [Sound::new(), Sound::reopened()];
    let mut random = Random::new("flipped bit");
    let mut found_out = 0;
    for sound in sounds.iter().cycle().take(80) {
        let at = random.below(sound.file.len() as u64) as usize;
        let mut damaged = sound.file.clone();
        damaged[at] ^= 1 << random.below(8);
        found_out += u32::from(sound.is_damage_found(&damaged, &format!("bit flipped at {at}")));
    }
    assert!(found_out > 0, "some damage must be where there are rows");
}

#[test]
fn a_cut_file_never_loses_a_row_silently() {
    let mut random = Random::new("cut");
    for sound in [Sound::new(), Sound::reopened()] {
        let length = sound.file.len() as u64;
        let cuts = [0, 1, length / 2, length - 1].into_iter();
        let cuts: Vec<u64> = cuts.chain((0..12).map(|_| random.below(length))).collect();
        for cut in cuts {
            let damaged = &sound.file[..cut as usize];
            let is_found = sound.is_damage_found(damaged, &format!("cut at {cut}"));
            assert!(is_found || cut > length / 2, "cut at {cut}, half of it is not enough");
        }
    }
}

#[test]
fn a_lost_file_is_not_an_empty_store() {
    let sound = Sound::new();
    fs::remove_dir_all(sound.place.path().join("sled")).unwrap();
    let found = read(&sound.place.path());
    assert!(matches!(found, Err(Error::Corrupt { .. })), "{found:?}");
}

/// Below sled's own checks there are the store's.
#[test]
fn a_damaged_value_is_corrupt() {
    let sound = Sound::new();
    alter(&sound.place.path(), |tree| {
        let (key, value) = tree.scan_prefix(b"R").nth(7).unwrap().unwrap();
        let mut damaged = value.to_vec();
        damaged[value.len() / 2] ^= 1;
        tree.insert(key, damaged).unwrap();
    });
    let found = read(&sound.place.path());
    assert!(matches!(found, Err(Error::Corrupt { .. })), "{found:?}");
}

#[test]
fn a_damaged_row_costs_only_whoever_loads_it() {
    let sound = Sound::new();
    alter(&sound.place.path(), |tree| {
        let (key, value) = tree.scan_prefix(b"R").nth(7).unwrap().unwrap();
        let mut damaged = value.to_vec();
        damaged[value.len() / 2] ^= 1;
        tree.insert(key, damaged).unwrap();
    });
    let store = SledStore::open(sound.place.path()).unwrap();
    let keys: Vec<_> = sound.rows.iter().map(|row| (PARTITION, row.key.clone())).collect();
    let loaded = block_on(store.load(&keys));
    for (row, loaded) in sound.rows.iter().zip(&loaded) {
        match loaded {
            Ok(found) => assert_eq!(found.row.as_ref(), Some(row)),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error:?}"),
        }
    }
    assert_eq!(loaded.iter().filter(|loaded| loaded.is_err()).count(), 1);
}

#[test]
fn a_lost_chunk_or_row_is_corrupt() {
    for prefix in [b"R", b"r"] {
        let sound = Sound::new();
        alter(&sound.place.path(), |tree| {
            let (key, _) = tree.scan_prefix(prefix).next().unwrap().unwrap();
            tree.remove(key).unwrap();
        });
        let found = read(&sound.place.path());
        assert!(matches!(found, Err(Error::Corrupt { .. })), "{found:?}");
    }
}

#[test]
fn an_unknown_layout_is_refused() {
    let sound = Sound::new();
    alter(&sound.place.path(), |tree| {
        let layout = 77_u32.to_be_bytes();
        let mut value = crc32fast::hash(&[b"V", &layout[..]].concat()).to_be_bytes().to_vec();
        value.extend(layout);
        tree.insert(b"V", value).unwrap().unwrap();
    });
    let found = read(&sound.place.path());
    assert_eq!(found, Err(Error::UnknownLayout { found: 77, known: 1 }));
}

/// A closed store, with what is in it.
struct Sound {
    place: InDirectory,
    rows: Vec<Row>,
    file: Vec<u8>,
}

impl Sound {
    fn new() -> Sound {
        let place = InDirectory::new();
        let value = |number: u32| {
            let words = if number.is_multiple_of(100) { 15_000 } else { 300 };
            format!("value {number} ").repeat(words)
        };
        let rows: Vec<Row> = (0..200).map(|number| row(number, 1, value(number))).collect();
        let store = SledStore::open(place.path()).unwrap();
        block_on(async {
            store.claim(&grid_row()).await.unwrap();
            for part in rows.chunks(20) {
                write(&store, part.to_vec()).await.unwrap();
            }
            store.close().await.unwrap();
        });
        let file = fs::read(place.path().join("sled/db")).unwrap();
        let sound = Sound { place, rows, file };
        assert!(!sound.is_damage_found(&sound.file, "not damaged"));
        sound
    }

    /// When it is opened, sled notes what is in its file, and knows better what is missing.
    fn reopened() -> Sound {
        let mut sound = Sound::new();
        assert_eq!(read(&sound.place.path()).as_ref(), Ok(&sound.rows));
        sound.file = fs::read(sound.place.path().join("sled/db")).unwrap();
        sound
    }

    /// Whether a store with this file says that it is corrupt. If not, all rows must be there.
    /// Opened a second time, it must not have forgotten the damage.
    fn is_damage_found(&self, file: &[u8], how: &str) -> bool {
        let other = InDirectory::new();
        copy(&self.place.path(), &other.path());
        fs::write(other.path().join("sled/db"), file).unwrap();
        let found = [(); 2].map(|()| read(&other.path()));
        for rows in &found {
            match rows {
                Err(Error::Corrupt { .. }) => {}
                Ok(rows) => assert!(*rows == self.rows, "{how}: {} rows, silently", rows.len()),
                Err(other) => panic!("{how}: {other:?}"),
            }
        }
        assert_eq!(found[0].is_err(), found[1].is_err(), "{how}: another answer the second time");
        found[0].is_err()
    }
}

/// Opens the store once the one before has let go of it: over a damaged file, sled may take longer
/// than dropping a store waits.
fn opened(directory: &Path) -> Result<SledStore, Error> {
    loop {
        match SledStore::open(directory) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn read(directory: &Path) -> Result<Vec<Row>, Error> {
    let store = opened(directory)?;
    block_on(async {
        store.claim(&grid_row()).await?;
        let rows = rows(&store).await;
        store.close().await?;
        rows
    })
}

/// Changes what is in sled, behind the store's back.
fn alter(directory: &Path, change: impl FnOnce(&sled::Tree)) {
    let db = sled::open(directory.join("sled")).unwrap();
    let tree = db.open_tree("fastness").unwrap();
    change(&tree);
    tree.flush().unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
