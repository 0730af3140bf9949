//! What one node does again and again: beats, answers to them, and the lead.

use std::collections::BTreeMap;

use super::node::{Node, Out};
use super::parcel::{Endpoint, Parcel};
use crate::engine::breakage::{Breakage, is_broken};
use crate::engine::controller::View;
use crate::engine::id::{PartitionId, Position};
use crate::engine::instant::Instant;
use crate::engine::suspicion::{Verdict, Word, judge};
use crate::engine::table::{Command, DirectoryId, Member, TableVersion};

impl Node {
    pub(super) fn tick(&mut self, now: Instant, out: &mut Out) {
        let now = self.clock.read(now);
        let is_late = self.pulse.tick(now, self.plan.pause_max);
        self.notice_pause(now, is_late);
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            let (from, version) = (self.member(), self.table.version());
            let leads = self.controller.is_some();
            for other in (0..self.plan.nodes).filter(|other| *other != self.index) {
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
        let reports = self.reports.iter().filter(|(member, _)| heard.contains(*member));
        let mut reports: BTreeMap<_, _> =
            reports.map(|(member, (_, report))| (*member, report.clone())).collect();
        reports.insert(self.member(), self.report());
        View { suspected, heard, lately, accusers, reports }
    }

    pub(super) fn heard_beat(
        &mut self,
        now: Instant,
        from: Member,
        (asked_at, version): (Instant, TableVersion),
        leads: bool,
        out: &mut Out,
    ) {
        self.given.give(from, &self.table, &self.plan.terms, now);
        let known = self.table.version();
        let answer = Parcel::BeatAnswer {
            from: self.member(),
            to: from,
            asked_at,
            version: known,
            report: self.report(),
            word: leads.then(|| self.hearing.word(now)),
        };
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
        report: BTreeMap<PartitionId, Position>,
        word: Option<Word>,
        out: &mut Out,
    ) {
        self.hearing.answered(from, asked_at);
        if self.controller.is_some()
            && let Some(word) = word
        {
            self.words.heard(from, asked_at, word);
        }
        if self.reports.get(&from).is_none_or(|(known_at, _)| *known_at < asked_at) {
            self.reports.insert(from, (asked_at, report));
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
