//! The hard cases, by hand.

use super::*;

pub(super) const SHAPE: Shape = Shape { partitions: 256, copies: 2, wire: 1 };

fn directory(at: u128) -> DirectoryId {
    DirectoryId(at)
}

fn name(at: u128) -> NodeId {
    NodeId::new(&format!("n{at}"))
}

pub(super) fn terms(at: u128, bootstrap: Bootstrap) -> Terms {
    Terms {
        directory: directory(at),
        name: name(at),
        shape: SHAPE,
        bootstrap,
        has_seeds: false,
        patience: Duration::from_secs(5),
        send_again_after: Duration::from_secs(1),
    }
}

/// Nodes 1, 2, .. whose messages and writes are done by hand.
struct Case {
    now: Instant,
    terms: Vec<Terms>,
    nodes: Vec<Formation>,
    disks: Vec<Kept>,
    mail: Vec<(DirectoryId, DirectoryId, Message)>,
    /// Nodes that do not answer.
    away: BTreeSet<usize>,
    said: Vec<(u128, Effect)>,
    drawn: u128,
}

impl Case {
    fn new(bootstraps: &[Bootstrap]) -> Case {
        let terms = bootstraps.iter().zip(1..);
        let terms: Vec<Terms> = terms.map(|(it, at)| self::terms(at, it.clone())).collect();
        let start = |it: &Terms| Formation::new(it.clone(), Kept::default()).unwrap().0;
        Case {
            now: Instant::default(),
            nodes: terms.iter().map(start).collect(),
            disks: vec![Kept::default(); terms.len()],
            terms,
            mail: Vec::new(),
            away: BTreeSet::new(),
            said: Vec::new(),
            drawn: 100,
        }
    }

    fn expect(nodes: usize, count: usize) -> Case {
        Case::new(&vec![Bootstrap::Expect(count); nodes])
    }

    fn tell(&mut self, at: usize, event: Event) {
        let mut effects = Vec::new();
        self.nodes[at - 1].step(self.now, event, &mut effects);
        self.perform(at, effects);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let this = directory(at as u128);
        for effect in effects {
            match effect {
                Effect::Persist(kept) => {
                    self.disks[at - 1] = kept;
                    self.tell(at, Event::Persisted);
                }
                Effect::Send { to, message } => self.mail.push((this, to, message)),
                effect => self.said.push((at as u128, effect)),
            }
        }
    }

    /// Who sees each other.
    fn see(&mut self, nodes: &[usize]) {
        for at in nodes {
            let others = nodes.iter().filter(|other| *other != at);
            let peer = |other: &usize| {
                let grid = self.nodes[other - 1].grid();
                (directory(*other as u128), Peer { name: name(*other as u128), grid })
            };
            let visible = others.map(peer).collect();
            self.tell(*at, Event::Visible(visible));
        }
    }

    fn tick(&mut self, at: usize) {
        self.drawn += 1;
        self.tell(at, Event::Tick { fresh: GridId(self.drawn) });
    }

    /// All messages arrive, but those to nodes that are away.
    fn deliver(&mut self) {
        while !self.mail.is_empty() {
            let (from, to, message) = self.mail.remove(0);
            let at = to.0 as usize;
            if !self.away.contains(&at) && !self.away.contains(&(from.0 as usize)) {
                self.tell(at, Event::Heard { from, message });
            }
        }
    }

    /// Everybody that is there looks around, for so long.
    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            for at in 1..=self.nodes.len() {
                if !self.away.contains(&at) {
                    self.tick(at);
                }
            }
            self.deliver();
        }
    }

    /// A new process of a directory, with what is on its disk.
    fn restart(&mut self, at: usize) {
        let (terms, kept) = (self.terms[at - 1].clone(), self.disks[at - 1].clone());
        let (formation, effects) = Formation::new(terms, kept).unwrap();
        self.nodes[at - 1] = formation;
        self.perform(at, effects);
    }

    fn grids(&self) -> Vec<Option<GridId>> {
        self.nodes.iter().map(Formation::grid).collect()
    }

    fn one_grid(&self) -> GridId {
        let grid = self.grids()[0].expect("there is one");
        assert!(self.grids().iter().all(|it| *it == Some(grid)), "{:?}", self.grids());
        grid
    }

    fn bound_to(&self, at: usize) -> Option<u128> {
        self.disks[at - 1].bound.as_ref().map(|bound| bound.by.0)
    }

    fn has_said(&self, at: u128, effect: &Effect) -> bool {
        self.said.contains(&(at, effect.clone()))
    }
}

#[test]
fn as_many_as_are_expected_form_a_grid_and_others_join() {
    let mut case = Case::expect(4, 3);
    case.see(&[1, 2]);
    case.run(20);
    assert_eq!(case.grids(), [None; 4]);
    case.see(&[1, 2, 3, 4]);
    case.run(3);
    assert!(case.nodes[3].grid().is_none());
    case.see(&[1, 2, 3, 4]);
    case.run(3);
    let grid = case.one_grid();
    let founded = case.disks[2].bound.clone();
    assert_eq!(founded.as_ref().map(|it| it.members.len()), Some(3));
    assert!(case.has_said(3, &Effect::InGrid { grid, founded }));
    assert!(case.has_said(4, &Effect::InGrid { grid, founded: None }));
}

#[test]
fn two_formations_at_once() {
    let mut case = Case::expect(4, 3);
    // 1 begins with 2 and 3, and 2, which sees another three, with 3 and 4.
    case.see(&[2, 3, 4]);
    case.see(&[1, 2, 3]);
    case.now = case.now + Duration::from_secs(30);
    let peer = |at| (directory(at), Peer { name: name(at), grid: None });
    case.tell(2, Event::Visible([peer(3), peer(4)].into()));
    for at in [1, 2] {
        case.tick(at);
        case.now = case.now + Duration::from_secs(1);
        case.tick(at);
    }
    assert_eq!((case.bound_to(1), case.bound_to(2)), (Some(1), Some(2)));
    // 3 hears the second first.
    case.mail.reverse();
    case.deliver();
    assert_eq!((case.bound_to(3), case.bound_to(4)), (Some(2), Some(2)));
    // Only one who has all can decide. All of 2's have accepted: it wins, and 1 learns of it.
    case.see(&[1, 2, 3, 4]);
    case.run(3);
    case.see(&[1, 2, 3, 4]);
    case.run(3);
    assert_eq!(case.disks[0].withdrawn.len(), 1);
    case.one_grid();
}

#[test]
fn of_two_initialisers_that_refuse_each_other_the_larger_gives_way() {
    let mut case = Case::expect(3, 3);
    case.see(&[1, 2, 3]);
    case.now = case.now + Duration::from_secs(30);
    for at in [3, 1] {
        case.tick(at);
    }
    case.now = case.now + Duration::from_secs(30);
    for at in [3, 1] {
        case.tick(at);
    }
    assert_eq!((case.bound_to(1), case.bound_to(3)), (Some(1), Some(3)));
    case.run(3);
    assert_eq!(case.disks[2].withdrawn.len(), 1);
    case.one_grid();
    assert_eq!(case.bound_to(3), Some(1));
}

#[test]
fn a_new_grid_where_one_is_visible() {
    let mut case = Case::new(&[
        Bootstrap::Expect(2),
        Bootstrap::Expect(2),
        Bootstrap::Single,
        Bootstrap::Expect(2),
        Bootstrap::Join,
    ]);
    case.see(&[1, 2]);
    case.run(5);
    let grid = case.nodes[0].grid().unwrap();
    case.see(&[1, 3]);
    case.run(2);
    assert!(case.has_said(3, &Effect::Stop(Refusal::GridVisible(grid))));
    // It would have found a second: it joins. So does one that expects nothing.
    case.see(&[2, 4, 5]);
    case.run(2);
    assert_eq!(case.grids(), [Some(grid), Some(grid), None, Some(grid), Some(grid)]);
    // One who begins anyway is refused by whoever sees it.
    let members = [(directory(9), name(9)), (directory(5), name(5))].into();
    let proposal = Proposal { grid: GridId(9), by: directory(9), members, shape: SHAPE };
    let message = Message::Propose(proposal);
    case.tell(5, Event::Heard { from: directory(9), message });
    let refusal = Message::Refused(GridId(9), Refusal::ForeignGrid(grid));
    assert_eq!(case.mail.pop(), Some((directory(5), directory(9), refusal)));
}

#[test]
fn an_initialiser_that_sees_a_grid_withdraws() {
    let mut case = Case::expect(4, 2);
    case.away = [2].into();
    case.see(&[1, 2]);
    case.run(3);
    assert_eq!(case.bound_to(1), Some(1));
    case.see(&[3, 4]);
    case.run(3);
    assert!(case.nodes[2].grid().is_some());
    case.see(&[1, 3]);
    case.run(2);
    assert_eq!(case.nodes[0].grid(), case.nodes[2].grid());
    assert_eq!(case.disks[0].withdrawn.len(), 1);
}

#[test]
fn an_initialiser_withdraws() {
    let mut case = Case::expect(4, 3);
    case.away = [3].into();
    case.see(&[1, 2, 3]);
    case.run(3);
    assert_eq!((case.bound_to(1), case.bound_to(2)), (Some(1), Some(1)));
    let first = case.disks[0].bound.clone().unwrap().grid;
    // Restarts change nothing.
    case.restart(1);
    case.restart(2);
    // 3 never answers. When 4 is there, there are three without it.
    case.see(&[1, 2, 4]);
    case.run(4);
    assert_eq!(case.bound_to(2), Some(1));
    case.run(10);
    assert!(case.disks[0].withdrawn.contains(&first));
    let grid = case.nodes[0].grid().unwrap();
    assert_eq!(case.grids(), [Some(grid), Some(grid), None, Some(grid)]);
    // What it said then comes now.
    let members = (1..=3).map(|at| (directory(at), name(at))).collect();
    let late = Proposal { grid: first, by: directory(1), members, shape: SHAPE };
    case.away.clear();
    case.tell(3, Event::Heard { from: directory(1), message: Message::Propose(late) });
    assert_eq!(case.bound_to(3), Some(1));
    case.see(&[1, 2, 3, 4]);
    case.run(3);
    assert_eq!(case.one_grid(), grid);
}

#[test]
fn after_many_attempts_there_are_others_seldom() {
    let mut case = Case::expect(2, 2);
    case.disks[0].withdrawn = (1000..2000).map(GridId).collect();
    case.restart(1);
    case.see(&[1, 2]);
    // The other is no more patient than it must be: it is not there.
    case.away.insert(2);
    case.run(3599);
    assert_eq!(case.disks[0].bound, None);
    case.away.clear();
    case.run(10);
    assert!(case.disks[0].grid.is_some() && case.disks[0].grid == case.disks[1].grid);
}

#[test]
fn what_was_withdrawn_before_frees_nobody_now() {
    let mut node = Formation::new(terms(2, Bootstrap::Join), Kept::default()).unwrap().0;
    let members = [(directory(1), name(1)), (directory(2), name(2))].into();
    let proposal = Proposal { grid: GridId(2), by: directory(1), members, shape: SHAPE };
    let from = directory(1);
    let heard = |message| Event::Heard { from, message };
    let mut effects = Vec::new();
    node.step(Instant::default(), heard(Message::Propose(proposal)), &mut effects);
    node.step(Instant::default(), Event::Persisted, &mut effects);
    effects.clear();
    node.step(Instant::default(), heard(Message::Withdrawn(GridId(1))), &mut effects);
    assert_eq!(effects, []);
    node.step(Instant::default(), heard(Message::Withdrawn(GridId(2))), &mut effects);
    assert!(matches!(effects[..], [Effect::Persist(_)]), "{effects:?}");
}

#[test]
fn one_who_has_accepted_waits_for_its_initialiser() {
    let mut case = Case::expect(5, 3);
    case.see(&[1, 2, 3]);
    case.tick(1);
    case.now = case.now + Duration::from_secs(1);
    case.tick(1);
    case.deliver();
    // 1 has decided, and nobody but 2 has heard of it.
    assert!(case.disks[0].grid.is_some());
    case.away = [1, 2].into();
    let (accepted, grid) = (case.disks[1].bound.clone(), case.disks[0].grid);
    case.disks[2] = Kept { bound: accepted, ..Kept::default() };
    case.restart(3);
    // 3 sees others with whom it could form a grid, and does not.
    case.see(&[3, 4, 5]);
    case.run(30);
    assert_eq!(case.nodes[2].grid(), None);
    case.away = [1].into();
    case.run(2);
    assert_eq!(case.nodes[2].grid(), grid);
}

#[test]
fn a_restored_data_directory() {
    let mut case = Case::expect(3, 3);
    case.see(&[1, 2, 3]);
    let before = case.disks[0].clone();
    case.run(3);
    let grid = case.one_grid();
    // As it was in the grid: it forms no other, though it sees nobody.
    case.terms[0].bootstrap = Bootstrap::Single;
    case.restart(1);
    case.see(&[1]);
    case.run(20);
    assert_eq!(case.nodes[0].grid(), Some(grid));
    // As it was before: it does not know what it has begun. Once it hears of it, it does nothing.
    case.terms[0].bootstrap = Bootstrap::Expect(3);
    case.disks[0] = before.clone();
    case.disks[1].grid = None;
    case.restart(1);
    case.restart(2);
    case.run(3);
    assert!(case.has_said(1, &Effect::Stop(Refusal::Restored(grid))));
    // As it was before it had accepted: it sees the grid, and joins it.
    case.disks[2] = before;
    case.disks[1].grid = Some(grid);
    case.restart(2);
    case.restart(3);
    case.see(&[2, 3]);
    case.run(2);
    assert_eq!(case.nodes[2].grid(), Some(grid));
}

#[test]
fn a_grid_of_one() {
    let mut case = Case::new(&[Bootstrap::Single]);
    case.run(5);
    assert_eq!(case.grids(), [None], "it has not looked yet");
    case.see(&[1]);
    case.one_grid();
    let seeded = Terms { has_seeds: true, ..terms(1, Bootstrap::Single) };
    assert!(matches!(Formation::new(seeded, Kept::default()), Err(Refusal::SeedsNamed)));
}

#[test]
fn nodes_of_the_names_that_are_wanted_form_a_grid() {
    let names = Bootstrap::Names([1, 3].map(name).into());
    let mut case = Case::new(&[names.clone(), Bootstrap::Join, names]);
    case.see(&[1, 2, 3]);
    case.run(3);
    case.see(&[1, 2, 3]);
    case.run(3);
    case.one_grid();
    let members = case.disks[0].bound.clone().unwrap().members;
    assert_eq!(members.into_keys().collect::<Vec<_>>(), [directory(1), directory(3)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut case = Case::expect(3, 2);
    case.terms[1].shape.partitions = 64;
    case.restart(2);
    case.see(&[1, 2]);
    case.run(3);
    let why = Refusal::Partitions(64);
    assert!(case.has_said(1, &Effect::Report { from: directory(2), why }));
    assert_eq!(case.grids(), [None; 3]);
    // Three are not two.
    case.terms[1] = terms(2, Bootstrap::Expect(3));
    case.restart(2);
    case.see(&[1, 2]);
    case.run(10);
    let why = Refusal::OtherMembers;
    assert!(case.has_said(1, &Effect::Report { from: directory(2), why }));
    // Who would join is told, too.
    case.terms[1].bootstrap = Bootstrap::Expect(2);
    case.restart(2);
    case.see(&[1, 2]);
    case.run(10);
    let grid = case.nodes[0].grid().unwrap();
    case.terms[2].shape.wire = 2;
    case.restart(3);
    case.see(&[1, 3]);
    case.run(2);
    assert!(case.has_said(3, &Effect::Report { from: directory(1), why: Refusal::Wire(1) }));
    // And who says something else than it should.
    let foreign = Some(GridId(7));
    assert_eq!(case.nodes[0].admit(foreign, &SHAPE), Err(Refusal::ForeignGrid(grid)));
    assert_eq!(case.nodes[0].admit(Some(grid), &SHAPE), Ok(()));
    let copies = Shape { copies: 3, ..SHAPE };
    assert_eq!(case.nodes[0].admit(Some(grid), &copies), Err(Refusal::Copies(2)));
}

#[test]
fn nothing_is_said_before_it_is_written() {
    let mut node = Formation::new(terms(2, Bootstrap::Expect(2)), Kept::default()).unwrap().0;
    let members: BTreeMap<_, _> = (1..=2).map(|at| (directory(at), name(at))).collect();
    let propose = |grid| {
        let (by, members) = (directory(1), members.clone());
        let message = Message::Propose(Proposal { grid, by, members, shape: SHAPE });
        Event::Heard { from: directory(1), message }
    };
    let mut effects = Vec::new();
    node.step(Instant::default(), propose(GridId(1)), &mut effects);
    assert!(matches!(effects[..], [Effect::Persist(_)]), "{effects:?}");
    effects.clear();
    // Neither this nor another is accepted meanwhile.
    node.step(Instant::default(), propose(GridId(1)), &mut effects);
    node.step(Instant::default(), propose(GridId(2)), &mut effects);
    assert_eq!(effects, []);
    node.step(Instant::default(), Event::Persisted, &mut effects);
    let said = Effect::Send { to: directory(1), message: Message::Accepted(GridId(1)) };
    assert_eq!(effects[0], said);
}

#[test]
fn two_grids_are_not_chosen_from() {
    let mut case = Case::expect(1, 2);
    let peer = |at, grid| (directory(at), Peer { name: name(at), grid: Some(GridId(grid)) });
    case.tell(1, Event::Visible([peer(2, 7), peer(3, 8)].into()));
    case.run(5);
    let why = Refusal::TwoGridsVisible(GridId(7), GridId(8));
    let report = Effect::Report { from: directory(1), why };
    assert_eq!(case.said, [(1, report)]);
    assert_eq!(case.grids(), [None]);
    let again_at = case.now + Duration::from_secs(1);
    assert_eq!(case.nodes[0].next_deadline(), Some(again_at));
}

#[test]
fn no_word_of_others_stops_a_node_that_is_in_a_grid_or_moves_it_into_one() {
    let mut case = Case::expect(3, 2);
    case.see(&[1, 2]);
    case.run(20);
    let (own, foreign) = (case.grids()[0].unwrap(), GridId(7));
    let heard = |message| Event::Heard { from: directory(9), message };
    case.tell(1, heard(Message::Ask { grid: foreign, by: directory(1) }));
    case.tell(3, heard(Message::Welcome(foreign)));
    let restored = Refusal::Restored(foreign);
    assert!(case.has_said(1, &Effect::Report { from: directory(9), why: restored.clone() }));
    assert!(!case.has_said(1, &Effect::Stop(restored)));
    assert_eq!(case.grids(), [Some(own), Some(own), None]);
}
