"""What edges say of each other: direction, and total effects that they imply."""
