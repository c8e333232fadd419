"""What peers tell each other so that they reach each other, and how that looks as bytes."""
