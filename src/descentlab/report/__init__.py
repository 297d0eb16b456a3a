"""From the comparison to the page: sections, figures and templates."""
