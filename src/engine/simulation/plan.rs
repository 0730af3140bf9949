//! What a seed draws: the grid's shape, its times, and what goes wrong.

use std::time::Duration;

use super::asynchronous::Asynchronous;
use super::others::Winner;
use super::random::Random;
use crate::engine::controller::Delays;
use crate::engine::lease::Terms;
use crate::engine::replica::{Chunks, Config, Durability, Scope, Timing, UnderReplicated};
use crate::engine::suspicion::Patience;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub nodes: usize,
    /// Over so many zones they are spread.
    pub zones: usize,
    /// A node that holds nothing.
    pub witness: Option<usize>,
    /// Of these, how many come in place of others.
    pub spares: usize,
    pub voters: usize,
    /// Of crashes, after how many another comes, if there is one.
    pub replace_percent: u64,
    /// So many vote once they are there.
    pub voters_max: usize,
    pub voter_replace_after: Duration,
    /// Of restarts, how many have lost their log.
    pub log_loss_percent: u64,
    /// Of voters that could have an entry, how many do not have it yet when it is decided.
    pub lag_percent: u64,
    /// Of terms of the log's leaders, how many want another number of voters.
    pub voters_percent: u64,
    pub partitions: u16,
    pub copies: usize,
    pub clients: usize,
    /// How long the most patient of their asks waits at a node before it tries again.
    pub retry_max: Duration,
    pub keys: u8,
    pub terms: Terms,
    pub patience: Patience,
    pub pause_max: Duration,
    pub replica: Config,
    /// How often an entity leaves the memory of a partition, if ever.
    pub evict_every: Option<Duration>,
    pub durability: Durability,
    /// Which objects are answered before the other copies have what they answer.
    pub asynchronous: Asynchronous,
    /// Whether anything may be lost: more crashes than any promise covers.
    pub may_lose: bool,
    pub delays: Delays,
    pub delay_max: Duration,
    pub loss_percent: u64,
    pub twice_percent: u64,
    /// News of the table that is lost besides.
    pub news_loss_percent: u64,
    /// Entries that come into the log once more, late.
    pub late_commit_percent: u64,
    pub fault_every: Duration,
    pub faults_until: Duration,
    /// Once healed.
    pub rest_within: Duration,
    pub crash_percent: u64,
    /// Of primaries that have just removed a copy.
    pub crash_at_shrink_percent: u64,
    /// Of primaries that are replaced and live, how many are to reign again soon.
    pub move_back_percent: u64,
    pub pause_percent: u64,
    pub operator_percent: u64,
    /// Of what goes wrong with stores.
    pub disk_percent: u64,
    /// Of times at which a store may begin to refuse some rows, how many it does.
    pub refuse_percent: u64,
    /// Who wins, if others write into the shared store.
    pub others: Option<Winner>,
    /// Of all that ends at once.
    pub disaster_percent: u64,
    pub isolate_percent: u64,
    pub cut_percent: u64,
    /// New leaders without need, at each look.
    pub whim_percent: u64,
    /// What clocks are drawn from, and by how much they run faster or slower, in millionths.
    pub clocks: u64,
    pub drift: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Plan {
        let nodes = random.between(3, 6) as usize;
        let is_calm = random.percent(8);
        let percent =
            |random: &mut Random, most: u64| if is_calm { 0 } else { random.between(0, most) };
        let timing = Timing {
            replica_timeout: random.millis(300, 600),
            heartbeat: Duration::from_millis(100),
            send_again_after: random.millis(60, 200),
            send_copy_again_after: random.millis(200, 500),
            propose_again_after: random.millis(100, 400),
            join_patience: random.millis(400, 2000),
            store_patience: random.millis(800, 5000),
            rejoin_after: random.millis(0, 400),
            window_max: random.pick(&[8, 64, 1000]) as usize,
        };
        let delays = Delays {
            readmit_after: random.millis(100, 500),
            protect_after: random.millis(300, 2000),
            balance_after: random.millis(500, 3000),
            moves_per_node_max: random.between(1, 4) as usize,
            hand_over_max: random.millis(500, 2000),
            distrust_for: Duration::from_secs(5),
        };
        let kept_max = random.pick(&[0, 4, 64, 1000]) as usize;
        let scope = random.pick(&[Scope::Shared, Scope::Replica]);
        let writes_through = random.percent(50);
        let may_lose = !writes_through && random.percent(30);
        let mut cutting = Random::new(random.clone().next() ^ 0x6368_756e_6b73);
        let chunks = Chunks {
            rows_max: cutting.between(1, 4) as usize,
            window: cutting.between(1, 4) as usize,
            pace: cutting.pick(&[0, 1, 5, 20]).into_millis(),
            tail_min: cutting.pick(&[4, 16, 64]) as usize,
        };
        let replica = Config { timing, kept_max, lag_max: 0, scope, chunks };
        let mut losing = Random::new(random.clone().next() ^ 0x6c6f_7369_6e67);
        let under_replicated = losing.pick(&[
            UnderReplicated::WriteThrough,
            UnderReplicated::WriteThrough,
            UnderReplicated::WriteThrough,
            UnderReplicated::Degrade,
            UnderReplicated::Degrade,
            UnderReplicated::Refuse,
        ]);
        let durability = Durability { writes_through, under_replicated };
        // Apart from all that is drawn besides.
        let mut apart = Random::new(random.clone().next() ^ 0x706c_616e);
        let mut plan = Plan {
            nodes,
            zones: losing.pick(&[1, 1, 2, 3]) as usize,
            witness: None,
            voters: 3,
            voters_max: apart.pick(&[3, 5]) as usize,
            voter_replace_after: apart.millis(300, 2500),
            log_loss_percent: percent(&mut apart, 60),
            lag_percent: percent(&mut apart, 90),
            voters_percent: percent(&mut apart, 60),
            replace_percent: percent(&mut apart, 80),
            spares: match apart.percent(40) {
                true => apart.between(0, (nodes as u64 - 3).min(2)) as usize,
                false => 0,
            },
            partitions: random.between(1, 3) as u16,
            copies: random.between(2, 3) as usize,
            clients: random.between(2, 8) as usize,
            retry_max: apart.pick(&[600, 600, 3000]).into_millis(),
            keys: random.between(1, 14) as u8,
            terms: terms(random.millis(300, 2500)),
            patience: patience(random.millis(300, 900)),
            pause_max: Duration::from_millis(200),
            replica,
            others: None,
            evict_every: apart.percent(60).then(|| apart.millis(20, 400)),
            durability,
            asynchronous: Asynchronous::default(),
            may_lose,
            delays,
            delay_max: random.pick(&[2, 10, 40]).into_millis(),
            loss_percent: percent(random, 20),
            twice_percent: percent(random, 20),
            news_loss_percent: percent(random, 90),
            late_commit_percent: percent(random, 50),
            fault_every: random.millis(150, 900),
            faults_until: random.millis(3000, 8000),
            rest_within: Duration::from_secs(30),
            crash_percent: percent(random, 60),
            crash_at_shrink_percent: percent(random, 60),
            move_back_percent: percent(&mut apart, 90),
            pause_percent: percent(random, 50),
            operator_percent: percent(random, 70),
            disk_percent: percent(random, 40),
            refuse_percent: match apart.percent(40) {
                true => percent(&mut apart, 90),
                false => 0,
            },
            disaster_percent: percent(random, if may_lose { 60 } else { 15 }),
            isolate_percent: percent(random, 60),
            cut_percent: percent(random, 60),
            whim_percent: 2,
            clocks: random.next(),
            drift: 0,
        };
        plan.asynchronous = Asynchronous::draw(random, plan.keys);
        plan.replica.lag_max = plan.asynchronous.lag_max;
        // Some have bad clocks, and know it.
        if random.percent(25) {
            plan.terms.margin = plan.terms.lease / 5;
        }
        let data = plan.nodes - plan.spares;
        // As many are left as there are copies.
        if data > plan.copies && losing.percent(30) {
            plan.witness = Some(losing.between(0, data as u64 - 1) as usize);
        }
        let others = apart.percent(40).then(|| apart.pick(&[Winner::Memory, Winner::Store]));
        // What is lost with all memory is told by versions, and so are theirs.
        plan.others = others.filter(|_| !is_calm && scope == Scope::Shared && !may_lose);
        if plan.others.is_some() {
            // What of these is lost is told by versions, and others' are of any epoch.
            (plan.asynchronous, plan.replica.lag_max) = (Asynchronous::default(), 0);
        }
        plan.drift = plan.terms.drift_max();
        // Half of them take each copy away that its primary complains of, whatever others say.
        if plan.clocks.is_multiple_of(2) {
            plan.patience.lately = Duration::ZERO;
        }
        plan
    }
}

/// Leases of this length, between good clocks.
pub(super) fn terms(lease: Duration) -> Terms {
    Terms { lease, margin: lease / 100 + Duration::from_millis(20) }
}

/// Who is silent for so long is suspected; the rest follows.
pub(super) fn patience(suspect_after: Duration) -> Patience {
    let (lately, grace) = (Duration::from_millis(200), Duration::from_millis(150));
    Patience { suspect_after, lately, grace, alone_after: suspect_after * 4 }
}

trait IntoMillis {
    fn into_millis(self) -> Duration;
}

impl IntoMillis for u64 {
    fn into_millis(self) -> Duration {
        Duration::from_millis(self)
    }
}
