//! What the agents of a run use: prices where they say tokens only, the budgets of task, run and day, and the sums that
//! are told. The driver asks before each start of an agent and says what each try used; the rules are in
//! `engine::budget`, the day over all runs in `store::spending`.

use std::collections::BTreeMap;

use super::clock;
use crate::agent::prices::{self, Price};
use crate::agent::{Session, Tokens};
use crate::cli::settings::RunSettings;
use crate::engine::Node;
use crate::engine::budget::{Bounds, Budget, Money, Reached, Refused, Spend, Total, Used};
use crate::store::spending::{self, Daybook, Today, Turn};

/// What an agent that runs has used so far in its try.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) node: Node,
    pub(super) model: Option<String>,
    pub(super) tokens: Option<Tokens>,
    pub(super) cost: Option<f64>,
}

/// What a try used, as it is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) tokens: Option<Tokens>,
    pub(super) money: Option<Money>,
    /// Whose prices the money is by, where the agent named none.
    pub(super) prices_of: Option<String>,
}

impl Cost {
    fn used(&self) -> Used {
        Used { money: self.money, tokens: self.tokens.map(|tokens| tokens.total()) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spending {
    budget: Budget,
    prices: BTreeMap<String, Price>,
    book: Option<Daybook>,
    /// There is a budget of the day.
    by_day: bool,
    /// What this run used and the book does not have yet.
    unwritten: Spend,
    /// What is to be said to people.
    warnings: Vec<String>,
    /// Of the run.
    pub(super) run: Total,
    /// Since the step began.
    pub(super) step: Total,
    /// Why the newest start was refused.
    pub(super) refused: Option<Refused>,
}

/// As what budgets know who writes a brief of a task, which is no try of it.
pub(super) fn beside(node: Node) -> Node {
    Node::MAX - node
}

impl Spending {
    /// `before` is what the run that this one goes on with had used.
    pub(super) fn new(settings: &RunSettings, run: &str, before: Spend) -> Self {
        let folder = spending::folder(|name| std::env::var_os(name));
        Self {
            budget: Budget::new(settings.budget.clone(), before),
            prices: settings.prices.clone(),
            book: folder.map(|folder| Daybook::new(folder, run, clock::wall())),
            by_day: settings.budget.day != Bounds::default(),
            unwritten: Spend::default(),
            warnings: Vec::new(),
            run: Total::default(),
            step: Total::default(),
            refused: None,
        }
    }

    /// Reserves what a try of a task is expected to use, or says which budget does not allow it. `class` names the agent
    /// and its model. The outer error is that the day's book cannot be used.
    pub(super) fn reserve(&mut self, node: Node, class: &str) -> Result<Result<(), Refused>, String> {
        let decided = if self.by_day {
            self.turn(|budget, today| budget.reserve(node, class, (today.spent, today.others)))?
        } else {
            self.budget.reserve(node, class, (Spend::default(), Spend::default()))
        };
        self.refused = decided.as_ref().err().copied();
        Ok(decided)
    }

    /// The same for who writes a brief of a task. That this may not be begun is nothing that a run ends by.
    pub(super) fn reserve_beside(&mut self, node: Node, class: &str) -> Result<(), String> {
        let refused = self.refused;
        let decided = self.reserve(beside(node), class);
        self.refused = refused;
        decided?.map_err(|refused| refused.to_string())
    }

    /// What a try that runs has used so far. Says so where its task's budget is exceeded.
    pub(super) fn used(&mut self, in_use: &InUse) -> Option<Reached> {
        let cost = self.cost(in_use.model.as_deref(), in_use.tokens, in_use.cost);
        self.budget.used(in_use.node, cost.used())
    }

    /// A try ended: what it cost, and budgets that are nearly used up now. One that neither said nor did anything has
    /// used nothing that would have to be assumed.
    pub(super) fn settle(&mut self, node: Node, session: &Session) -> (Cost, Vec<Reached>) {
        let cost = self.cost(session.model.as_deref(), session.tokens, session.cost);
        for total in [&mut self.run, &mut self.step] {
            total.add(cost.used(), cost.prices_of.is_some());
        }
        if session.messages == 0 && session.tool_calls == 0 && cost == Cost::default() {
            self.budget.release(node);
        } else {
            self.unwritten += self.budget.settle(node, cost.used());
        }
        let soft = match self.turn(|budget, today| budget.soft(node, today.spent)) {
            Ok(soft) => soft,
            // Where there is a budget of the day, the next start finds that out.
            Err(why) => {
                if !self.by_day && self.book.take().is_some() {
                    self.warnings.push(format!("what agents used today is not kept: {why}"));
                }
                self.budget.soft(node, Spend::default())
            }
        };
        (cost, soft)
    }

    /// A try was not begun after all, or was ended before its agent was started.
    pub(super) fn release(&mut self, node: Node) {
        self.budget.release(node);
    }

    /// What is to be said to people since it was last asked.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Says in the day's book that this run is still there, and gives back what it has reserved no more.
    pub(super) fn beat(&mut self) {
        if self.by_day {
            // The next start finds out why not.
            self.turn(|_, _| ()).ok();
        }
    }

    /// Tokens with their price, where it is known and the agent named none.
    fn cost(&self, model: Option<&str>, tokens: Option<Tokens>, usd: Option<f64>) -> Cost {
        let named = usd.map(Money::from_usd);
        let listed = match (named, model, &tokens) {
            (None, Some(model), Some(tokens)) => prices::estimate(model, tokens, &self.prices),
            _ => None,
        };
        let money = named.or(listed.as_ref().map(|listed| listed.money));
        Cost { tokens, money, prices_of: listed.map(|listed| listed.prices_of) }
    }

    /// Takes a turn at the day's book.
    fn turn<T>(&mut self, decide: impl FnOnce(&mut Budget, Today) -> T) -> Result<T, String> {
        let Self { budget, book, unwritten, warnings, .. } = self;
        let Some(book) = book else {
            return Err("neither HOME nor XDG_STATE_HOME says where to keep it".to_owned());
        };
        let used = *unwritten;
        let decide = |today: Today| {
            let decided = decide(budget, Today { spent: today.spent + used, ..today });
            (decided, Turn { used, reserved: budget.reserved() })
        };
        let (decided, warning) = book.turn(clock::wall(), clock::today(), decide).map_err(|error| error.to_string())?;
        *unwritten = Spend::default();
        warnings.extend(warning);
        Ok(decided)
    }
}
