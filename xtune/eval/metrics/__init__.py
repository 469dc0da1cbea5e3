"""What an answer in words is worth: pure functions of texts and tokens."""
