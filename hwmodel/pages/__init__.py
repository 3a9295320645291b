"""Pages: one self-contained HTML file about what was balanced, swept or trained.

`number_table` and `page_figure` are what a page holds beside sentences, `page` puts it
into the template; `balance_page` (with `balance_findings`) is that of a balanced
ticket. Those of sweeps, runs and comparisons stand beside what they are of.
"""
