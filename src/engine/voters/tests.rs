//! Cases by hand.

use super::*;

const TERMS: Terms = Terms {
    voters_max: 3,
    replace_after: Duration::from_secs(30),
    propose_again_after: Duration::from_secs(1),
};

struct Case {
    now: Instant,
    engine: Voters,
    membership: Membership,
    sights: BTreeMap<DirectoryId, Sight>,
}

fn sight(zone: &str, voter: u64) -> Sight {
    Sight {
        standing: Standing::Up,
        zone: NodeId::new(zone),
        is_witness: false,
        is_draining: false,
        voter: Some(VoterId(voter)),
    }
}

impl Case {
    /// Nodes 1, 2, .. in these zones, with logs 1, 2, .., of which the first few vote.
    fn new(terms: Terms, zones: &[&str], voters: u64) -> Case {
        let sights = zones.iter().zip(1..);
        let sights = sights.map(|(zone, at)| (DirectoryId(at), sight(zone, at as u64))).collect();
        let seat = |at: u64| (VoterId(at), DirectoryId(u128::from(at)));
        let membership = Membership::founded_by((1..=voters).map(seat).collect());
        let engine = Voters::new(terms, membership.clone());
        Case { now: Instant::default(), engine, membership, sights }
    }

    fn sight(&mut self, at: u128) -> &mut Sight {
        self.sights.get_mut(&DirectoryId(at)).unwrap()
    }

    fn tell(&mut self, event: Event) -> Option<Change> {
        let mut effects = Vec::new();
        self.engine.step(self.now, event, &mut effects);
        effects.pop().map(|Effect::Propose { change, .. }| change)
    }

    fn look(&mut self) -> Option<Change> {
        self.tell(Event::Seen(self.sights.clone()))
    }

    /// It is committed. Returns what is proposed then.
    fn commit(&mut self, change: &Change) -> Option<Change> {
        self.membership.apply(self.membership.revision, change).unwrap();
        self.tell(Event::Committed(self.membership.clone()))
    }

    /// All that is wanted is committed, each learner catches up at once.
    fn settle(&mut self) -> Vec<u64> {
        self.pass(1);
        let mut next = self.look();
        while let Some(change) = next {
            next = self.commit(&change);
            if let Change::Learn(voter, _) = change {
                next = self.tell(Event::CaughtUp(voter)).or(next);
            }
        }
        self.membership.voters.keys().map(|voter| voter.0).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn begin(voters: &[u64]) -> Option<Change> {
    Some(Change::Begin(voters.iter().map(|voter| VoterId(*voter)).collect()))
}

#[test]
fn a_voter_that_is_gone_for_long_is_replaced_by_one_that_has_caught_up() {
    let mut case = Case::new(TERMS, &["z", "z", "z", "z"], 3);
    assert_eq!(case.look(), None);
    case.sight(2).standing = Standing::Down;
    assert_eq!(case.look(), None);
    case.pass(29);
    assert_eq!(case.look(), None);
    let since = Instant::default() + TERMS.replace_after;
    assert_eq!(case.engine.next_deadline(), Some(since));
    case.pass(1);
    let learn = Change::Learn(VoterId(4), DirectoryId(4));
    assert_eq!(case.look(), Some(learn.clone()));
    // What was lost is said again; nothing else is before its outcome is known.
    assert_eq!(case.look(), None);
    case.pass(1);
    assert_eq!(case.look(), Some(learn.clone()));
    assert_eq!(case.commit(&learn), None);
    let change = case.tell(Event::CaughtUp(VoterId(4))).unwrap();
    assert_eq!(Some(&change), begin(&[1, 3, 4]).as_ref());
    let end = case.commit(&change).unwrap();
    assert_eq!(end, Change::End);
    assert_eq!(case.commit(&end), None);
    // It comes back, and is no voter any more.
    case.sight(2).standing = Standing::Up;
    assert_eq!(case.look(), None);
}

#[test]
fn a_voter_that_comes_back_in_time_stays() {
    let mut case = Case::new(TERMS, &["z", "z", "z", "z"], 3);
    case.sight(2).standing = Standing::Down;
    case.look();
    case.pass(29);
    case.sight(2).standing = Standing::Up;
    case.look();
    case.sight(2).standing = Standing::Down;
    case.pass(29);
    assert_eq!(case.look(), None);
}

#[test]
fn a_voter_that_lost_its_disk_is_a_new_learner() {
    let mut case = Case::new(TERMS, &["z", "z", "z"], 3);
    case.sight(3).voter = Some(VoterId(9));
    assert_eq!(case.look(), Some(Change::Learn(VoterId(9), DirectoryId(3))));
    assert_eq!(case.settle(), [1, 2, 9]);
    // By its directory, nobody votes twice.
    let both = Change::Begin([1, 2, 9].into_iter().map(VoterId).collect());
    let now = case.membership.revision;
    assert_eq!(case.membership.apply(now, &both), Err(Refusal::AlreadySo));
}

#[test]
fn a_log_that_is_lost_fills_a_place_only_beside_other_directories() {
    let mut case = Case::new(TERMS, &["z", "z", "z"], 3);
    case.sight(2).voter = Some(VoterId(9));
    *case.sight(3) = Sight { standing: Standing::Down, voter: Some(VoterId(8)), ..sight("z", 8) };
    assert_eq!(case.settle(), [1, 3, 9]);
    case.sight(3).standing = Standing::Up;
    assert_eq!(case.settle(), [1, 8, 9]);
}

#[test]
fn a_leader_ends_what_another_has_begun() {
    let mut case = Case::new(TERMS, &["z", "z", "z"], 1);
    case.settle();
    let back = Change::Begin([VoterId(1)].into());
    case.commit(&back);
    case.engine = Voters::new(TERMS, case.membership.clone());
    assert_eq!(case.look(), Some(Change::End));
    assert_eq!(case.settle(), [1, 2, 3]);
}

#[test]
fn voters_are_spread_over_zones() {
    let five = Terms { voters_max: 5, ..TERMS };
    assert_eq!(Case::new(TERMS, &["a", "a", "a", "b", "c"], 3).settle(), [1, 4, 5]);
    assert_eq!(Case::new(five, &["a", "a", "a", "a", "b", "b", "c"], 3).settle(), [1, 2, 5, 6, 7]);
    assert_eq!(Case::new(five, &["a", "a", "b", "b"], 1).settle(), [1, 2, 3]);
    assert_eq!(Case::new(TERMS, &["a", "b"], 1).settle(), [1]);
}

#[test]
fn a_witness_votes() {
    let mut case = Case::new(TERMS, &["z", "z", "z", "z"], 3);
    case.sight(4).is_witness = true;
    assert_eq!(case.settle(), [1, 2, 4]);
}

#[test]
fn a_node_that_is_to_be_stopped_gives_its_vote_away() {
    let mut case = Case::new(TERMS, &["a", "b", "c", "c"], 3);
    case.sight(1).is_draining = true;
    assert_eq!(case.settle(), [2, 3, 4]);
}

#[test]
fn fewer_vote_only_when_nobody_else_could() {
    let mut case = Case::new(TERMS, &["z", "z", "z"], 3);
    case.sight(2).standing = Standing::Down;
    case.look();
    case.pass(60);
    assert_eq!(case.settle(), [1, 2, 3], "it may come back");
    case.sight(2).standing = Standing::Dead;
    assert_eq!(case.settle(), [1]);
}

#[test]
fn no_change_leaves_fewer_than_a_majority_to_be_reached() {
    let mut case = Case::new(TERMS, &["a", "b", "c", "d"], 3);
    // The leader hears one of three: nothing that it proposes is decided.
    case.sight(2).standing = Standing::Down;
    case.sight(3).standing = Standing::Down;
    case.sight(1).is_draining = true;
    case.look();
    case.tell(Event::CaughtUp(VoterId(4)));
    let learn = Change::Learn(VoterId(4), DirectoryId(4));
    case.pass(2);
    assert_eq!(case.look(), Some(learn.clone()));
    case.commit(&learn);
    // With 2, 3 and 4 there would be one of three.
    assert_eq!(case.tell(Event::CaughtUp(VoterId(4))), None);
}

#[test]
fn a_number_that_two_directories_have_votes_once() {
    let mut case = Case::new(Terms { voters_max: 5, ..TERMS }, &["a", "b", "c", "d", "e"], 3);
    case.sight(5).voter = Some(VoterId(4));
    assert_eq!(case.settle(), [1, 2, 3]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let seat = |at: u64| (VoterId(at), DirectoryId(u128::from(at)));
    let mut membership = Membership::founded_by((1..=3).map(seat).collect());
    let mut apply = |change: Change| membership.apply(membership.revision, &change);
    let set = |voters: &[u64]| Change::Begin(voters.iter().map(|voter| VoterId(*voter)).collect());
    assert_eq!(apply(set(&[1, 2])), Err(Refusal::Even));
    assert_eq!(apply(set(&[1, 2, 9])), Err(Refusal::Unknown));
    assert_eq!(apply(Change::End), Err(Refusal::NotOpen));
    assert_eq!(apply(Change::Learn(VoterId(1), DirectoryId(7))), Err(Refusal::Taken));
    assert_eq!(apply(Change::Learn(VoterId(9), DirectoryId(3))), Ok(()));
    assert_eq!(apply(Change::Learn(VoterId(8), DirectoryId(3))), Err(Refusal::Taken));
    assert_eq!(apply(set(&[1, 3, 9])), Err(Refusal::Taken));
    assert_eq!(apply(set(&[1, 2, 9])), Ok(()));
    assert_eq!(apply(set(&[1])), Err(Refusal::Open));
    assert_eq!(apply(Change::Unlearn(VoterId(9))), Err(Refusal::Open));
    assert_eq!(apply(Change::End), Ok(()));
    assert!(membership.learners.is_empty());
    assert_eq!(membership.apply(Revision(0), &set(&[1])), Err(Refusal::Stale));
}
