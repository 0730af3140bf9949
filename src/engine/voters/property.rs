//! Random events, lost and late proposals, leaders that change, against what must always be.

use super::*;
use crate::engine::simulation::random::Random;

const DIRECTORIES: u64 = 8;

struct World {
    random: Random,
    now: Instant,
    terms: Terms,
    engine: Voters,
    membership: Membership,
    sights: BTreeMap<DirectoryId, Sight>,
    /// What was proposed, and may come into the log at any time.
    proposals: Vec<(Revision, Change)>,
    /// Learners that the leader of this term was told to have caught up.
    told: BTreeSet<VoterId>,
    logs: u64,
    done: BTreeSet<&'static str>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let voters_max = random.pick(&[1, 3, 5]) as usize;
        let terms = Terms {
            voters_max,
            replace_after: random.millis(500, 3000),
            propose_again_after: random.millis(50, 400),
        };
        let zones = random.between(1, 5);
        let nodes = random.between(1, DIRECTORIES);
        let mut sights = BTreeMap::new();
        for directory in 0..nodes {
            let sight = Sight {
                standing: Standing::Up,
                zone: NodeId::new(&format!("z{}", random.between(1, zones))),
                is_witness: random.percent(15),
                is_draining: false,
                voter: Some(VoterId(directory)),
            };
            sights.insert(DirectoryId(u128::from(directory)), sight);
        }
        let founders = if nodes >= 3 && random.percent(50) { 3 } else { 1 };
        let seat = |voter: u64| (VoterId(voter), DirectoryId(u128::from(voter)));
        let membership = Membership::founded_by((0..founders).map(seat).collect());
        World {
            random,
            now: Instant::default(),
            terms,
            engine: Voters::new(terms, membership.clone()),
            membership,
            sights,
            proposals: Vec::new(),
            told: BTreeSet::new(),
            logs: 100,
            done: BTreeSet::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.engine.step(self.now, event, &mut effects);
        for Effect::Propose { at, change } in effects {
            self.check_proposed(at, &change);
            self.proposals.push((at, change));
        }
    }

    /// What is proposed to the set as it is: lost, come too late, or twice, it may be anything.
    fn check_proposed(&self, at: Revision, change: &Change) {
        let Change::Begin(to) = change else { return };
        if at != self.membership.revision {
            return;
        }
        let Membership { voters, learners, .. } = &self.membership;
        let is_up = |voter: &&VoterId| {
            let directory = voters.get(voter).or_else(|| learners.get(voter)).expect("known");
            self.is_up(**voter, *directory)
        };
        assert!(to.iter().filter(is_up).count() > to.len() / 2, "{self:?} {to:?}");
        let new = to.iter().filter(|voter| !voters.contains_key(voter));
        new.for_each(|voter| assert!(self.told.contains(voter), "{voter:?} has not caught up"));
        if to.len() < voters.len().min(self.terms.voters_max) {
            let seats = voters.values().chain(self.sights.keys());
            let is_kept = |it: &&DirectoryId| {
                self.sights.get(it).is_none_or(|sight| sight.standing != Standing::Dead)
            };
            let seats: BTreeSet<&DirectoryId> = seats.filter(is_kept).collect();
            assert!(seats.len() < voters.len(), "fewer vote without need: {to:?} of {seats:?}");
        }
    }

    fn is_up(&self, voter: VoterId, directory: DirectoryId) -> bool {
        let sight = self.sights.get(&directory);
        sight.is_some_and(|it| it.standing == Standing::Up && it.voter.is_none_or(|it| it == voter))
    }

    fn commit(&mut self, at: usize, keeps: bool) {
        let (revision, change) = self.proposals[at].clone();
        if !keeps {
            self.proposals.remove(at);
        }
        let before = self.membership.clone();
        // Neither set decides without its majority.
        if !self.membership.is_decided_by(|voter, directory| self.is_up(voter, directory)) {
            return;
        }
        let applied = self.membership.apply(revision, &change);
        let kind = match (&change, applied) {
            (_, Err(Refusal::Stale)) => "stale",
            (_, Err(refusal)) => panic!("{refusal:?} to {change:?} of {before:?}"),
            (Change::Learn(..), Ok(())) => "learn",
            (Change::Unlearn(_), Ok(())) => "unlearn",
            (Change::Begin(to), Ok(())) if to.len() > before.voters.len() => "grow",
            (Change::Begin(to), Ok(())) if to.len() < before.voters.len() => "shrink",
            (Change::Begin(_), Ok(())) => "replace",
            (Change::End, Ok(())) => "end",
        };
        self.done.insert(kind);
        check(&self.membership);
        if self.random.percent(90) {
            self.tell(Event::Committed(self.membership.clone()));
        }
    }

    fn any(&mut self) -> DirectoryId {
        let directories: Vec<DirectoryId> = self.sights.keys().copied().collect();
        let at = self.random.between(0, directories.len() as u64 - 1);
        directories[at as usize]
    }

    fn change_node(&mut self) {
        let directory = self.any();
        self.logs += 1;
        let log = VoterId(self.logs);
        let kind = self.random.between(0, 9);
        let sight = self.sights.get_mut(&directory).expect("it was drawn from these");
        match kind {
            0..=2 => sight.standing = Standing::Down,
            3..=5 if sight.standing != Standing::Dead => sight.standing = Standing::Up,
            6 if self.random.percent(30) => sight.standing = Standing::Dead,
            // It comes back, and its log is lost.
            7 => (sight.standing, sight.voter) = (Standing::Up, Some(log)),
            8 => sight.is_draining = self.random.percent(50),
            // A later life has not said yet which log it has.
            9 => sight.voter = sight.voter.filter(|_| self.random.percent(70)),
            _ => (),
        }
        self.tell(Event::Seen(self.sights.clone()));
    }

    fn step(&mut self) {
        self.now = self.now + self.random.millis(0, 200);
        match self.random.between(0, 9) {
            0..=1 => self.change_node(),
            2..=3 => self.catch_up(),
            4..=6 if !self.proposals.is_empty() => {
                let at = self.random.between(0, self.proposals.len() as u64 - 1) as usize;
                let keeps = self.random.percent(20);
                match self.random.percent(20) {
                    true => drop(self.proposals.remove(at)),
                    false => self.commit(at, keeps),
                }
            }
            7 if self.random.percent(20) => {
                self.engine = Voters::new(self.terms, self.membership.clone());
                self.told.clear();
                self.tell(Event::Seen(self.sights.clone()));
            }
            _ => self.tell(Event::Tick),
        }
    }

    /// A learner that is there gets all there is.
    fn catch_up(&mut self) {
        let learners: Vec<VoterId> = self.membership.learners.keys().copied().collect();
        for learner in learners {
            let directory = self.membership.learners[&learner];
            if self.is_up(learner, directory) && self.random.percent(50) {
                self.told.insert(learner);
                self.tell(Event::CaughtUp(learner));
            }
        }
    }

    /// Nothing goes wrong any more, until all is at rest. Returns false if a majority is gone for
    /// good: what it would have to decide stays as it is.
    fn calm_down(&mut self) -> bool {
        let Membership { voters, learners, .. } = &self.membership;
        for (at, (directory, sight)) in self.sights.iter_mut().enumerate() {
            let is_away = sight.standing == Standing::Down && at % 2 == 0;
            // Some never come back.
            sight.standing = match sight.standing {
                Standing::Dead => Standing::Dead,
                _ if is_away && self.membership.voters.len() == 5 => Standing::Down,
                _ => Standing::Up,
            };
            self.logs += 1;
            let own = voters.iter().chain(learners).find(|(_, it)| *it == directory);
            let voter = own.map_or(VoterId(self.logs), |(voter, _)| *voter);
            sight.voter = sight.voter.or(Some(voter));
        }
        if !self.membership.is_decided_by(|voter, directory| self.is_up(voter, directory)) {
            return false;
        }
        self.proposals.clear();
        let (mut quiet, mut changes) = (0, 0);
        while quiet < 40 {
            self.now = self.now + Duration::from_millis(500);
            let revision = self.membership.revision;
            self.tell(Event::Seen(self.sights.clone()));
            self.catch_up();
            for _ in 0..self.proposals.len() {
                self.commit(0, false);
            }
            self.tell(Event::Committed(self.membership.clone()));
            quiet = if revision == self.membership.revision { quiet + 1 } else { 0 };
            changes += usize::from(quiet == 0);
            assert!(changes < 100, "it never ends: {self:?}");
        }
        true
    }

    fn check_calm(&self) {
        let Membership { voters, next, learners, .. } = &self.membership;
        assert!(next.is_none() && learners.is_empty(), "{self:?}");
        let able: Vec<&Sight> =
            self.sights.values().filter(|sight| sight.standing == Standing::Up).collect();
        let fits = able.len().min(self.terms.voters_max);
        let wanted = fits - usize::from(fits.is_multiple_of(2));
        assert!(voters.len() >= wanted, "{self:?}");
        let is_there =
            |(voter, directory): (&VoterId, &DirectoryId)| self.is_up(*voter, *directory);
        if voters.len() == wanted {
            assert!(voters.iter().all(is_there), "{self:?}");
        }
        let draining = |sight: &&&Sight| sight.is_draining;
        let has_choice = able.iter().any(|sight| draining(&sight)) || voters.len() > wanted;
        if !has_choice {
            let zone = |directory: &DirectoryId| &self.sights[directory].zone;
            let zones: BTreeSet<&NodeId> = voters.values().map(zone).collect();
            let all: BTreeSet<&NodeId> = able.iter().map(|sight| &sight.zone).collect();
            assert_eq!(zones.len(), all.len().min(wanted), "{self:?}");
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?} {:?}", self.terms, self.membership, self.sights, self.proposals)
    }
}

fn check(membership: &Membership) {
    let Membership { voters, next, learners, .. } = membership;
    assert!(is_fit(voters) && next.as_ref().is_none_or(is_fit), "{membership:?}");
    assert!(voters.len() <= VOTERS_MAX);
    let learning: BTreeSet<&DirectoryId> = learners.values().collect();
    assert_eq!(learning.len(), learners.len(), "{membership:?}");
    assert!(voters.keys().all(|voter| !learners.contains_key(voter)), "{membership:?}");
}

#[test]
fn no_sequence_of_events_leaves_the_set_unfit() {
    let (mut done, mut calm) = (BTreeSet::<&str>::new(), 0);
    for seed in 0..700 {
        let mut world = World::new(seed);
        world.tell(Event::Seen(world.sights.clone()));
        for _ in 0..200 {
            world.step();
        }
        if world.calm_down() {
            world.check_calm();
            calm += 1;
        }
        done.extend(world.done.iter());
    }
    // The test is worth what it has come across.
    assert!(done.len() == 7 && calm > 150, "{done:?} {calm}");
}
