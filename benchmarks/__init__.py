"""What the README claims, measured side by side with peers; see README.md."""
