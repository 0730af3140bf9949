//! What one node does again and again: beats, answers to them, and the lead.

use std::collections::BTreeMap;

use super::node::{Node, Out};
use super::parcel::{Endpoint, Parcel, Told};
use super::part::Part;
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::controller::View;
use crate::engine::id::{PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::report::ReportNumber;
use crate::engine::suspicion::{Verdict, judge};
use crate::engine::table::{Command, DirectoryId, Member, TableVersion};

impl Node {
    pub(super) fn tick(&mut self, now: Instant, out: &mut Out) {
        let now = self.clock.read(now);
        let is_late = self.pulse.tick(now, self.plan.pause_max);
        self.notice_pause(now, is_late);
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            let (from, version) = (self.member(), self.table.version());
            for other in (0..self.plan.nodes).filter(|other| *other != self.index) {
                let leads = self.controller.is_some().then(|| self.known_of(other));
                let beat = Parcel::Beat { from, sent_at: now, version, leads };
                out.parcels.push((Endpoint::Node(other), beat));
            }
        }
        let is_known = self.table.status(self.member()).is_some();
        if !is_known && self.ticks.is_multiple_of(4) {
            out.proposals.push(self.join());
        }
        for partition in 0..self.parts.len() {
            self.go_on(now, PartitionId(partition as u16), out);
        }
        self.lead(now, out);
    }

    /// Was it stopped, or had it no time, it knows nothing for certain: it answers by no lease, and
    /// accuses nobody for a while.
    pub(super) fn notice_pause(&mut self, now: Instant, is_late: bool) {
        if is_late {
            if !is_broken(Breakage::LeaseNotChecked) {
                self.taken.forget();
            }
            self.hearing.stood_still(now);
            self.words.forget();
            if !is_broken(Breakage::StandstillIgnored) {
                self.parts.iter_mut().for_each(|part| part.copy.stood_still(now));
            }
        }
    }

    fn lead(&mut self, now: Instant, out: &mut Out) {
        let Some(mut controller) = self.controller.take() else { return };
        let orders = controller.decide(now, &self.table, &self.view(now));
        out.proposals.extend(orders.commands);
        for (primary, at, remove) in orders.shrinks {
            let to = Endpoint::Node(primary.directory.0 as usize);
            out.parcels.push((to, Parcel::Shrink { at, remove }));
        }
        self.controller = Some(controller);
    }

    /// What comes into the log of what was proposed to this leader.
    pub(super) fn review(&mut self, now: Instant, commands: Vec<Command>) -> Vec<Command> {
        let Some(mut controller) = self.controller.take() else { return commands };
        let now = self.clock.read(now);
        let view = self.view(now);
        let review = |command| controller.review(now, &self.table, &view, command);
        let reviewed = commands.into_iter().map(review).collect();
        self.controller = Some(controller);
        reviewed
    }

    fn view(&self, now: Instant) -> View {
        let verdict = judge(now, &self.table, &self.hearing, &self.words);
        let Verdict { suspected, heard, lately, accusers } = verdict;
        // What was heard of others before they fell silent may be less than they hold.
        let reports = self.reports.iter().filter(|(member, _)| heard.contains(member));
        let mut reports: BTreeMap<_, _> =
            reports.map(|(member, held)| (member, held.clone())).collect();
        reports.insert(self.member(), self.held().collect());
        View { suspected, heard, lately, accusers, reports }
    }

    /// The last record of each partition.
    fn held(&self) -> impl Iterator<Item = (PartitionId, Position)> + '_ {
        let last = |(at, part): (usize, &Part)| (PartitionId(at as u16), part.copy.last());
        self.parts.iter().enumerate().map(last)
    }

    /// What the leader is told that knows so much already.
    fn tell(&mut self, now: Instant, since: ReportNumber) -> Told {
        let held: Vec<_> = self.held().collect();
        let report = self.reporter.report(held.into_iter(), since);
        Told { report, word: self.hearing.word(now) }
    }

    /// What this leader knows of another node's copies.
    fn known_of(&self, node: usize) -> ReportNumber {
        let directory = DirectoryId(node as u128);
        let generation = self.table.nodes().get(&directory).map(|node| node.generation);
        let known = |generation| self.reports.known(Member { directory, generation });
        generation.map(known).unwrap_or_default()
    }

    pub(super) fn heard_beat(
        &mut self,
        now: Instant,
        from: Member,
        (asked_at, version): (Instant, TableVersion),
        leads: Option<ReportNumber>,
        out: &mut Out,
    ) {
        self.given.give(from, &self.table, &self.plan.terms, now);
        let known = self.table.version();
        let told = leads.map(|since| self.tell(now, since));
        let answer =
            Parcel::BeatAnswer { from: self.member(), to: from, asked_at, version: known, told };
        let to = Endpoint::Node(from.directory.0 as usize);
        out.parcels.push((to, answer));
        if version > known {
            out.parcels.push((to, Parcel::Pull(known)));
        }
    }

    pub(super) fn heard_answer(
        &mut self,
        now: Instant,
        from: Member,
        (asked_at, version): (Instant, TableVersion),
        told: Option<Told>,
        out: &mut Out,
    ) {
        self.hearing.answered(from, asked_at);
        if self.controller.is_some()
            && let Some(Told { report, word }) = told
        {
            self.words.heard(from, asked_at, word);
            self.reports.heard(from, report);
        }
        let known = self.table.version();
        let since = if is_broken(Breakage::LeaseFromAnswer) { now } else { asked_at };
        self.taken.take(from, version, since, &self.plan.terms, known);
        if version > known {
            let to = Endpoint::Node(from.directory.0 as usize);
            out.parcels.push((to, Parcel::Pull(known)));
        }
        for partition in 0..self.parts.len() {
            self.release(now, PartitionId(partition as u16), out);
        }
    }

    /// Nobody listens there any more, or not yet again.
    pub(super) fn refused(&mut self, now: Instant, by: usize) {
        let directory = DirectoryId(by as u128);
        if let Some(node) = self.table.nodes().get(&directory) {
            self.hearing.broke(Member { directory, generation: node.generation }, now);
        }
    }
}
