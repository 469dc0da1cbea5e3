"""The agent demo: its rows, its words, and the folder of notes that its search looks into."""
