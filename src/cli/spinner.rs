//! A sign of life on stderr: only on a terminal, and only when something takes longer than a blink.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ui::Ui;

/// What ends sooner shows nothing.
const PATIENCE: Duration = Duration::from_millis(400);

/// Turns until it is dropped.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Starts one, unless nobody looks. `message` must be escaped.
    pub fn new(ui: &Ui, message: String) -> Self {
        if !ui.seen.err || ui.quiet || ui.for_programs() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_message(message);
        Self(Some(bar))
    }

    /// Shows itself once the patience is over, and turns. To be raced against what is waited for.
    pub async fn turn(&self) {
        let Some(bar) = &self.0 else { return std::future::pending().await };
        tokio::time::sleep(PATIENCE.saturating_sub(bar.elapsed())).await;
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        std::future::pending().await
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
