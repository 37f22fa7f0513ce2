//! Moving: the cursor, what is unfolded, the view, and the way back.

use ratatui::layout::Rect;

use super::action::Action;
use super::doc::Item;
use super::theme::Tone;
use super::{App, View, rows};

impl App {
    pub(super) fn page(&self) -> usize {
        usize::from(self.panes().list.height).saturating_sub(1).max(1)
    }

    pub(super) fn step(&mut self, by: isize) {
        if self.view == View::Console {
            return self.console.scroll(by);
        }
        if self.rows.is_empty() {
            return;
        }
        let last = self.rows.len() - 1;
        let from = self.scroll().cursor;
        let to = from.saturating_add_signed(by).min(last);
        // Headings are passed over; at an end, the cursor stays on the last row that is one.
        let can = |n: &usize| self.rows[*n].item.is_some() || !self.rows[*n].heading;
        let found = if by < 0 {
            (0..=to).rev().find(can).or_else(|| (to..=from).find(can))
        } else {
            (to..=last).find(can).or_else(|| (from..=to).rev().find(can))
        };
        self.set_cursor(found.unwrap_or(from));
    }

    /// To the nearest area of the map in a direction.
    pub(super) fn step_on_map(&mut self, to: Action) {
        let rects = crate::view::map::areas(self, self.panes().list);
        let Some(here) = rects.get(self.scroll().cursor) else { return };
        let middle = |r: &Rect| {
            (f64::from(r.x) + f64::from(r.width) / 2.0, f64::from(r.y) * 2.0 + f64::from(r.height))
        };
        let (x, y) = middle(here);
        let mut best: Option<(f64, usize)> = None;
        for (n, rect) in rects.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            let (beyond, gap) = match to {
                Action::Left => (rect.right() <= here.x, here.x.saturating_sub(rect.right())),
                Action::Right => (rect.x >= here.right(), rect.x.saturating_sub(here.right())),
                Action::Up => (rect.bottom() <= here.y, here.y.saturating_sub(rect.bottom())),
                _ => (rect.y >= here.bottom(), rect.y.saturating_sub(here.bottom())),
            };
            if !beyond {
                continue;
            }
            let (rx, ry) = middle(rect);
            let across = match to {
                Action::Left | Action::Right => (ry - y).abs(),
                _ => (rx - x).abs(),
            };
            let far = f64::from(gap) * 4.0 + across;
            if best.is_none_or(|(least, _)| far < least) {
                best = Some((far, n));
            }
        }
        if let Some((_, n)) = best {
            self.set_cursor(n);
        }
    }

    pub(super) fn set_cursor(&mut self, cursor: usize) {
        let before = self.item();
        self.scroll.entry(self.view).or_default().cursor = cursor;
        if self.item() != before {
            self.detail_scroll = 0;
        }
        self.keep_visible();
    }

    pub(super) fn keep_visible(&mut self) {
        let height = usize::from(self.panes().list.height).max(1);
        let rows = self.rows.len();
        let scroll = self.scroll.entry(self.view).or_default();
        scroll.cursor = scroll.cursor.min(rows.saturating_sub(1));
        // A little context above and below the cursor, where there is room for it.
        let margin = if height >= 8 { 2 } else { 0 };
        if scroll.cursor < scroll.offset + margin {
            scroll.offset = scroll.cursor.saturating_sub(margin);
        }
        if scroll.cursor + margin >= scroll.offset + height {
            scroll.offset = scroll.cursor + margin + 1 - height;
        }
        scroll.offset = scroll.offset.min(rows.saturating_sub(height));
    }

    pub(super) fn fold(&mut self) {
        if self.view != View::Tree {
            return self.go_back();
        }
        match self.item() {
            Some(Item::Node(n)) if self.open.remove(&n) => self.rebuild(),
            Some(Item::Node(n)) => {
                if let Some(parent) = self.doc.tree().node(n).parent {
                    self.put_cursor(Item::Node(parent));
                }
            }
            Some(Item::Param(p)) => self.put_cursor(Item::Node(self.doc.tree().param(p).owner)),
            None => {}
        }
    }

    pub(super) fn unfold(&mut self) {
        if self.view != View::Tree {
            return self.open_row();
        }
        let Some(Item::Node(n)) = self.item() else { return };
        if !rows::unfolds(self.doc.tree(), n) {
            return;
        }
        if self.open.insert(n) {
            self.rebuild();
        } else {
            self.step(1);
        }
    }

    pub(super) fn put_cursor(&mut self, item: Item) {
        if let Some(n) = self.rows.iter().position(|row| row.item == Some(item)) {
            self.set_cursor(n);
        }
    }

    /// Goes to an item in the tree, so that `back` returns to where the cursor was.
    pub fn jump(&mut self, item: Item) {
        self.remember();
        self.view = View::Tree;
        self.reveal(item);
    }

    pub(super) fn reveal(&mut self, item: Item) {
        let tree = self.doc.tree();
        let mut above = match item {
            Item::Node(n) => tree.node(n).parent,
            Item::Param(p) => Some(tree.param(p).owner),
        };
        while let Some(n) = above {
            self.open.insert(n);
            above = tree.node(n).parent;
        }
        self.rebuild();
        self.put_cursor(item);
    }

    pub(super) fn remember(&mut self) {
        self.back.push((self.view, self.item(), self.deps_of));
        if self.back.len() > 100 {
            self.back.remove(0);
        }
    }

    pub(super) fn go_back(&mut self) {
        let Some((view, item, deps_of)) = self.back.pop() else {
            if self.view != View::Tree {
                self.show_without_memory(View::Tree);
            } else {
                let quit = self.keymap.shown(Action::Quit);
                self.say(Tone::Quiet, format!("press {quit} to quit"));
            }
            return;
        };
        self.view = view;
        self.deps_of = deps_of;
        match (view, item) {
            (View::Tree, Some(item)) => self.reveal(item),
            (_, item) => {
                self.rebuild();
                if let Some(item) = item {
                    self.put_cursor(item);
                }
            }
        }
    }

    pub(super) fn show(&mut self, view: View) {
        if view == self.view {
            return;
        }
        if view == View::Tree {
            // The tree is home: the way back ends there.
            self.back.clear();
            return self.show_without_memory(view);
        }
        self.remember();
        self.show_without_memory(view);
    }

    pub(super) fn show_without_memory(&mut self, view: View) {
        let item = self.item();
        self.view = view;
        if view == View::Deps && self.deps_of.is_none() {
            self.deps_of = item;
        }
        self.detail_scroll = 0;
        match (view, item) {
            (View::Tree, Some(item)) => self.reveal(item),
            _ => {
                self.rebuild();
                if let Some(item) = item {
                    self.put_cursor(item);
                }
                if self.row().is_some_and(|row| row.item.is_none())
                    && let Some(n) = self.rows.iter().position(|row| row.item.is_some())
                {
                    self.set_cursor(n);
                    self.scroll.entry(view).or_default().offset = 0;
                    self.keep_visible();
                }
                self.step(0);
            }
        }
    }

    pub(super) fn show_deps(&mut self) {
        let item = self.item();
        self.remember();
        if let Some(item) = item {
            self.deps_of = Some(item);
        }
        self.view = View::Deps;
        self.rebuild();
        self.set_cursor(0);
        self.step(0);
    }

    /// Makes the rows again; the cursor stays on its item.
    pub fn rebuild(&mut self) {
        let item = self.item();
        self.rows = rows::build(self);
        if let Some(n) = item.and_then(|item| self.rows.iter().position(|row| row.item == Some(item))) {
            self.scroll.entry(self.view).or_default().cursor = n;
        }
        self.keep_visible();
    }
}
