//! Several nodes that form a grid while everything goes wrong, each time by a seed.

use super::tests::terms;
use super::*;
use crate::engine::simulation::random::Random;

struct Host {
    terms: Terms,
    /// None while it has crashed.
    process: Option<Formation>,
    disk: Kept,
    writing: Option<Kept>,
}

struct World {
    random: Random,
    now: Instant,
    hosts: Vec<Host>,
    mail: Vec<(DirectoryId, DirectoryId, Message)>,
    /// Grids that were founded, and by whom.
    founded: BTreeMap<GridId, Proposal>,
    is_calm: bool,
    done: BTreeSet<&'static str>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let nodes = random.between(2, 6);
        // Two groups of so many have a node in common.
        let least = nodes / 2 + 1;
        let count = random.between(least, nodes) as usize;
        let names = (0..count as u128).map(|at| NodeId::new(&format!("n{at}"))).collect();
        let named = random.percent(30).then_some(Bootstrap::Names(names));
        let bootstrap = named.unwrap_or(Bootstrap::Expect(count));
        let host = |at: u64| {
            let terms = Terms {
                patience: Duration::from_millis(2000),
                send_again_after: Duration::from_millis(200),
                ..terms(u128::from(at), bootstrap.clone())
            };
            let process = Formation::new(terms.clone(), Kept::default()).expect("it fits").0;
            Host { terms, process: Some(process), disk: Kept::default(), writing: None }
        };
        World {
            random,
            now: Instant::default(),
            hosts: (0..nodes).map(host).collect(),
            mail: Vec::new(),
            founded: BTreeMap::new(),
            is_calm: false,
            done: BTreeSet::new(),
        }
    }

    fn any(&mut self) -> usize {
        self.random.between(0, self.hosts.len() as u64 - 1) as usize
    }

    fn tell(&mut self, at: usize, event: Event) {
        let mut effects = Vec::new();
        let Some(process) = &mut self.hosts[at].process else { return };
        process.step(self.now, event, &mut effects);
        self.perform(at, effects);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let from = self.hosts[at].terms.directory;
        for effect in effects {
            match effect {
                Effect::Persist(kept) => self.hosts[at].writing = Some(kept),
                Effect::Send { to, message } => {
                    let copies = match self.random.between(0, 9) {
                        _ if self.is_calm => 1,
                        0..=2 => 0,
                        3..=4 => 2,
                        _ => 1,
                    };
                    let parcel = (from, to, message);
                    self.mail.extend(std::iter::repeat_n(parcel, copies));
                }
                Effect::InGrid { grid, .. } => assert_eq!(self.hosts[at].disk.grid, Some(grid)),
                Effect::Report { why, .. } => self.report(&why),
                Effect::Stop(why) => panic!("{at} stops: {why:?}"),
            }
        }
    }

    fn report(&mut self, why: &Refusal) {
        match why {
            Refusal::GridVisible(_) => self.done.insert("visible"),
            Refusal::ForeignGrid(_) => self.done.insert("foreign"),
            why => panic!("nothing is wrong with anybody: {why:?}"),
        };
    }

    fn write(&mut self, at: usize) {
        let Some(kept) = self.hosts[at].writing.take() else { return };
        self.keep(at, kept);
        self.tell(at, Event::Persisted);
    }

    fn keep(&mut self, at: usize, kept: Kept) {
        let before = std::mem::replace(&mut self.hosts[at].disk, kept.clone());
        let is_same = before.grid.is_none() || before.grid == kept.grid;
        assert!(is_same, "{at} was part of {:?}, and is of {:?}", before.grid, kept.grid);
        if kept.withdrawn.len() > before.withdrawn.len() {
            self.done.insert("withdrawn");
        }
        let Some(grid) = kept.grid.filter(|_| before.grid.is_none()) else { return };
        match kept.bound {
            Some(founded) => {
                assert_eq!(founded.grid, grid);
                self.founded.insert(grid, founded);
            }
            None => {
                assert!(self.founded.contains_key(&grid), "{grid:?} was never founded");
                self.done.insert("joined");
            }
        }
        self.check();
    }

    fn check(&self) {
        let mut members = BTreeSet::new();
        for founded in self.founded.values() {
            for member in founded.members.keys() {
                assert!(members.insert(*member), "{member:?} is in two: {:?}", self.founded);
            }
        }
    }

    fn crash(&mut self, at: usize) {
        self.hosts[at].process = None;
        // What was on its way to the disk may be there, or not.
        if let Some(kept) = self.hosts[at].writing.take() {
            self.done.insert("torn");
            if self.random.percent(50) {
                self.keep(at, kept);
            }
        }
    }

    fn restart(&mut self, at: usize) {
        let Host { terms, disk, process, .. } = &mut self.hosts[at];
        if process.is_none() {
            let (formation, effects) =
                Formation::new(terms.clone(), disk.clone()).expect("it fits");
            *process = Some(formation);
            self.perform(at, effects);
        }
    }

    fn look(&mut self, at: usize) {
        let mut visible = BTreeMap::new();
        for other in (0..self.hosts.len()).filter(|other| *other != at) {
            let is_seen = self.is_calm || self.random.percent(70);
            let Host { terms, process, .. } = &self.hosts[other];
            if let Some(process) = process.as_ref().filter(|_| is_seen) {
                let peer = Peer { name: terms.name.clone(), grid: process.grid() };
                visible.insert(terms.directory, peer);
            }
        }
        self.tell(at, Event::Visible(visible));
    }

    fn deliver(&mut self) {
        if self.mail.is_empty() {
            return;
        }
        let at = self.random.between(0, self.mail.len() as u64 - 1) as usize;
        let (from, to, message) = self.mail.swap_remove(at);
        self.tell(to.0 as usize, Event::Heard { from, message });
    }

    fn step(&mut self) {
        let at = self.any();
        match self.random.between(0, 29) {
            0..=3 => {
                self.now = self.now + self.random.millis(50, 400);
                let fresh = GridId(u128::from(self.random.next()));
                self.tell(at, Event::Tick { fresh });
            }
            4..=5 => self.look(at),
            6 if self.random.percent(40) => self.crash(at),
            7 => self.restart(at),
            8..=14 => self.write(at),
            _ => self.deliver(),
        }
    }

    fn calm_down(&mut self) {
        self.is_calm = true;
        for _ in 0..600 {
            self.now = self.now + Duration::from_millis(100);
            for at in 0..self.hosts.len() {
                self.restart(at);
                self.look(at);
                let fresh = GridId(u128::from(self.random.next()));
                self.tell(at, Event::Tick { fresh });
                self.write(at);
            }
            for _ in 0..self.mail.len() {
                self.deliver();
            }
        }
        let grids: BTreeSet<_> = self.hosts.iter().map(|host| host.disk.grid).collect();
        assert!(grids.len() == 1 && !grids.contains(&None), "{grids:?} {:?}", self.founded);
        assert_eq!(self.founded.len(), 1);
        assert!(self.hosts.iter().all(|host| host.writing.is_none()));
    }
}

#[test]
fn never_two_grids_have_a_node_in_common_and_when_calm_one_is_formed() {
    let mut done = BTreeSet::<&str>::new();
    let mut early = 0;
    for seed in 0..250 {
        let mut world = World::new(seed);
        for _ in 0..world.random.between(50, 1500) {
            world.step();
        }
        early += usize::from(!world.founded.is_empty());
        world.calm_down();
        done.extend(world.done.iter());
    }
    // The test is worth what it has come across.
    assert!(early > 50 && early < 240, "{early}");
    assert!(done.len() >= 4, "{done:?}");
}
