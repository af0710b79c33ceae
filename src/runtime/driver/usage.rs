//! What agents use up: budgets, which a try is taken from before it begins, and accounts, which close for a while.

use std::time::Duration;

use jiff::Timestamp;

use super::{Driver, Fatal};
use crate::agent::{Limit, Session};
use crate::engine::budget::{Money, Scope};
use crate::engine::{Account, Code, Event as Told, Failure, Halt, Millis, Node};
use crate::runtime::attempt::Order;
use crate::runtime::clock;
use crate::runtime::process::Stop;
use crate::runtime::spending::InUse;
use crate::store::event::{Event, TaskRef};
use crate::store::fs::PathError;

/// How long nothing starts for an account at its limit, at least.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

impl Driver {
    /// Reserves what a try is expected to use; false where no budget allows it, so that it is not begun.
    pub(super) fn fund(&mut self, node: Node, order: &Order) -> Result<bool, Fatal> {
        let reserved = self.spending.reserve(node, &order.class());
        self.say_warnings_of_spending();
        let refused = match reserved {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(refused)) => refused,
            Err(why) => {
                let message = format!("the budget of the day cannot be held: {why}");
                return Err(Fatal { message, halt: Halt::Fatal });
            }
        };
        self.told.push_back(if refused.scope == Scope::Task {
            Told::Ended { node, result: Err(Failure::new(Code::QuotaCost, refused.to_string())) }
        } else {
            Told::Unfunded { node, wait: refused.wait }
        });
        Ok(false)
    }

    /// Says when tasks begin to wait for a budget, and when they do no more.
    pub(super) fn say_what_budgets_hold(&mut self) {
        let tasks = self.parts.engine.unfunded();
        if (tasks > 0) != self.held_by_budget && self.parts.engine.halt().is_none() {
            self.held_by_budget = tasks > 0;
            let reason = self.spending.refused.map(|refused| refused.to_string()).unwrap_or_default();
            self.emit(Event::Hold { held: tasks > 0, what: "budget".to_owned(), reason, tasks }).ok();
        }
    }

    pub(in crate::runtime) fn say_warnings_of_spending(&mut self) {
        for warning in self.spending.warnings() {
            self.notice("warning", "spending", &warning);
        }
    }

    /// An agent that runs has used so much: it is ended where that is more than its task may.
    pub(super) fn in_use(&mut self, in_use: &InUse) {
        if let Some(over) = self.spending.used(in_use) {
            let life = &mut self.parts.lives[in_use.node];
            if life.over_budget.is_none() {
                life.over_budget = Some(over.to_string());
                life.brake.pull(Stop::Cancel);
            }
        }
    }

    /// The model's service takes no more: nothing starts for that account until it does.
    pub(in crate::runtime) fn limited(&mut self, account: &str, limit: &Limit) {
        let account = self.parts.board.account(account);
        let wait = limit.resets.as_ref().map(|resets| Duration::from_secs(resets.wait(&clock::wall_zoned())));
        self.limits.insert(account, limit.clone());
        // Where nobody knows when, and waiting is switched off, it would be asked all the time.
        let wait = wait.or_else(|| self.parts.settings.backoff.is_zero().then_some(SHORTEST_WAIT));
        // What is over by the time that it is told is tried again with the shortest wait.
        let until = wait.filter(|wait| !wait.is_zero()).map(|wait| self.now() + wait.as_millis() as Millis);
        self.told.push_back(Told::Closed { account, until });
    }

    /// An earlier run met a limit of an account, which may last.
    pub(in crate::runtime) fn still_closed(&mut self, account: &str, until: &str) {
        let Ok(until) = until.parse::<Timestamp>() else { return };
        let Ok(wait) = Duration::try_from(until.duration_since(clock::wall())) else { return };
        let Some(account) = self.parts.board.accounts.iter().position(|known| known == account) else { return };
        let until = self.now() + wait.as_millis() as Millis;
        self.told.push_back(Told::Closed { account, until: Some(until) });
    }

    pub(super) fn account_closed(&mut self, account: Account, until: Millis) -> Result<(), PathError> {
        let wait = Duration::from_millis(until.saturating_sub(self.now()));
        let limit = self.limits.get(&account);
        let kind = limit.map_or("usage", |limit| limit.kind.name());
        let event = Event::AccountLimited {
            account: self.parts.board.accounts[account].clone(),
            limit: kind.to_owned(),
            until: clock::in_a_while(wait),
            seconds: wait.as_secs_f64(),
            reason: limit.map(|limit| limit.message.clone()).unwrap_or_default(),
        };
        self.emit(event)
    }

    /// What the agent of a try was and used; its session is kept for the next try.
    pub(super) fn agent_ended(
        &mut self,
        node: Node,
        session: Session,
        seconds: f64,
        result: &Result<(), Failure>,
    ) -> Vec<Event> {
        let life = &mut self.parts.lives[node];
        let mut agent = String::new();
        if let Some(chosen) = &mut life.agent {
            chosen.agent.name().clone_into(&mut agent);
            let mut used = chosen.session.take().map(|(_, used)| used).unwrap_or_default();
            used.tokens += session.tokens.unwrap_or_default();
            used.cost += session.cost.unwrap_or_default();
            chosen.session = session.id.clone().map(|id| (id, used));
        }
        let of = (node, self.task(node), self.parts.lives[node].attempt);
        let outcome = result.as_ref().map_or_else(|failure| failure.code.name(), |()| "done");
        self.agent_used(of, agent, session, seconds, outcome)
    }

    /// What a start of an agent was and used; the first is what budgets know it by.
    pub(in crate::runtime) fn agent_used(
        &mut self,
        (node, task, attempt): (Node, TaskRef, u32),
        agent: String,
        session: Session,
        seconds: f64,
        outcome: &str,
    ) -> Vec<Event> {
        let (cost, soft) = self.spending.settle(node, &session);
        let ended = Event::TaskAgent {
            task,
            attempt,
            agent,
            model: session.model,
            session: session.id,
            messages: session.messages,
            tool_calls: session.tool_calls,
            tokens: cost.tokens,
            cost: cost.money.map(Money::usd),
            estimated: cost.prices_of,
            seconds,
            outcome: outcome.to_owned(),
        };
        let soft = soft.into_iter().map(|reached| Event::Notice {
            level: "warning".to_owned(),
            code: "budget".to_owned(),
            message: reached.to_string(),
        });
        std::iter::once(ended).chain(soft).collect()
    }
}
