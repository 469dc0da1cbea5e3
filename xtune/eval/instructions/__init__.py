"""IFEval's 25 kinds of instruction, each with a check that a program can make; written anew."""
