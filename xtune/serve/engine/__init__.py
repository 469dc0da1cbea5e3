"""Who answers: questions of many clients at once, each as if it were alone."""
