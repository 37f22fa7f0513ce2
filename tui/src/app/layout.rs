//! Where everything is on the screen, for drawing and for the mouse alike.

use ratatui::layout::{Position, Rect};

use super::{App, View};
use crate::text;

/// The smallest terminal that is drawn on.
pub const SMALLEST: (u16, u16) = (40, 12);

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct Panes {
    /// The line with the file's name and the tabs.
    pub top: Rect,
    /// The tabs.
    pub tabs: Vec<(View, Rect)>,
    /// The totals.
    pub totals: Rect,
    /// List and detail together.
    pub main: Rect,
    /// The list, without its frame.
    pub list: Rect,
    /// The line between list and detail.
    pub divider: Rect,
    /// The detail.
    pub detail: Rect,
    /// Whether list and detail are side by side.
    pub beside: bool,
    /// The console's heading and lines, when it is below.
    pub console: Rect,
    /// The line at the bottom.
    pub footer: Rect,
}

impl Panes {
    /// Lays out `area`.
    pub fn new(app: &App, area: Rect) -> Self {
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return Panes::default();
        }
        let line = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
        let totals_height = if app.budget.is_some() && area.height >= 16 { 2 } else { 1 };
        let top = line(0, 1);
        let totals = line(1, totals_height);
        let footer = line(area.height - 1, 1);
        let mut main = line(1 + totals_height, area.height - 2 - totals_height);
        let wants_console = app.view != View::Console
            && (app.console.running || app.console.ended.is_some())
            && area.height >= 20;
        let console = if wants_console {
            let lines =
                (app.console.lines.len() + 1 + usize::from(app.console.typing.is_some())).min(14) as u16;
            let height = (main.height / 3).clamp(4, lines.max(4));
            main.height -= height;
            Rect { y: main.bottom(), height, ..main }
        } else {
            Rect::default()
        };
        let has_detail = !matches!(app.view, View::Console);
        // The rule above the list.
        let below_rule = |r: Rect| Rect { y: r.y + 1, height: r.height.saturating_sub(1), ..r };
        let (list, divider, detail, beside);
        if has_detail && app.detail_shown && main.width >= 96 {
            let width = (u32::from(main.width) * u32::from(app.detail_share) / 100) as u16;
            let left = main.width - width.clamp(24, main.width - 44);
            beside = true;
            list = below_rule(Rect { width: left, ..main });
            divider = Rect { x: main.x + left, width: 1, ..main };
            detail = below_rule(Rect { x: main.x + left + 2, width: main.width - left - 2, ..main });
        } else if has_detail && app.detail_shown && main.height >= 14 {
            let height = (u32::from(main.height) * u32::from(app.detail_share) / 100) as u16;
            let upper = main.height - height.clamp(4, main.height - 6);
            beside = false;
            list = below_rule(Rect { height: upper, ..main });
            divider = Rect { y: main.y + upper, height: 1, ..main };
            detail = Rect { y: main.y + upper + 1, height: main.height - upper - 1, ..main };
        } else if has_detail && !app.detail_shown && main.height < 14 {
            // No room for both: then hiding and showing exchange them.
            beside = false;
            list = Rect { height: 0, ..main };
            divider = Rect { height: 1, ..main };
            detail = below_rule(main);
        } else {
            beside = false;
            list = below_rule(main);
            divider = Rect::default();
            detail = Rect::default();
        }
        let mut panes =
            Panes { top, tabs: Vec::new(), totals, main, list, divider, detail, beside, console, footer };
        panes.place_tabs(app.view);
        panes
    }

    fn place_tabs(&mut self, shown: View) {
        let wide: usize = View::ALL.iter().map(|v| tab(*v).len() + 1).sum();
        let mut x = self.top.right();
        let named = usize::from(self.top.width) >= wide + 20;
        if self.top.width < 60 {
            return;
        }
        for view in View::ALL.into_iter().rev() {
            // Where there is no room for all names, the others are numbers.
            let width = if named || view == shown { text::width(&tab(view)) as u16 } else { 1 };
            x -= width + 1;
            self.tabs.push((view, Rect { x, width, ..self.top }));
        }
        self.tabs.reverse();
    }

    /// The tab at a place.
    pub fn tab_at(&self, at: Position) -> Option<View> {
        self.tabs.iter().find(|(_, rect)| rect.contains(at)).map(|(view, _)| *view)
    }
}

/// What is on a view's tab.
pub fn tab(view: View) -> String {
    format!("{} {}", view.index() + 1, view.title())
}
