"""What a run says to people and to programs: report.json, the HTML that views it, the terminal summary."""
