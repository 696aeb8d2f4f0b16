"""How much a picture looks like another, by numbers."""
