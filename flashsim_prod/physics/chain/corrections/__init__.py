"""What comes after a kind of model, whichever it is: learned corrections of what it draws."""
