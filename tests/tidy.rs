//! The house rules, held on the source text itself: layers, purity, homes of libraries, habits,
//! and a book whose code is compiled.
//!
//! Each rule is a function from sources to findings, so that each is also shown a source that
//! breaks it. To change a rule, change it here and say why in the commit.

#[path = "tidy/book.rs"]
mod book;
#[path = "tidy/habits.rs"]
mod habits;
#[path = "tidy/homes.rs"]
mod homes;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/purity.rs"]
mod purity;
#[path = "tidy/source.rs"]
mod source;
