//! The mouse: it clicks on what is shown, and drags the line between list and detail.

use crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::action::Action;
use super::doc::Item;
use super::input::Input;
use super::keymap::Key;
use super::overlay::Overlay;
use super::{App, View};

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent) {
        let panes = self.panes();
        let at = Position::new(mouse.column, mouse.row);
        if !self.overlays.is_empty() {
            match mouse.kind {
                MouseEventKind::ScrollUp => self.key(Key::plain(KeyCode::Up)),
                MouseEventKind::ScrollDown => self.key(Key::plain(KeyCode::Down)),
                MouseEventKind::Down(MouseButton::Left) => self.click_overlay(at),
                _ => {}
            }
            return;
        }
        match mouse.kind {
            MouseEventKind::ScrollUp if panes.console.contains(at) => self.console.scroll(-3),
            MouseEventKind::ScrollDown if panes.console.contains(at) => self.console.scroll(3),
            MouseEventKind::ScrollUp if panes.detail.contains(at) => self.act(Action::DetailUp),
            MouseEventKind::ScrollDown if panes.detail.contains(at) => self.act(Action::DetailDown),
            MouseEventKind::ScrollUp => self.step(-3),
            MouseEventKind::ScrollDown => self.step(3),
            MouseEventKind::Down(MouseButton::Left) => {
                self.message = None;
                let console = if self.view == View::Console { panes.list } else { panes.console };
                // A click on the console of a running program is for typing; one elsewhere ends that.
                self.console.typing = match self.console.typing.take() {
                    _ if !console.contains(at) => None,
                    None if self.console.running => Some(Input::default()),
                    typing => typing,
                };
                if panes.divider.contains(at) {
                    self.dragging = true;
                } else if let Some(view) = panes.tab_at(at) {
                    self.show(view);
                } else if self.view == View::Map && panes.list.contains(at) {
                    let rects = crate::view::map::areas(self, panes.list);
                    if let Some(n) = rects.iter().position(|rect| rect.contains(at)) {
                        self.set_cursor(n);
                    }
                } else if panes.list.contains(at) {
                    self.click(usize::from(at.y - panes.list.y) + self.scroll().offset, at.x - panes.list.x);
                }
            }
            MouseEventKind::Drag(MouseButton::Left) if self.dragging => {
                let main = panes.main;
                let share = if panes.beside {
                    u32::from((main.right()).saturating_sub(at.x)) * 100 / u32::from(main.width.max(1))
                } else {
                    u32::from((main.bottom()).saturating_sub(at.y)) * 100 / u32::from(main.height.max(1))
                };
                self.detail_share = share.clamp(15, 75) as u16;
                self.keep_visible();
            }
            MouseEventKind::Up(_) => self.dragging = false,
            _ => {}
        }
    }

    pub(super) fn click_overlay(&mut self, at: Position) {
        let area = crate::view::overlay::place(self);
        if !area.contains(at) {
            self.overlays.pop();
            return;
        }
        let Some(n) = crate::view::overlay::entry_at(self, at) else { return };
        match self.overlays.last_mut() {
            Some(Overlay::Menu(menu)) if n < menu.entries.len() => {
                menu.cursor = n;
                self.take_entry();
            }
            Some(Overlay::Finder(finder)) if n < finder.hits.len() => {
                finder.cursor = n;
                self.finder_key(Key::plain(KeyCode::Enter));
            }
            _ => {}
        }
    }

    pub(super) fn click(&mut self, n: usize, x: u16) {
        let Some(row) = self.rows.get(n) else { return };
        if row.item.is_none() {
            return;
        }
        let step = if self.panes().list.width >= 56 { 2 } else { 1 };
        let indent = (row.depth * step) as u16;
        let now = std::time::Instant::now();
        let double = self.last_click.is_some_and(|(m, t)| m == n && now.duration_since(t).as_millis() < 400);
        self.last_click = if double { None } else { Some((n, now)) };
        self.set_cursor(n);
        if double {
            self.act(Action::Open);
        } else if self.view == View::Tree && x > indent && x < indent + 3 {
            self.act(if self.row_is_open() { Action::Left } else { Action::Right });
        } else if self.view == View::Tree && x >= indent + 3 && x < indent + 5 {
            self.last_click = None;
            self.act(Action::Toggle);
        }
    }

    pub(super) fn row_is_open(&self) -> bool {
        matches!(self.item(), Some(Item::Node(n)) if self.open.contains(&n))
    }
}
